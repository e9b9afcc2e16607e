//! Parsing in workers: real processes, and processes that misbehave.

use chaski_documents::{
    ErrorKind, Hints, Limits,
    isolated::{Pool, PoolOptions, Source, WorkerCommand, parse},
};
use std::{
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

fn worker() -> WorkerCommand {
    WorkerCommand::new(env!("CARGO_BIN_EXE_chaski-documents-worker"), [""; 0])
}

/// A process that does something else than parse.
fn shell(script: &str) -> WorkerCommand {
    WorkerCommand::new("/bin/sh", ["-c", script])
}

fn hints() -> Hints {
    Hints::name("a.md")
}

const MIB: u64 = 1024 * 1024;

#[test]
fn a_worker_answers_what_the_parser_does() {
    let text = "# Title\n\nSome *text*.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n".repeat(5000);
    let limits = Limits::default();
    let here = chaski_documents::parse(text.as_bytes(), &hints(), &limits);
    let there = parse(&worker(), Source::Bytes(text.as_bytes()), &hints(), &limits);
    assert_eq!(here, there);
    assert_eq!(there.unwrap().text(), text);
}

#[test]
fn errors_of_files_come_through() {
    let outcome =
        parse(&worker(), Source::Bytes(b"\x7fELF\0\0\0"), &Hints::default(), &Limits::default());
    let here = chaski_documents::parse(b"\x7fELF\0\0\0", &Hints::default(), &Limits::default());
    assert_eq!(outcome, here);
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn files_are_read_by_their_path() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"Some text.").unwrap();
    let document =
        parse(&worker(), Source::Path(file.path()), &hints(), &Limits::default()).unwrap();
    assert_eq!(document.text(), "Some text.");
    for path in [Path::new("/no/such/file"), Path::new("/"), Path::new("/dev/zero")] {
        let error = parse(&worker(), Source::Path(path), &hints(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreadable, "{error}");
    }
    let limits = Limits { input_bytes: 5, ..Limits::default() };
    let error = parse(&worker(), Source::Path(file.path()), &hints(), &limits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

#[test]
fn a_command_that_is_none_is_an_error_of_the_worker() {
    let command = WorkerCommand::new("/no/such/program", [""; 0]);
    let error = parse(&command, Source::Bytes(b"text"), &hints(), &Limits::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Worker);
    assert!(error.message.contains("/no/such/program"), "{error}");
}

#[test]
fn workers_that_misbehave_are_errors_of_the_file() {
    for (script, word) in [
        ("kill -SEGV $$", "signal 11"),
        ("exit 3", "exit status: 3"),
        ("exit 0", "without an answer"),
        ("echo nonsense; exec sleep 1000", "unknown kind"),
        ("exec cat", "wrong kind"),
        ("echo \"thread 'x' has overflowed its stack\" >&2; kill -ABRT $$", "stack was full"),
    ] {
        let outcome = parse(&shell(script), Source::Bytes(b"text"), &hints(), &Limits::default());
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Crashed, "{script}: {error}");
        assert!(error.message.contains(word), "{script}: {error}");
    }
}

#[test]
fn a_worker_that_hangs_is_killed() {
    let limits = Limits { time: Duration::from_millis(100), ..Limits::default() };
    // One does not answer, the other does not even read: the file is more than a pipe holds.
    for (script, size) in [("cat >/dev/null; exec sleep 1000", 10), ("exec sleep 1000", 10_000_000)]
    {
        let started = Instant::now();
        let file = vec![b'x'; size];
        let error = parse(&shell(script), Source::Bytes(&file), &hints(), &limits).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
        assert!(started.elapsed() < Duration::from_mins(1));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_has_no_more_memory_than_allowed() {
    let limits = Limits { memory_bytes: 48 * MIB, ..Limits::default() };
    let file = "word ".repeat(6_000_000);
    let error = parse(&worker(), Source::Bytes(file.as_bytes()), &hints(), &limits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    assert!(error.message.contains("`memory_bytes`"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_worker_that_died_between_two_files_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "echo $$ >{}; exec {}",
        folder.path().join("pid").display(),
        env!("CARGO_BIN_EXE_chaski-documents-worker")
    );
    let pool = Pool::new(shell(&script), PoolOptions { workers: 1, files_per_worker: 9 });
    let read = || pool.parse(Source::Bytes(b"Some text."), &hints(), &Limits::default());
    read().unwrap();
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let kill = std::process::Command::new("kill").args(["-KILL", pid.trim()]).output();
    assert!(kill.unwrap().status.success());
    assert_eq!(read().unwrap().text(), "Some text.");
}

#[test]
fn a_failure_does_not_concern_the_next_file() {
    let pool = Pool::new(worker(), PoolOptions { workers: 2, files_per_worker: 3 });
    for round in 0..10 {
        let limits = Limits {
            memory_bytes: if round % 3 == 0 { 48 } else { 1024 } * MIB,
            ..Limits::default()
        };
        let large = "word ".repeat(6_000_000);
        let text = if round % 3 == 0 { large.as_str() } else { "Some text." };
        let outcome = pool.parse(Source::Bytes(text.as_bytes()), &hints(), &limits);
        assert_eq!(outcome.is_err(), round % 3 == 0, "round {round}");
    }
}

#[test]
fn a_pool_reads_many_files_from_many_threads() {
    let pool = Pool::new(worker(), PoolOptions { workers: 2, files_per_worker: 100 });
    thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for file in 0..250 {
                    let text = format!("# File {file}\n\nof thread {thread}");
                    let source = Source::Bytes(text.as_bytes());
                    let document = pool.parse(source, &hints(), &Limits::default()).unwrap();
                    assert_eq!(document.text(), text);
                }
            });
        }
    });
}
