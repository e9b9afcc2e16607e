//! One confined Python, and the calls that it answers.

use crate::{
    Launcher, Limits, Python,
    confine::Policy,
    folder::{Folder, Snapshot},
    output::{Captured, Outcome, Status},
    starter::Starter,
};
use chaski_api::{Error, Result};
use rustix::process::{Pid, Signal};
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::{fd::OwnedFd, unix::net::UnixStream, unix::process::ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Bytes of the code of a call at most.
pub const CODE_BYTES: usize = 1 << 20;

/// Bytes of an answer at most; the process is not trusted to keep to it.
const ANSWER_BYTES: usize = 64;

/// How often the folder is looked at, and whether the caller is still there.
const TICK: Duration = Duration::from_millis(50);

/// How long Python may take to start.
const START: Duration = Duration::from_secs(20);

/// What Python says when it has started.
const READY: &[u8] = b"ready";

/// What is to be run.
#[derive(Debug, Clone, Default)]
pub struct Job {
    pub code: String,
    /// Names and contents of files that the code finds in its folder.
    pub files: Vec<(String, Vec<u8>)>,
}

/// How a wait for an answer ended.
enum Wait {
    Answered(Vec<u8>),
    /// The process closed the connection, or answered what it was not asked.
    Broken,
    TimeOver,
    Cancelled,
    /// It uses more than it may; of what.
    Excess(String),
}

/// What a call left behind.
pub(crate) struct Called {
    pub(crate) outcome: Outcome,
    /// Whether the process can take another call.
    pub(crate) alive: bool,
}

/// A confined Python that waits for calls. It is stopped between them, so that no thread of the
/// code goes on, and killed when this value is dropped.
pub(crate) struct Process {
    child: Child,
    connection: UnixStream,
    stdout: File,
    stderr: File,
    folder: Folder,
    limits: Limits,
}

fn broken(error: io::Error) -> Error {
    Error::unavailable("a process for code cannot be started").caused_by(error)
}

impl Process {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be started, or not be confined, on this machine.
    pub(crate) fn start(
        starter: &Starter,
        launcher: &Launcher,
        python: &Python,
        limits: Limits,
    ) -> Result<Self> {
        let folder = Folder::new().map_err(broken)?;
        let (connection, theirs) = UnixStream::pair().map_err(broken)?;
        let output = || tempfile::tempfile().map_err(broken);
        let (stdout, stderr) = (output()?, output()?);
        let shared = |file: &File| file.try_clone().map(Stdio::from).map_err(broken);
        let mut command = Command::new(&launcher.program);
        command
            .args(&launcher.arguments)
            .arg(Policy::new(python, &folder, &limits).argument()?)
            .env_clear()
            .current_dir(folder.work())
            .stdin(OwnedFd::from(theirs))
            .stdout(shared(&stdout)?)
            .stderr(shared(&stderr)?);
        let child = starter.start(command).map_err(broken)?;
        let mut process = Self { child, connection, stdout, stderr, folder, limits };
        match process.wait(Instant::now() + START, &AtomicBool::new(false)) {
            Wait::Answered(ready) if ready == READY => {
                process.signal(Signal::STOP);
                Ok(process)
            }
            Wait::TimeOver => Err(Error::unavailable(format!(
                "Python did not start within {} seconds",
                START.as_secs()
            ))),
            Wait::Answered(_) | Wait::Broken | Wait::Cancelled | Wait::Excess(_) => {
                let ended = process.end();
                let said = Captured::read(&process.stderr, 4096).unwrap_or_default().text;
                let said = said.trim().trim_start_matches("error: ");
                let why = if said.is_empty() { ended } else { said.to_owned() };
                Err(Error::unavailable(format!("code cannot be run on this machine: {why}")))
            }
        }
    }

    /// Runs code. Blocks until it has ended, its time is over, or the caller has gone.
    ///
    /// # Errors
    /// `InvalidRequest` for files or code that cannot be taken; the process goes on then.
    pub(crate) fn call(&mut self, job: &Job, cancelled: &AtomicBool) -> Result<Called> {
        for (name, content) in &job.files {
            self.folder.place(name, content)?;
        }
        let before = self.folder.snapshot(&self.limits);
        for file in [&mut self.stdout, &mut self.stderr] {
            file.set_len(0).and_then(|()| file.rewind()).map_err(broken)?;
        }
        let until = Instant::now() + self.limits.time;
        let number = Uuid::new_v4().to_string();
        self.signal(Signal::CONT);
        let wait = match self.send(&number, &job.code) {
            Ok(()) => self.wait(until, cancelled),
            Err(_) => Wait::Broken,
        };
        let seconds = self.limits.time.as_secs_f64();
        let (status, ended) = match wait {
            Wait::Answered(answer) if answer == number.as_bytes() => {
                self.signal(Signal::STOP);
                (Status::Completed, None)
            }
            Wait::Answered(_) | Wait::Broken => (Status::Error, Some(self.end())),
            Wait::TimeOver => {
                self.end();
                (Status::Timeout, Some(format!("it took longer than {seconds} seconds")))
            }
            Wait::Cancelled => {
                self.end();
                (Status::Error, Some("nobody waits for it any more".to_owned()))
            }
            Wait::Excess(what) => {
                self.end();
                (Status::Error, Some(what))
            }
        };
        let notes = ended.map(|why| format!("the process was ended: {why}"));
        let outcome = self.outcome(status, notes.into_iter().collect(), &before);
        Ok(Called { outcome, alive: status == Status::Completed })
    }

    fn outcome(&self, status: Status, notes: Vec<String>, before: &Snapshot) -> Outcome {
        let captured = |file| Captured::read(file, self.limits.output_bytes).unwrap_or_default();
        Outcome {
            status,
            stdout: captured(&self.stdout),
            stderr: captured(&self.stderr),
            notes,
            files: self.folder.produced(before, &self.limits),
        }
    }

    fn send(&mut self, number: &str, code: &str) -> io::Result<()> {
        let length = u32::try_from(number.len() + code.len()).map_err(io::Error::other)?;
        self.connection.set_write_timeout(Some(self.limits.time))?;
        self.connection.write_all(&length.to_le_bytes())?;
        self.connection.write_all(number.as_bytes())?;
        self.connection.write_all(code.as_bytes())
    }

    /// Waits for an answer.
    fn wait(&mut self, until: Instant, cancelled: &AtomicBool) -> Wait {
        let mut received = Vec::new();
        let mut looked = Instant::now();
        loop {
            if cancelled.load(Ordering::SeqCst) {
                return Wait::Cancelled;
            }
            if looked.elapsed() >= TICK {
                let usage = self.folder.usage(self.child.id(), &self.limits);
                if let Some(what) = usage.excess(&self.limits) {
                    return Wait::Excess(what);
                }
                looked = Instant::now();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Wait::TimeOver;
            }
            let mut buffer = [0; ANSWER_BYTES];
            let read = self
                .connection
                .set_read_timeout(Some(left.min(TICK)))
                .and_then(|()| self.connection.read(&mut buffer));
            match read {
                Ok(0) => return Wait::Broken,
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) if is_passing(&error) => continue,
                Err(_) => return Wait::Broken,
            }
            let Some((length, rest)) = received.split_first_chunk() else { continue };
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            if length > ANSWER_BYTES || rest.len() > length {
                return Wait::Broken;
            }
            if rest.len() == length {
                return Wait::Answered(rest.to_vec());
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let number = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(number) = number {
            // It may have ended, which the next wait finds out.
            let _ = rustix::process::kill_process(number, signal);
        }
    }

    /// Kills the process, unless it has ended by itself, and says how it ended.
    fn end(&mut self) -> String {
        let _ = self.child.kill();
        self.child
            .wait()
            .map_or_else(|error| error.to_string(), |status| describe(status, &self.limits))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// How a process ended.
fn describe(status: ExitStatus, limits: &Limits) -> String {
    let Some(signal) = status.signal() else {
        return match status.code() {
            Some(0) => "it ended itself".to_owned(),
            Some(code) => format!("it ended itself with the code {code}"),
            None => status.to_string(),
        };
    };
    let signal = Signal::from_named_raw(signal);
    if signal == Some(Signal::XCPU) {
        return format!("it has used {} seconds of processor time", limits.cpu_seconds);
    }
    if signal == Some(Signal::KILL) {
        return "it broke the connection to the server, or the system killed it".to_owned();
    }
    if signal == Some(Signal::SEGV) {
        return "it crashed on an invalid address, or its stack was full".to_owned();
    }
    status.to_string()
}
