//! Processes for calls, and processes that are kept for the next call of a session.

use crate::{
    Launcher, Limits, Python, folder,
    output::Outcome,
    private::remove_abandoned,
    process::{CODE_BYTES, Job, Process},
    starter::Starter,
};
use chaski_api::{Error, Result};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Sessions of which it is remembered that their process is gone.
const REMEMBERED: usize = 1024;

/// How processes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterpreterOptions {
    pub limits: Limits,
    /// Processes that are kept at most. The one that has waited longest makes way.
    pub sessions: usize,
    /// How long a process is kept without a call.
    pub idle: Duration,
}

impl Default for InterpreterOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), sessions: 8, idle: Duration::from_mins(10) }
    }
}

/// Runs Python code in confined processes. All methods block, and may be called from many threads.
pub struct Interpreter {
    launcher: Launcher,
    python: Python,
    options: InterpreterOptions,
    starter: Starter,
    sessions: Mutex<HashMap<String, Session>>,
}

/// A session. Its calls wait for each other.
struct Session {
    place: Arc<Mutex<Place>>,
    used: Instant,
    /// Whether there is a process, as far as is known without waiting.
    kept: bool,
}

#[derive(Default)]
struct Place {
    process: Option<Process>,
    /// Why the last process is gone, until the code has been told.
    gone: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Interpreter {
    /// Removes the folders that killed processes have left.
    ///
    /// # Errors
    /// `Unavailable` if the system gives no thread.
    pub fn new(launcher: Launcher, python: Python, options: InterpreterOptions) -> Result<Self> {
        remove_abandoned(&std::env::temp_dir(), folder::remove);
        let starter = Starter::new()
            .map_err(|error| Error::unavailable("no thread can be started").caused_by(error))?;
        Ok(Self { launcher, python, options, starter, sessions: Mutex::default() })
    }

    /// Runs code: in the process of the session, where the key of one is given, so that it finds
    /// the variables and files of earlier calls; else in a process of its own. Keys are secrets of
    /// whoever may see the session. Returns soon after `cancelled` is set, at the cost of the
    /// process.
    ///
    /// # Errors
    /// `InvalidRequest` for code or files that cannot be taken, `Unavailable` if no process can be
    /// started. What goes wrong in the code is an outcome.
    pub fn run(&self, session: Option<&str>, job: &Job, cancelled: &AtomicBool) -> Result<Outcome> {
        if job.code.len() > CODE_BYTES {
            let message = format!("`code` must have at most {CODE_BYTES} bytes");
            return Err(Error::invalid(message).with_param("kwargs"));
        }
        let Some(key) = session else {
            return Ok(self.start()?.call(job, cancelled)?.outcome);
        };
        let place = self.place(key);
        let mut place = locked(&place);
        let told = place.gone.take();
        let process = place.process.take().map_or_else(|| self.start(), Ok);
        let called = process.and_then(|mut process| {
            let called = process.call(job, cancelled);
            // Files that cannot be taken leave the process as it was.
            if called.as_ref().map_or(true, |called| called.alive) {
                place.process = Some(process);
            }
            called
        });
        let alive = place.process.is_some();
        if !alive && cancelled.load(Ordering::SeqCst) {
            place.gone = Some("the caller of the call before gave up".to_owned());
        }
        if let Some(session) = locked(&self.sessions).get_mut(key) {
            session.used = Instant::now();
            session.kept = alive;
        }
        drop(place);
        self.make_room(self.options.sessions);
        let mut outcome = called?.outcome;
        if !alive {
            outcome.notes.push("the variables and files of this session are lost".to_owned());
        }
        if let Some(why) = told {
            outcome.notes.insert(
                0,
                format!(
                    "{why}; the variables and files of earlier calls were lost before this one"
                ),
            );
        }
        Ok(outcome)
    }

    /// Ends the processes that have waited too long.
    pub fn sweep(&self) {
        let idle = self.options.idle;
        let mut sessions = locked(&self.sessions);
        let old = sessions.values_mut().filter(|session| session.used.elapsed() >= idle);
        let why = format!("no code was run for {} seconds", idle.as_secs());
        let ended: Vec<Process> = old.filter_map(|session| session.close(&why)).collect();
        forget(&mut sessions, REMEMBERED);
        drop(sessions);
        drop(ended);
    }

    /// Ends all processes that wait.
    pub fn close(&self) {
        let mut sessions = locked(&self.sessions);
        let why = "the server was shut down";
        let ended: Vec<Process> =
            sessions.values_mut().filter_map(|session| session.close(why)).collect();
        drop(sessions);
        drop(ended);
    }

    /// Processes that are kept.
    pub fn kept(&self) -> usize {
        locked(&self.sessions).values().filter(|session| session.kept).count()
    }

    fn start(&self) -> Result<Process> {
        Process::start(&self.starter, &self.launcher, &self.python, self.options.limits)
    }

    /// Ends the processes that have waited longest, until there are at most so many; or until the
    /// others are at work.
    fn make_room(&self, most: usize) {
        let mut sessions = locked(&self.sessions);
        let kept = sessions.values().filter(|session| session.kept).count();
        let why = "too many other sessions ran code";
        let mut waiting: Vec<&mut Session> = sessions.values_mut().collect();
        waiting.sort_by_key(|session| session.used);
        let closed = waiting.into_iter().filter_map(|session| session.close(why));
        let ended: Vec<Process> = closed.take(kept.saturating_sub(most)).collect();
        drop(sessions);
        drop(ended);
    }

    /// The place of a session, which counts as one with a process. Another one makes way for it.
    fn place(&self, key: &str) -> Arc<Mutex<Place>> {
        if !locked(&self.sessions).get(key).is_some_and(|session| session.kept) {
            self.make_room(self.options.sessions.saturating_sub(1));
        }
        let mut sessions = locked(&self.sessions);
        let session = sessions.entry(key.to_owned()).or_insert_with(|| Session {
            place: Arc::default(),
            used: Instant::now(),
            kept: true,
        });
        session.kept = true;
        session.used = Instant::now();
        let place = Arc::clone(&session.place);
        forget(&mut sessions, REMEMBERED);
        place
    }
}

impl Session {
    /// Takes the process away, unless a call uses it.
    fn close(&mut self, why: &str) -> Option<Process> {
        let mut place = self.place.try_lock().ok()?;
        let process = place.process.take()?;
        place.gone = Some(why.to_owned());
        self.kept = false;
        Some(process)
    }
}

/// Forgets the sessions without a process that were used longest ago.
fn forget(sessions: &mut HashMap<String, Session>, most: usize) {
    while sessions.len() > most {
        let empty = sessions.iter().filter(|(_, session)| !session.kept);
        let Some(oldest) = empty.min_by_key(|(_, session)| session.used) else { return };
        let key = oldest.0.clone();
        sessions.remove(&key);
    }
}
