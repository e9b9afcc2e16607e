//! There are no other processes, and no way to those of the machine.

use super::{call, limits, printed, refused, run, with};
use chaski_sandbox::{Limits, Status};
use chaski_testkit::eventually;
use std::{fs, path::Path};

#[test]
fn no_process_is_started() {
    for code in [
        "import os\nif os.fork() == 0: os._exit(0)\nprint('reached')",
        "import os\nprint('reached' if os.system('true') == 0 else '')",
        "import subprocess\nsubprocess.run(['true'], check=True)\nprint('reached')",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})\nprint('reached')",
    ] {
        super::only_outside(code);
    }
}

#[test]
fn a_fork_bomb_does_nothing() {
    let code = "import os\nfailed = 0\nfor _ in range(10000):\n  try:\n    os.fork()\n  \
                except PermissionError:\n    failed += 1\nprint(failed)";
    assert_eq!(printed(code), "10000\n");
}

#[test]
fn threads_are_bounded() {
    let limits = Limits { threads: 20, ..limits() };
    let interpreter = with(limits);
    let code = "import threading\nthreading.stack_size(32768)\nend = threading.Event()\ncount = 0\n\
                try:\n  for _ in range(1000):\n    threading.Thread(target=end.wait).start()\n    \
                count += 1\nexcept RuntimeError as e:\n  print(e)\nend.set()\nprint(count)";
    let outcome = call(&interpreter, None, code);
    let count: u32 = outcome.stdout.text.lines().last().unwrap().parse().unwrap();
    assert!(count < 20, "{outcome:?}");
    // Another one still gets its own.
    let one =
        "import threading\nt = threading.Thread(target=print, args=(1,))\nt.start()\nt.join()";
    assert_eq!(call(&interpreter, None, one).stdout.text, "1\n");
}

#[test]
fn signals_reach_nobody_else() {
    refused("import os\nos.kill(os.getppid(), 0)\nprint('reached')", "PermissionError");
    refused("import os\nos.kill(-1, 0)\nprint('reached')", "PermissionError");
    let group = "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)\nprint('reached')";
    refused(group, "PermissionError");
    refused(
        "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())\nprint('reached')",
        "PermissionError",
    );
    // To itself they work.
    let own = "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *a: print('got it'))\n\
               os.kill(os.getpid(), signal.SIGUSR1)";
    assert_eq!(printed(own), "got it\n");
}

/// The state of a process for the system, such as `T` for one that is stopped.
fn state(process: &str) -> Option<char> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    line.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn nothing_goes_on_after_a_call() {
    let interpreter = with(limits());
    let code = "import os, threading\ndef spin():\n  while True: pass\n\
                threading.Thread(target=spin, daemon=True).start()\nprint(os.getpid())";
    let outcome = call(&interpreter, Some("s"), code);
    let process = outcome.stdout.text.trim().to_owned();
    eventually("the process to be stopped", || state(&process) == Some('T')).await;
    assert_eq!(call(&interpreter, Some("s"), "print(1)").stdout.text, "1\n");
    drop(interpreter);
    eventually("the process to be gone", || !Path::new(&format!("/proc/{process}")).exists()).await;
    // Without a session it ends with its call.
    let process = printed(code);
    assert!(!Path::new(&format!("/proc/{}", process.trim())).exists());
}

#[test]
fn a_process_that_ends_itself_is_an_error() {
    let outcome = run("import os\nprint('before')\nos._exit(3)");
    assert_eq!(outcome.status, Status::Error);
    assert_eq!(outcome.stdout.text, "before\n");
    assert_eq!(outcome.notes, ["the process was ended: it ended itself with the code 3"]);
    let outcome = run("import ctypes\nctypes.string_at(0)");
    assert!(outcome.notes[0].contains("invalid address"), "{outcome:?}");
}
