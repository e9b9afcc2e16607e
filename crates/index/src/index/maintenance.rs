//! What happens in the background: merging, saving, taking out what has expired.

use super::{Core, open::fingerprint, snapshot::SEALED_ROWS};
use crate::{
    Error, Result, chunk,
    segment::{self, Part, Segment},
};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often the thread looks without being woken.
const ROUND: Duration = Duration::from_mins(1);
/// How long the thread leaves the writer to others between two steps.
const PAUSE: Duration = Duration::from_millis(1);

/// The thread of an index.
pub(super) struct Maintenance {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    woken: bool,
    stopped: bool,
    trouble: Option<String>,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; answers whether there will be any.
    fn wait(&self) -> bool {
        let idle = |state: &mut State| !state.woken && !state.stopped;
        let waited = self.changed.wait_timeout_while(self.state(), ROUND, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.woken = false;
        !state.stopped
    }

    fn stopped(&self) -> bool {
        self.state().stopped
    }
}

impl Maintenance {
    pub(super) fn start(core: Arc<Core>) -> Self {
        let signal = Arc::new(Signal::default());
        let own = Arc::clone(&signal);
        let started = thread::Builder::new().name("index".to_owned()).spawn(move || {
            loop {
                let outcome = core.maintain(&own);
                if let Err(error) = &outcome {
                    tracing::warn!(%error, "the search index could not be maintained");
                }
                own.state().trouble = outcome.err().map(|error| error.to_string());
                if !own.wait() {
                    break;
                }
            }
        });
        let thread = match started {
            Ok(thread) => Some(thread),
            Err(error) => {
                signal.state().trouble = Some(format!("the thread could not be started: {error}"));
                None
            }
        };
        Self { signal, thread: Mutex::new(thread) }
    }

    pub(super) fn wake(&self) {
        self.signal.state().woken = true;
        self.signal.changed.notify_one();
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.signal.state().trouble.clone()
    }

    /// Waits until the work at hand is done.
    pub(super) fn stop(&self) {
        self.signal.state().stopped = true;
        self.signal.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread of a search index ended by a panic");
        }
    }
}

impl Core {
    fn maintain(&self, signal: &Signal) -> Result<()> {
        if self.has_expired(chunk::now()) {
            self.expire(chunk::now())?;
        }
        loop {
            if signal.stopped() {
                return Ok(());
            }
            let Some(old) = self.snapshot.load().plan() else { break };
            self.merge(&old)?;
        }
        self.save(SEALED_ROWS, || signal.stopped())?;
        self.shrink(|| signal.stopped())
    }

    /// Gives the disk back what chunks that are gone took of the database, a little at a time.
    fn shrink(&self, stop: impl Fn() -> bool) -> Result<()> {
        if self.writer()?.is_hollow()? {
            let mut before = i64::MAX;
            while !stop() {
                let left = self.writer()?.shrink()?;
                // Where there are more than before, others write much: the next round goes on.
                if left == 0 || left >= before {
                    break;
                }
                before = left;
                thread::sleep(PAUSE);
            }
        }
        self.writer()?.cut()
    }

    fn has_expired(&self, now: u64) -> bool {
        let snapshot = self.snapshot.load();
        snapshot.parts.iter().any(|part| {
            let expired = part.segment.expiries.iter().take_while(|(time, _)| *time <= now);
            expired.into_iter().any(|(_, at)| part.alive.set.contains(*at as usize))
        })
    }

    fn merge(&self, old: &[Part]) -> Result<()> {
        let merged = Segment::merge(old, self.tools.rotation.width());
        // Where a writer was quicker, there is another plan.
        self.replace(old, merged).map(drop)
    }

    /// Saves the segments of at least so many chunks that are in no file.
    fn save(&self, least: usize, stop: impl Fn() -> bool) -> Result<()> {
        let snapshot = self.snapshot.load_full();
        for Part { segment, .. } in &snapshot.parts {
            if stop() {
                return Ok(());
            }
            if segment.file.get().is_some() || segment.len() < least {
                continue;
            }
            let (Some(first), Some(last)) = (segment.rows.first(), segment.rows.last()) else {
                continue;
            };
            let name = format!("{first:012}-{last:012}-{:06}.segment", segment.len());
            let path = self.place.segments.join(&name);
            let checksum = segment::store(segment, &path, fingerprint(&self.tools.settings))?;
            let mut writer = self.writer()?;
            let now = self.snapshot.load();
            let there = now.parts.iter().any(|part| Arc::ptr_eq(&part.segment, segment));
            if there {
                writer.set_segments(&[], &[(name.clone(), checksum)])?;
                drop(segment.file.set(name));
            } else {
                drop(writer);
                std::fs::remove_file(&path).map_err(Error::files("remove", &path))?;
            }
        }
        Ok(())
    }

    pub(super) fn compact(&self) -> Result<()> {
        while let Some(old) = self.snapshot.load().plan_all() {
            self.merge(&old)?;
        }
        self.save(0, || false)?;
        self.writer()?.tidy(false)
    }

    pub(super) fn close(&self) -> Result<()> {
        if self.snapshot.load().closed {
            return Ok(());
        }
        let saved = self.save_all();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.snapshot.rcu(|snapshot| {
            let mut closed = super::Snapshot::clone(snapshot);
            closed.closed = true;
            closed.parts.clear();
            closed
        });
        self.pool.clear();
        let tidied = writer.map_or(Ok(()), |writer| writer.tidy(true));
        saved.and(tidied)
    }

    /// The small segments at the end become one, so that they are one file.
    fn save_all(&self) -> Result<()> {
        let snapshot = self.snapshot.load_full();
        let small = snapshot.parts.iter().rev().take_while(|part| {
            part.segment.len() < SEALED_ROWS && part.segment.file.get().is_none()
        });
        let start = snapshot.parts.len() - small.count();
        if snapshot.parts.len() - start > 1 {
            self.merge(&snapshot.parts[start..])?;
        }
        self.save(0, || false)
    }
}
