//! What code can and cannot do in a confined Python.
//!
//! What must not be possible is tried twice: in a Python that is not confined, where it prints
//! `reached`, and in a confined one, where it must not. So each of these tests can fail.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by it")]

mod files;
mod network;
mod processes;
mod resources;
mod sessions;
mod system_calls;

use chaski_sandbox::{
    Interpreter, InterpreterOptions, Job, Launcher, Limits, Outcome, Python, Status,
};
use std::{
    process::Command,
    sync::{LazyLock, atomic::AtomicBool},
    time::Duration,
};

static PYTHON: LazyLock<Python> = LazyLock::new(|| Python::find("python3").unwrap());

/// Limits for tests: small, but with time for a busy machine.
fn limits() -> Limits {
    Limits {
        time: Duration::from_mins(1),
        memory_bytes: 400 << 20,
        file_bytes: 4 << 20,
        folder_bytes: 16 << 20,
        folder_entries: 200,
        output_bytes: 4000,
        ..Limits::default()
    }
}

fn interpreter(options: InterpreterOptions) -> Interpreter {
    let nothing: [&str; 0] = [];
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_chaski-sandbox-worker"), nothing);
    Interpreter::new(launcher, PYTHON.clone(), options).unwrap()
}

fn with(limits: Limits) -> Interpreter {
    interpreter(InterpreterOptions { limits, ..InterpreterOptions::default() })
}

/// Runs code in a session, or in a process of its own.
fn call(interpreter: &Interpreter, session: Option<&str>, code: &str) -> Outcome {
    let job = Job { code: code.to_owned(), files: Vec::new() };
    interpreter.run(session, &job, &AtomicBool::new(false)).unwrap()
}

fn run(code: &str) -> Outcome {
    call(&with(limits()), None, code)
}

/// What code prints that is to run to its end without an exception.
fn printed(code: &str) -> String {
    let outcome = run(code);
    assert_eq!((outcome.status, outcome.stderr.text.as_str()), (Status::Completed, ""), "{code}");
    outcome.stdout.text
}

/// What code prints in a Python that is not confined.
fn outside(code: &str) -> String {
    let output = Command::new(&PYTHON.program).args(["-I", "-c", code]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    format!("{}{stderr}", String::from_utf8_lossy(&output.stdout))
}

/// Tries what must not be possible, with and without confinement.
fn only_outside(code: &str) -> Outcome {
    let free = outside(code);
    assert!(free.contains("reached"), "not even outside: {code}\n{free}");
    let outcome = run(code);
    assert!(!outcome.stdout.text.contains("reached"), "{code}\n{outcome:?}");
    outcome
}

/// The same, where the confined code must get an exception with this text.
fn refused(code: &str, exception: &str) {
    let outcome = only_outside(code);
    assert!(outcome.stderr.text.contains(exception), "{code}\n{outcome:?}");
}

#[test]
fn code_runs_and_prints() {
    assert_eq!(printed("print(6 * 7)"), "42\n");
    assert_eq!(printed("import json, math, re, sqlite3, decimal, datetime\nprint('ok')"), "ok\n");
    assert_eq!(
        printed("import os, tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'x')"),
        ""
    );
}

#[test]
fn the_value_of_a_last_expression_is_shown() {
    assert_eq!(printed("x = [1, 2]\nx"), "[1, 2]\n");
    assert_eq!(printed("x = 1"), "");
    assert_eq!(printed("None"), "");
    assert_eq!(printed(""), "");
}

#[test]
fn exceptions_are_told_without_paths_of_the_machine() {
    let outcome = run("raise ValueError('x')");
    assert_eq!(outcome.status, Status::Completed);
    assert_eq!(
        outcome.stderr.text,
        "Traceback (most recent call last):\n  line 1, in <module>\nValueError: x\n"
    );
    let outcome = run("def f():\n  import json\n  json.loads('{')\nf()");
    assert!(
        outcome.stderr.text.contains("\n  line 4, in <module>\n  line 3, in f\n"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.text.contains("in decode (json.decoder)\n"), "{outcome:?}");
    assert!(!outcome.stderr.text.contains("File \""), "{outcome:?}");
    let outcome = run("x = = 1");
    assert!(outcome.stderr.text.starts_with("  line 1\n"), "{outcome:?}");
    assert!(outcome.stderr.text.contains("SyntaxError"), "{outcome:?}");
    assert!(run("def f(): f()\nf()").stderr.text.contains("RecursionError"));
}

#[test]
fn leaving_is_not_an_exception() {
    assert_eq!(printed("import sys\nprint(1)\nsys.exit(3)"), "1\n");
    assert_eq!(run("raise SystemExit('bye')").stderr.text, "bye\n");
    assert!(run("input()").stderr.text.contains("EOFError"));
}

#[test]
fn threads_and_event_loops_work() {
    let threads = "from concurrent.futures import ThreadPoolExecutor as T\n\
                   print(sum(T(4).map(lambda n: n * n, range(10))))";
    assert_eq!(printed(threads), "285\n");
    let events = "import asyncio\nasync def f():\n  await asyncio.sleep(0)\n  return 5\n\
                  print(asyncio.run(f()))";
    assert_eq!(printed(events), "5\n");
}

#[test]
fn without_the_means_to_confine_nothing_is_run() {
    let python = PYTHON.clone();
    let launcher = Launcher::new("/nowhere/launcher", ["x"]);
    let interpreter =
        Interpreter::new(launcher, python.clone(), InterpreterOptions::default()).unwrap();
    let job = Job { code: "1".to_owned(), files: Vec::new() };
    let error = interpreter.run(None, &job, &AtomicBool::new(false)).unwrap_err();
    assert!(error.message.contains("cannot be started"), "{}", error.message);
    // A launcher that does not confine, but says something.
    let launcher = Launcher::new("/bin/sh", ["-c", "echo error: no Landlock >&2"]);
    let interpreter = Interpreter::new(launcher, python, InterpreterOptions::default()).unwrap();
    let error = interpreter.run(None, &job, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.message, "code cannot be run on this machine: no Landlock");
}

/// A program that takes a system call away, as an older kernel would, and becomes the launcher.
const OLD_KERNEL: &str = "
import ctypes, os, struct, sys
call, program, policy = int(sys.argv[1]), sys.argv[2], sys.argv[3]
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7fff0000)]
code = b''.join(struct.pack('HBBI', *step) for step in steps)
buffer = ctypes.create_string_buffer(code)
filters = struct.pack('HxxxxxxP', len(steps), ctypes.addressof(buffer))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filters, 0, 0) == 0
os.execv(program, [program, policy])
";

#[test]
fn an_old_kernel_runs_nothing_and_says_what_is_missing() {
    for (call, missing) in [
        (libc::SYS_landlock_create_ruleset, "this kernel has no Landlock"),
        (libc::SYS_seccomp, "this kernel does not take a list of system calls"),
    ] {
        let worker = env!("CARGO_BIN_EXE_chaski-sandbox-worker");
        let arguments = ["-I", "-c", OLD_KERNEL, &call.to_string(), worker];
        let launcher = Launcher::new(&PYTHON.program, arguments);
        let interpreter =
            Interpreter::new(launcher, PYTHON.clone(), InterpreterOptions::default()).unwrap();
        let job = Job { code: "1".to_owned(), files: Vec::new() };
        let error = interpreter.run(None, &job, &AtomicBool::new(false)).unwrap_err();
        assert!(error.message.contains(missing), "{}", error.message);
        assert!(error.message.contains("; use"), "{}", error.message);
    }
}
