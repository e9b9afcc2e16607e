//! Work that outlives a request: one durable table of jobs, and the workers that take them.
//!
//! A job is a row. A worker claims it for a limited time (a lease) and renews the lease while it
//! works; where its process dies, the lease runs out and the next worker begins again. What a job
//! changes in the database becomes visible together with its end, so that nothing happens twice.

mod record;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use record::{Failure, Job, JobState, TABLES};
pub(crate) use worker::{Task, Work};

use crate::data::new_id;
use chaski_api::Result;
use chaski_store::{Batch, Condition, Database, RowError, Scope};
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

/// How jobs are worked on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// For how long a claim counts without a sign of life.
    pub(crate) lease: Duration,
    /// How often somebody without work looks for work of other processes.
    pub(crate) look: Duration,
    /// The wait before the second attempt; each further one is four times as long.
    pub(crate) retry: Duration,
    /// The most attempts.
    pub(crate) attempts: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            look: Duration::from_secs(1),
            retry: Duration::from_secs(2),
            attempts: 5,
        }
    }
}

/// The jobs of all callers; clones are the same.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Inner>);

struct Inner {
    database: Database,
    pace: Pace,
    /// There is new work.
    work: Notify,
    /// A job that may be running was changed by somebody else.
    changed: Notify,
    /// No work is begun any more, and what runs is given back.
    stopping: watch::Sender<bool>,
    workers: Mutex<JoinSet<()>>,
    /// The group that each worker is at, or was at last.
    served: Mutex<HashMap<String, String>>,
}

impl Jobs {
    fn served(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn new(database: Database, pace: Pace) -> Self {
        Self(Arc::new(Inner {
            database,
            pace,
            work: Notify::new(),
            changed: Notify::new(),
            stopping: watch::Sender::new(false),
            workers: Mutex::default(),
            served: Mutex::default(),
        }))
    }

    /// A new job of this kind. It is done once it has been inserted, with [`Jobs::insert`].
    pub(crate) fn prepare(kind: &'static str, group: &str, input: &impl Serialize) -> Job {
        Job {
            id: new_id("job_"),
            kind: kind.to_owned(),
            group: group.to_owned(),
            state: JobState::Waiting,
            input: serde_json::to_value(input).unwrap_or_default(),
            done: 0,
            total: 0,
            attempts: 0,
            worker: String::new(),
            due: milliseconds(),
            ended: None,
            error: None,
        }
    }

    /// Makes changes that hold new jobs, and has them worked on.
    pub(crate) async fn apply(&self, batch: Batch) -> Result<(), RowError> {
        self.0.database.apply(batch).await?;
        self.look();
        Ok(())
    }

    /// Has workers look for new work.
    pub(crate) fn look(&self) {
        self.0.work.notify_waiters();
    }

    /// Makes changes that take jobs away, and has their workers stop at once.
    pub(crate) async fn interrupt(&self, batch: Batch) -> Result<(), RowError> {
        self.0.database.apply(batch).await?;
        self.0.changed.notify_waiters();
        Ok(())
    }

    /// Starts so many workers for these kinds of work.
    pub(crate) fn start(&self, kinds: Vec<Arc<dyn Work>>, workers: usize) {
        let kinds: Arc<[Arc<dyn Work>]> = kinds.into();
        let mut set = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..workers {
            set.spawn(worker::run(self.clone(), Arc::clone(&kinds)));
        }
    }

    /// Gives back what is being worked on, so that the next process begins with it at once.
    pub(crate) async fn stop(&self) {
        self.0.stopping.send_replace(true);
        let mut workers = {
            let mut set = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *set)
        };
        while workers.join_next().await.is_some() {}
    }

    /// Removes the jobs that ended before `time`, in milliseconds since 1970.
    pub(crate) async fn forget_ended(&self, time: i64) -> Result<()> {
        let like = vec![Condition::at_most("ended", time)];
        Ok(self.0.database.apply(Batch::default().clear::<Job>(Scope::Upkeep, like)).await?)
    }
}

/// The time in milliseconds since 1970.
pub(crate) fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A duration in milliseconds.
fn length(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
