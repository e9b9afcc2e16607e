//! A worker: claims a job, keeps its lease while it works, and ends it.

use super::{Failure, Job, JobState, Jobs, length, milliseconds};
use crate::data::new_id;
use async_trait::async_trait;
use chaski_api::Result;
use chaski_store::{Batch, Condition, Database, Held, Order, Owner, RowError, Scope};
use futures_util::FutureExt;
use std::{
    collections::HashSet,
    future::pending,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How many claimable jobs are looked at in one turn.
const TURN: usize = 16;

/// A kind of work.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    /// The name of the kind in the table.
    fn kind(&self) -> &'static str;

    /// Does the work. Everything that it does outside the database must do no harm when it is done
    /// again, and it may end at any await point. What it answers is changed together with the end of
    /// the job.
    async fn run(&self, task: &Task) -> Result<Batch, Failure>;

    /// What is changed together with the failure of a job.
    async fn failed(&self, task: &Task, failure: &Failure) -> Result<Batch>;

    /// Tidies up after somebody took the job away while it ran.
    async fn taken(&self, task: &Task);
}

/// A job that is being worked on.
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) owner: Owner,
    done: AtomicI64,
    total: AtomicI64,
}

impl Task {
    pub(crate) fn of(held: &Held<Job>) -> Self {
        Self {
            job: held.record.clone(),
            owner: held.owner().clone(),
            done: AtomicI64::new(held.record.done),
            total: AtomicI64::new(held.record.total),
        }
    }

    /// Says how far the work is; it is kept with the next sign of life.
    pub(crate) fn progress(&self, done: i64, total: i64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }
}

/// How the work on a job ended.
enum Ending {
    Ran(Result<Batch, Failure>),
    /// Somebody took the job away.
    Taken,
    /// The process stops.
    Stopping,
}

/// Works until the jobs stop.
pub(super) async fn run(jobs: Jobs, kinds: Arc<[Arc<dyn Work>]>) {
    let name = new_id("worker_");
    let mut stopping = jobs.0.stopping.subscribe();
    loop {
        if *stopping.borrow_and_update() {
            return;
        }
        // Registered before looking, so that what comes in between is not missed.
        let work = jobs.0.work.notified();
        match claim(&jobs, &kinds, &name).await {
            Ok(Some((held, kind))) => {
                if let Err(error) = work_on(&jobs, held, kind.as_ref()).await {
                    // Its lease runs out, and somebody begins it again.
                    tracing::warn!(target: "core", "a job could not be ended: {error}");
                }
            }
            Ok(None) => {
                tokio::select! {
                    outcome = timeout(jobs.0.pace.look, work) => drop(outcome),
                    stopped = stopping.changed() => drop(stopped),
                }
            }
            Err(error) => {
                tracing::warn!(target: "core", "the table of jobs cannot be read: {error}");
                sleep(jobs.0.pace.look).await;
            }
        }
    }
}

/// Takes a job that is due: the oldest of a group that no worker is at, so that a large group does
/// not make the others wait; or the oldest of all.
async fn claim<'a>(
    jobs: &Jobs,
    kinds: &'a [Arc<dyn Work>],
    worker: &str,
) -> Result<Option<(Held<Job>, &'a Arc<dyn Work>)>, RowError> {
    let served = jobs.served().values().cloned().collect::<HashSet<String>>();
    if !served.is_empty()
        && let Some(claimed) = claim_beside(jobs, kinds, worker, &served).await?
    {
        return Ok(Some(claimed));
    }
    claim_beside(jobs, kinds, worker, &HashSet::new()).await
}

/// Takes the oldest job that is due and of none of these groups.
async fn claim_beside<'a>(
    jobs: &Jobs,
    kinds: &'a [Arc<dyn Work>],
    worker: &str,
    groups: &HashSet<String>,
) -> Result<Option<(Held<Job>, &'a Arc<dyn Work>)>, RowError> {
    let database = &jobs.0.database;
    let mut due = Database::query::<Job>(Scope::Upkeep)
        .with(Condition::at_most("due", milliseconds()))
        .with(Condition::one_of("kind", kinds.iter().map(|kind| kind.kind())));
    for group in groups {
        due = due.with(Condition::is_not("belongs_to", group.as_str()));
    }
    let due = due.order(Order::OldestFirst).limit(TURN);
    for held in database.list(due).await?.records {
        let Some(kind) = kinds.iter().find(|kind| kind.kind() == held.record.kind) else {
            continue;
        };
        let mut job = held.record.clone();
        if job.attempts >= jobs.0.pace.attempts {
            // Nobody came back from it to say why.
            let failure = Failure::lasting(
                "server_error",
                format!("the server ended {} times while it worked on this", job.attempts),
            );
            let task = Task::of(&held);
            match end_failed(jobs, &held, kind.as_ref(), &task, failure).await {
                Ok(()) | Err(RowError::Changed { .. }) => continue,
                Err(error) => return Err(error),
            }
        }
        job.state = JobState::Running;
        job.attempts += 1;
        worker.clone_into(&mut job.worker);
        job.due = milliseconds() + length(jobs.0.pace.lease);
        match database.replace(&held, &job).await {
            Ok(()) => {}
            // Somebody else was faster.
            Err(RowError::Changed { .. }) => continue,
            Err(error) => return Err(error),
        }
        if let Some(held) = database.get::<Job>(Scope::Upkeep, &job.id).await?
            && held.record == job
        {
            jobs.served().insert(worker.to_owned(), job.group.clone());
            return Ok(Some((held, kind)));
        }
    }
    Ok(None)
}

async fn work_on(jobs: &Jobs, mut held: Held<Job>, kind: &dyn Work) -> Result<(), RowError> {
    let task = Task::of(&held);
    let mut stopping = jobs.0.stopping.subscribe();
    let ending = {
        let work = AssertUnwindSafe(kind.run(&task)).catch_unwind();
        tokio::pin!(work);
        loop {
            let changed = jobs.0.changed.notified();
            tokio::select! {
                outcome = &mut work => {
                    let panicked = |_| Err(Failure::lasting("server_error", "a fault of the server"));
                    break Ending::Ran(outcome.unwrap_or_else(panicked));
                }
                () = sleep(jobs.0.pace.lease / 3) => {}
                () = changed => {}
                () = told(&mut stopping) => break Ending::Stopping,
            }
            match renew(jobs, &held, &task).await {
                Ok(Some(renewed)) => held = renewed,
                Ok(None) => break Ending::Taken,
                // A store that comes back in time finds the lease still there.
                Err(error) => tracing::warn!(target: "core", "a lease was not renewed: {error}"),
            }
        }
    };
    match ending {
        Ending::Ran(Ok(batch)) => {
            let mut job = finished(&held, &task, JobState::Done);
            job.done = job.total;
            match jobs.0.database.apply(batch.replace(&held, &job)).await {
                Err(RowError::Changed { .. }) => {
                    if still_ours(jobs, &held).await? {
                        // What the work changed was changed by somebody else too.
                        give_back(jobs, &held, &task, true).await
                    } else {
                        kind.taken(&task).await;
                        Ok(())
                    }
                }
                outcome => outcome,
            }
        }
        Ending::Ran(Err(failure)) => {
            if failure.passing && held.record.attempts < jobs.0.pace.attempts {
                tracing::info!(
                    target: "core",
                    job = held.record.id,
                    attempt = held.record.attempts,
                    "a job is tried again: {}",
                    failure.message
                );
                return give_back(jobs, &held, &task, true).await;
            }
            match end_failed(jobs, &held, kind, &task, failure).await {
                Err(RowError::Changed { .. }) => {
                    kind.taken(&task).await;
                    Ok(())
                }
                outcome => outcome,
            }
        }
        Ending::Taken => {
            kind.taken(&task).await;
            Ok(())
        }
        Ending::Stopping => give_back(jobs, &held, &task, false).await,
    }
}

/// Waits until the process stops.
async fn told(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        pending::<()>().await;
    }
}

/// A sign of life: the lease begins anew. Nothing if the job is not ours any more.
async fn renew(jobs: &Jobs, held: &Held<Job>, task: &Task) -> Result<Option<Held<Job>>, RowError> {
    let mut job = held.record.clone();
    job.due = milliseconds() + length(jobs.0.pace.lease);
    job.done = task.done.load(Ordering::Relaxed);
    job.total = task.total.load(Ordering::Relaxed);
    match jobs.0.database.replace(held, &job).await {
        Ok(()) => jobs.0.database.get::<Job>(held.owner(), &job.id).await,
        Err(RowError::Changed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn still_ours(jobs: &Jobs, held: &Held<Job>) -> Result<bool, RowError> {
    let now = jobs.0.database.get::<Job>(held.owner(), &held.record.id).await?;
    Ok(now.is_some_and(|now| now == *held))
}

/// Lets the job be begun again: later if it did not work, at once if the process stops.
async fn give_back(
    jobs: &Jobs,
    held: &Held<Job>,
    task: &Task,
    later: bool,
) -> Result<(), RowError> {
    let mut job = held.record.clone();
    job.state = JobState::Waiting;
    job.worker.clear();
    job.done = task.done.load(Ordering::Relaxed);
    job.due = milliseconds();
    if later {
        let times = u32::try_from(job.attempts.saturating_sub(1)).unwrap_or_default().min(8);
        job.due += length(jobs.0.pace.retry).saturating_mul(4_i64.saturating_pow(times));
    } else {
        job.attempts -= 1;
    }
    match jobs.0.database.replace(held, &job).await {
        Err(RowError::Changed { .. }) => Ok(()),
        outcome => outcome,
    }
}

async fn end_failed(
    jobs: &Jobs,
    held: &Held<Job>,
    kind: &dyn Work,
    task: &Task,
    failure: Failure,
) -> Result<(), RowError> {
    let batch = match kind.failed(task, &failure).await {
        Ok(batch) => batch,
        Err(error) => {
            tracing::warn!(target: "core", "a failure could not be told: {}", error.chain());
            return give_back(jobs, held, task, true).await;
        }
    };
    let mut job = finished(held, task, JobState::Failed);
    job.error = Some(failure);
    jobs.0.database.apply(batch.replace(held, &job)).await
}

fn finished(held: &Held<Job>, task: &Task, state: JobState) -> Job {
    Job {
        state,
        done: task.done.load(Ordering::Relaxed),
        total: task.total.load(Ordering::Relaxed),
        ended: Some(milliseconds()),
        ..held.record.clone()
    }
}
