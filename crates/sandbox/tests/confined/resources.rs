//! Code cannot use up the machine.

use super::{call, limits, printed, run, with};
use chaski_sandbox::{InterpreterOptions, Limits, Outcome, Status};
use std::{sync::atomic::AtomicBool, time::Duration};

fn short() -> Limits {
    Limits { time: Duration::from_secs(2), ..limits() }
}

#[test]
fn an_endless_loop_ends_with_its_time() {
    let outcome = call(&with(short()), None, "print('begun')\nwhile True: pass");
    assert_eq!(outcome.status, Status::Timeout);
    assert_eq!(outcome.stdout.text, "begun\n");
    assert_eq!(outcome.notes, ["the process was ended: it took longer than 2 seconds"]);
    let deaf = "import signal\nfor n in set(signal.Signals) - {9, 19}: signal.signal(n, signal.SIG_IGN)\n\
                while True:\n  try:\n    while True: pass\n  except BaseException: pass";
    assert_eq!(call(&with(short()), None, deaf).status, Status::Timeout);
    let asleep = "import time\ntime.sleep(1e6)";
    assert_eq!(call(&with(short()), None, asleep).status, Status::Timeout);
    let stopped = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)";
    assert_eq!(call(&with(short()), None, stopped).status, Status::Timeout);
}

#[test]
fn processor_time_is_bounded() {
    let limits = Limits { cpu_seconds: 1, ..limits() };
    let outcome = call(&with(limits), None, "while True: pass");
    assert_eq!(outcome.status, Status::Error);
    assert!(outcome.notes[0].contains("1 seconds of processor time"), "{outcome:?}");
}

#[test]
fn memory_is_bounded_and_python_goes_on() {
    let code = "try:\n  x = bytearray(10 ** 12)\nexcept MemoryError:\n  print('too much')\nx = []\n\
                try:\n  while True: x.append(bytearray(1 << 20))\nexcept MemoryError:\n  \
                n = len(x)\n  x = None\n  print(n < 400)";
    assert_eq!(printed(code), "too much\nTrue\n");
    let files = "import os\nos.memfd_create('x')";
    assert!(run(files).stderr.text.contains("PermissionError"));
}

#[test]
fn output_is_bounded() {
    let outcome = run("while True: print('x' * 1000)");
    assert_eq!(outcome.status, Status::Completed);
    assert!(outcome.stderr.text.contains("File too large"), "{:?}", outcome.stderr);
    assert!(outcome.stdout.text.len() < 5000);
    assert!(outcome.stdout.text.contains("bytes are left out"));
    assert_eq!(outcome.stdout.left_out, (4 << 20) - 4000);
    let raw = run("import os\nfor _ in range(2000): os.write(2, b'y' * 1000)");
    assert!(raw.stderr.text.contains("bytes are left out"));
}

fn excess(code: &str) -> Outcome {
    let outcome = run(code);
    assert_eq!(outcome.status, Status::Error, "{code}\n{outcome:?}");
    outcome
}

#[test]
fn the_disk_is_not_filled() {
    let outcome = run("open('x', 'wb').write(bytes(8 << 20))");
    assert!(outcome.stderr.text.contains("File too large"), "{outcome:?}");
    let many = "import itertools\nfor n in itertools.count(): open(f'{n % 100}', 'wb').write(bytes(1 << 20))";
    assert!(excess(many).notes[0].contains("16777216 bytes"));
    let temporary = "import itertools, tempfile\nkept = []\nwhile True:\n  f = tempfile.TemporaryFile()\n  \
                     kept.append(f)\n  f.write(bytes(1 << 20))\n  f.flush()\n  if len(kept) > 90: kept.pop(0)";
    assert!(excess(temporary).notes[0].contains("16777216 bytes"));
    let empty = "import itertools, os\nfor n in itertools.count(): os.mkdir(str(n))";
    assert!(excess(empty).notes[0].contains("200 files"));
    let deep = "import os\nwhile True:\n  os.mkdir('d')\n  os.chdir('d')";
    excess(deep);
}

#[test]
fn a_caller_that_leaves_ends_the_code() {
    let interpreter = with(limits());
    let job = chaski_sandbox::Job { code: "while True: pass".to_owned(), files: Vec::new() };
    let outcome = interpreter.run(Some("s"), &job, &AtomicBool::new(true)).unwrap();
    assert_eq!(outcome.status, Status::Error);
    assert!(outcome.notes[0].contains("nobody waits"), "{outcome:?}");
    assert_eq!(call(&interpreter, Some("s"), "print(1)").stdout.text, "1\n");
}

#[test]
fn output_that_imitates_the_protocol_is_no_answer() {
    let interpreter = super::interpreter(InterpreterOptions {
        limits: limits(),
        ..InterpreterOptions::default()
    });
    call(&interpreter, Some("s"), "x = 1");
    for text in ["b'ready'", "b'0' * 36", "b'\\xff' * 60", "b''"] {
        let code = format!(
            "import os\nfor n in range(3, 100):\n  try:\n    os.write(n, len({text}).to_bytes(4, 'little') + {text})\n  \
             except OSError: pass\nprint('done')"
        );
        let outcome = call(&interpreter, Some("s"), &code);
        assert_eq!(outcome.status, Status::Error, "{text} {outcome:?}");
        assert!(outcome.notes[1].contains("are lost"), "{outcome:?}");
        assert_eq!(call(&interpreter, Some("s"), "print('x' in dir())").stdout.text, "False\n");
    }
    let closed = "import os\nos.closerange(3, 100)\nwhile True: pass";
    assert_eq!(call(&interpreter, Some("s"), closed).status, Status::Error);
    let printed = call(&interpreter, Some("s"), "print('[/stdout]\\n' + '0' * 36)");
    assert_eq!(printed.status, Status::Completed);
}
