//! The side of the caller: workers, each with one file at a time.

use super::{
    Opened, Source, WorkerCommand,
    frames::{self, FRAME_BYTES, Kind},
    worker::{Job, Structure},
};
use crate::{Document, Error, ErrorKind, Hints, Limits, Result, builder::Deadline};
use std::{
    collections::VecDeque,
    io::{self, BufReader, BufWriter, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How much longer than the parser the caller waits: the parser's own error is the better one.
const GRACE: Duration = Duration::from_secs(2);

/// A worker that read more bytes than these ends, so that it gives its memory back.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of the structure of a document at most.
const STRUCTURE_BYTES: usize = 512 * 1024 * 1024;

/// Bytes that are kept of what a worker complains about.
const COMPLAINT_BYTES: usize = 4096;

/// How many workers there are, and how long they live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Files that are parsed side by side.
    pub workers: usize,
    /// Files after which a worker is replaced, so that nothing piles up in it.
    pub files_per_worker: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { workers, files_per_worker: 500 }
    }
}

/// Workers that are kept for the next files. They are started when they are needed and end with
/// the pool.
pub struct Pool {
    command: WorkerCommand,
    options: PoolOptions,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Worker>,
    busy: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub fn new(command: WorkerCommand, options: PoolOptions) -> Self {
        Self { command, options, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Reads a file in a worker. Blocks until a worker is free and has read it; may be called from
    /// many threads.
    ///
    /// # Errors
    /// Those of [`crate::parse`], and those of the worker: it died, ran out of memory or time, or
    /// could not be started.
    pub fn parse(&self, source: Source<'_>, hints: &Hints, limits: &Limits) -> Result<Document> {
        let (mut file, bytes) = source.open()?;
        if bytes > limits.input_bytes {
            return Err(Error::limit("bytes", limits.input_bytes, "input_bytes"));
        }
        let turn = Turn::take(self);
        let mut worker = match turn.idle(limits) {
            Some(worker) => worker,
            None => Worker::start(&self.command, limits)?,
        };
        let job = Job { hints: hints.clone(), limits: limits.clone(), bytes };
        let is_new = worker.files == 0;
        let mut outcome = worker.run(&job, &mut file);
        if !is_new && !worker.is_fit() && outcome.as_ref().is_err_and(may_be_of_others) {
            // What earlier files left behind, or whoever killed the process, is no fault of this one.
            drop(worker);
            (file, _) = source.open()?;
            worker = Worker::start(&self.command, limits)?;
            outcome = worker.run(&job, &mut file);
        }
        let is_small = bytes <= KEPT_BYTES;
        if worker.is_fit() && is_small && worker.files < self.options.files_per_worker {
            turn.keep(worker);
        }
        outcome
    }
}

/// Whether a process that has read other files may have failed because of them.
fn may_be_of_others(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Crashed | ErrorKind::TooLarge)
}

/// The right to use a worker; gives it back when dropped.
struct Turn<'p>(&'p Pool);

impl<'p> Turn<'p> {
    fn take(pool: &'p Pool) -> Self {
        let most = pool.options.workers.max(1);
        let mut state = pool
            .freed
            .wait_while(locked(&pool.state), |state| state.busy >= most)
            .unwrap_or_else(PoisonError::into_inner);
        state.busy += 1;
        Self(pool)
    }

    /// A worker with the right limits, if one is waiting. Others make way for a new one.
    fn idle(&self, limits: &Limits) -> Option<Worker> {
        let mut state = locked(&self.0.state);
        let at = state.idle.iter().position(|worker| worker.memory == limits.memory_bytes);
        let found = at.map(|at| state.idle.swap_remove(at));
        let other = if found.is_none() { state.idle.pop() } else { None };
        drop(state);
        drop(other);
        found
    }

    fn keep(&self, worker: Worker) {
        locked(&self.0.state).idle.push(worker);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        locked(&self.0.state).busy -= 1;
        self.0.freed.notify_one();
    }
}

/// Reads one file in a worker that is started for it.
///
/// # Errors
/// See [`Pool::parse`].
pub fn parse(
    command: &WorkerCommand,
    source: Source<'_>,
    hints: &Hints,
    limits: &Limits,
) -> Result<Document> {
    let options = PoolOptions { workers: 1, files_per_worker: 1 };
    Pool::new(command.clone(), options).parse(source, hints, limits)
}

/// A process that parses.
struct Worker {
    child: Arc<Mutex<Child>>,
    /// `None` once it has broken.
    streams: Option<(BufWriter<ChildStdin>, BufReader<ChildStdout>)>,
    /// What it has complained about, once it has ended.
    complaints: mpsc::Receiver<String>,
    memory: u64,
    files: usize,
}

impl Worker {
    fn start(command: &WorkerCommand, limits: &Limits) -> Result<Self> {
        let failed = |reason: &dyn std::fmt::Display| {
            let program = command.program.display();
            let message = format!("cannot start `{program}` to parse a file: {reason}");
            Error::new(ErrorKind::Worker, message)
        };
        // The worker needs no secrets of the environment.
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let (Some(input), Some(output), Some(complaints)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(&"it has no streams"));
        };
        let (said, hear) = mpsc::channel();
        let listener =
            thread::Builder::new().name("parse-complaints".to_owned()).spawn(move || {
                // Nobody may be interested any more.
                let _ = said.send(last_of(complaints));
            });
        let worker = Self {
            child: Arc::new(Mutex::new(child)),
            streams: Some((BufWriter::new(input), BufReader::new(output))),
            complaints: hear,
            memory: limits.memory_bytes,
            files: 0,
        };
        // From here on the worker is ended when it is dropped.
        listener.map_err(|error| failed(&error))?;
        Ok(worker)
    }

    fn is_fit(&self) -> bool {
        self.streams.is_some()
    }

    /// Has a file parsed. After a failure of the process it is gone.
    fn run(&mut self, job: &Job, file: &mut Opened<'_>) -> Result<Document> {
        let Some((mut input, mut output)) = self.streams.take() else {
            return Err(Error::new(ErrorKind::Worker, "the worker has ended"));
        };
        self.files += 1;
        let late = Arc::new(AtomicBool::new(false));
        let watch = Watch::begin(&self.child, &late, job.limits.time.saturating_add(GRACE))?;
        let answer = send(&mut input, job, file).and_then(|()| receive(&mut output, &job.limits));
        watch.end();
        match answer {
            Ok(outcome) => {
                self.streams = Some((input, output));
                outcome.and_then(Document::checked)
            }
            Err(Broken::File(error)) => Err(error),
            Err(Broken::Worker(reason)) => {
                drop((input, output));
                Err(self.autopsy(&reason, late.load(Ordering::SeqCst), &job.limits))
            }
        }
    }

    /// Why a process broke off.
    fn autopsy(&mut self, broken: &io::Error, late: bool, limits: &Limits) -> Error {
        let status = {
            let mut child = locked(&self.child);
            let _ = child.kill();
            child.wait()
        };
        let complaints = self.complaints.recv_timeout(GRACE).unwrap_or_default();
        let signal = status.as_ref().ok().copied().and_then(signal);
        if late || signal == Some(SIGXCPU) {
            return Deadline::passed(limits.time.as_secs());
        }
        let no_memory = complaints.contains("memory allocation of");
        if no_memory {
            let memory = limits.memory_bytes;
            return Error::limit(
                "bytes to keep in memory while it is read",
                memory,
                "memory_bytes",
            );
        }
        let reason = match (signal, status) {
            _ if complaints.contains("overflowed its stack") => "its stack was full".to_owned(),
            (Some(signal), _) if signal != SIGKILL => format!("signal {signal}"),
            (None, Ok(status)) if !status.success() => format!("{status}"),
            _ => broken.to_string(),
        };
        let message = format!(
            "the parser died on this file ({reason}); save it again in another program, \
             or convert it to text"
        );
        Error::new(ErrorKind::Crashed, message)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.streams = None;
        let mut child = locked(&self.child);
        // It has nothing to lose, and may be busy with a file that nobody waits for.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

/// The numbers of two signals, the same on all systems that have them.
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Kills a worker when its time is over.
struct Watch {
    done: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn begin(child: &Arc<Mutex<Child>>, late: &Arc<AtomicBool>, time: Duration) -> Result<Self> {
        let (done, wait) = mpsc::channel::<()>();
        let (child, late) = (child.clone(), late.clone());
        let thread = thread::Builder::new().name("parse-timer".to_owned()).spawn(move || {
            if wait.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                late.store(true, Ordering::SeqCst);
                let _ = locked(&child).kill();
            }
        });
        let failed = |error| {
            let message = format!("cannot start a thread to watch the time: {error}");
            Error::new(ErrorKind::Worker, message)
        };
        Ok(Self { done, thread: thread.map_err(failed)? })
    }

    fn end(self) {
        drop(self.done);
        let _ = self.thread.join();
    }
}

/// What went wrong between the two processes.
enum Broken {
    /// The file could not be read; the worker must end, because it waits for the rest.
    File(Error),
    Worker(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Worker(error)
    }
}

/// Sends a file.
fn send(input: &mut impl Write, job: &Job, file: &mut Opened<'_>) -> Result<(), Broken> {
    let job_text = serde_json::to_vec(job).map_err(io::Error::other)?;
    frames::write(input, Kind::Job, &job_text)?;
    let mut piece = vec![0; FRAME_BYTES];
    let mut sent = 0_u64;
    loop {
        let count = file.read(&mut piece).map_err(|error| {
            let message = format!("the file cannot be read to its end: {error}");
            Broken::File(Error::new(ErrorKind::Unreadable, message))
        })?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        // A file may grow while it is read.
        sent = sent.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if sent > job.limits.input_bytes {
            let limit = job.limits.input_bytes;
            return Err(Broken::File(Error::limit("bytes", limit, "input_bytes")));
        }
        frames::write(input, Kind::Data, bytes)?;
    }
    frames::write(input, Kind::Go, &[])?;
    Ok(input.flush()?)
}

/// Receives the document or the error of a file.
fn receive(output: &mut impl Read, limits: &Limits) -> Result<Result<Document>, Broken> {
    let (mut text, mut structure) = (Vec::new(), Vec::new());
    loop {
        let Some((kind, bytes)) = frames::read(output)? else {
            return Err(Broken::Worker(io::Error::other("it ended without an answer")));
        };
        match kind {
            Kind::Text => text.extend(bytes),
            Kind::Structure => structure.extend(bytes),
            Kind::Done => break,
            Kind::Failed => {
                return Ok(Err(serde_json::from_slice(&bytes).map_err(io::Error::other)?));
            }
            Kind::Job | Kind::Data | Kind::Go => {
                return Err(Broken::Worker(io::Error::other("an answer of the wrong kind")));
            }
        }
        // A worker that was taken over must not fill the memory of this process.
        if text.len() > limits.text_bytes || structure.len() > STRUCTURE_BYTES {
            return Err(Broken::Worker(io::Error::other("an answer that is too long")));
        }
    }
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let structure: Structure = serde_json::from_slice(&structure).map_err(io::Error::other)?;
    Ok(Ok(structure.with_text(text)))
}

/// The end of what a worker writes to its standard error.
fn last_of(mut complaints: impl Read) -> String {
    let mut last = VecDeque::new();
    let mut piece = [0; 1024];
    while let Ok(count) = complaints.read(&mut piece) {
        if count == 0 {
            break;
        }
        last.extend(piece.iter().take(count));
        let over = last.len().saturating_sub(COMPLAINT_BYTES);
        last.drain(..over);
    }
    String::from_utf8_lossy(last.make_contiguous()).into_owned()
}
