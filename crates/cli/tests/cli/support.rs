//! A folder to run the binary in, with an environment that is empty but for what a test sets.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Place {
    folder: TempDir,
}

/// What a command that ended left behind.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// The exit code, and all that was said about the failure.
    #[track_caller]
    pub(crate) fn failed_with(self, code: i32, message: &str) {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        assert_eq!(self.err, message);
        assert_eq!(self.out, "");
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("the output is JSON")
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("it is ours");
        fs::write(path, text).expect("it is ours");
    }

    /// The binary with `args`, to be run in this folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaski"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("CHASKI_CONFIG_DIR", self.path("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.finish(self.command(args).spawn().expect("the binary runs"), "")
    }

    /// Runs the binary with variables in its environment.
    pub(crate) fn run_in(&self, args: &[&str], variables: &[(&str, String)]) -> Ran {
        let mut command = self.command(args);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        self.finish(command.spawn().expect("the binary runs"), "")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let child = self.command(args).stdin(Stdio::piped()).spawn().expect("the binary runs");
        self.finish(child, input)
    }

    fn finish(&self, mut child: Child, input: &str) -> Ran {
        if let Some(mut stdin) = child.stdin.take() {
            // The command may end without reading everything.
            let _ = stdin.write_all(input.as_bytes());
        }
        let pid = child.id();
        let (ended, waiting) = channel::<()>();
        // A command that does not end fails the test in place of hanging it.
        let watch = thread::spawn(move || {
            if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                kill("KILL", pid);
            }
        });
        let output = child.wait_with_output().expect("the command ends");
        drop(ended);
        watch.join().expect("the watch ends");
        let text = |bytes| self.normal(&String::from_utf8(bytes).expect("the output is text"));
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The text without what differs from run to run.
    fn normal(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "[folder]")
    }

    /// Starts a server on a free port and waits until it listens.
    pub(crate) fn serve(&self, args: &[&str]) -> Serving {
        let mut all = vec!["run", "--port", "0"];
        all.extend(args);
        Serving::start(self.command(&all))
    }
}

/// A server that runs.
pub(crate) struct Serving {
    child: Child,
    lines: Receiver<String>,
    pub(crate) log: Vec<Value>,
    pub(crate) urls: Vec<String>,
}

impl Serving {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary runs");
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut serving = Self { child, lines, log: Vec::new(), urls: Vec::new() };
        let line = serving.wait_for("Listening on");
        let urls = line["urls"].as_str().expect("the line has the URLs");
        serving.urls = urls.split(' ').map(str::to_owned).collect();
        serving
    }

    pub(crate) fn url(&self) -> &str {
        &self.urls[0]
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line whose message contains `text`.
    #[expect(clippy::panic, reason = "a test that waits in vain has failed")]
    pub(crate) fn wait_for(&mut self, text: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("no `{text}` in {:#?}", self.log),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without `{text}`: {:#?}", self.log)
                }
            };
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| line.into());
            self.log.push(line.clone());
            let message = line["message"].as_str().or(line.as_str()).unwrap_or_default();
            if message.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(kill(name, self.pid()));
    }

    /// Waits for the end, and takes in the rest of the log.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) =
            self.lines.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.log.push(serde_json::from_str(&line).unwrap_or_else(|_| line.into()));
        }
        assert!(Instant::now() < until, "it did not end: {:#?}", self.log);
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(signal: &str, pid: u32) -> bool {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    sent.expect("there is `kill`").success()
}
