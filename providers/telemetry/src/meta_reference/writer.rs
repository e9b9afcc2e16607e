//! The one who writes: takes spans as they end, and puts them into the database in batches.
//!
//! Requests hand spans over by a queue of bounded length and never wait for it.

use super::{
    blocks::{BlockId, Clock, Draft, SPANS, fill, read, read_some},
    earlier,
    ids::TraceId,
    index::{HashMap, Index, MOST, Own, Shared},
    records::{Facts, StoredBlock, StoredSpan, micros, now},
    reported::Reported,
};
use chaski_api::{Error, Result};
use chaski_provider::EndedSpan;
use chaski_store::{Batch, Database, Owner, Place, RowError, Scope};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Spans that wait to be written; the others are lost.
const WAITING: usize = 8192;
/// The spans that are written together. Each time costs the disk some pages beside those of the
/// blocks, which is most of it where few spans are written at a time.
const TOGETHER: usize = 8 * SPANS;
/// How long spans are gathered before they are written, unless there are enough before.
const WINDOW: Duration = Duration::from_millis(200);
/// How often it is seen whether there are enough.
const LOOK: Duration = Duration::from_millis(20);
/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_mins(1);
/// The blocks that are removed at a time.
const REMOVED: usize = 256;
/// The blocks that are read at a time.
const AT_ONCE: usize = 8;
const MICROS: i64 = 1_000_000;

/// A span on its way to the database.
pub(super) enum Message {
    Ended(EndedSpan),
    Reported(Box<Reported>),
}

/// How much is kept.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) traces: usize,
    pub(super) spans: usize,
    /// In microseconds.
    pub(super) age: i64,
}

/// Where spans are handed over.
#[derive(Clone)]
pub(super) struct Intake {
    messages: mpsc::Sender<Message>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    lost: Arc<AtomicU64>,
}

impl Intake {
    /// Takes a span if there is room.
    pub(super) fn offer(&self, span: EndedSpan) {
        if self.messages.try_send(Message::Ended(span)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Takes a span of a program, when there is room.
    pub(super) async fn take(&self, span: Reported) -> Result<()> {
        let sent = self.messages.send(Message::Reported(Box::new(span))).await;
        sent.map_err(|_| ended())
    }

    /// Waits until everything is in the database that was handed over before.
    pub(super) async fn flush(&self) -> Result<()> {
        let (done, written) = oneshot::channel();
        self.flushes.send(done).await.map_err(|_| ended())?;
        written.await.map_err(|_| ended())
    }

    /// How many spans are not kept, because there were too many or they could not be written.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

fn ended() -> Error {
    Error::unavailable("telemetry has ended")
}

/// Writes what comes through an [`Intake`].
pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) index: Shared,
    pub(super) bounds: Bounds,
    pub(super) service: String,
    /// Whether spans are told to the log.
    pub(super) tells: bool,
    messages: mpsc::Receiver<Message>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
    lost: Arc<AtomicU64>,
    clock: Clock,
    /// The lost spans that the log knows of.
    told: u64,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        index: Shared,
        bounds: Bounds,
        service: String,
        tells: bool,
    ) -> (Self, Intake) {
        let (sender, messages) = mpsc::channel(WAITING);
        let (asker, flushes) = mpsc::channel(16);
        let lost = Arc::new(AtomicU64::new(0));
        let intake = Intake { messages: sender, flushes: asker, lost: Arc::clone(&lost) };
        let (clock, told) = (Clock::default(), 0);
        let writer =
            Self { database, index, bounds, service, tells, messages, flushes, lost, clock, told };
        (writer, intake)
    }

    /// Takes in what is kept already, and writes until nobody can hand anything over any more.
    pub(super) async fn run(mut self) {
        self.restore().await;
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                biased;
                asked = self.flushes.recv() => {
                    let Some(done) = asked else { return };
                    self.drain(None).await;
                    let _gone = done.send(());
                }
                _ = sweep.tick() => self.sweep(now()).await,
                first = self.messages.recv() => {
                    let Some(first) = first else { return };
                    let asked = self.gather().await;
                    self.drain(Some(first)).await;
                    if let Some(done) = asked {
                        let _gone = done.send(());
                    }
                }
            }
        }
    }

    /// Waits until there is enough to write, or somebody asks for it. Messages are not polled
    /// meanwhile, so that nobody who hands over wakes this task.
    async fn gather(&mut self) -> Option<oneshot::Sender<()>> {
        let end = Instant::now() + WINDOW;
        while self.messages.len() < TOGETHER {
            let look = end.min(Instant::now() + LOOK);
            match tokio::time::timeout_at(look, self.flushes.recv()).await {
                Ok(asked) => return asked,
                Err(_) if look == end => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Writes all that waits.
    #[cfg(test)]
    pub(super) async fn write_waiting(&mut self) {
        self.drain(None).await;
    }

    /// Makes the index of what is in the database.
    pub(super) async fn restore(&mut self) {
        let mut index = Index::default();
        if let Err(error) = self.take_in(&mut index).await.map_err(Error::from) {
            tracing::warn!(target: "core", "older spans are not found: {}", error.chain());
        }
        index.expire(now());
        index.bound(&self.bounds);
        *self.index.lock() = index;
    }

    /// Reads all blocks, the oldest first.
    async fn take_in(&mut self, index: &mut Index) -> Result<(), RowError> {
        earlier::convert(&self.database, &self.service, &mut self.clock).await?;
        let mut place = Place::Start;
        loop {
            let query = Database::query::<StoredBlock>(Scope::Upkeep);
            let page = read(&self.database, query.place(place).limit(AT_ONCE)).await?;
            let Some(last) = page.last else { return Ok(()) };
            for held in page.blocks {
                let Some(id) = BlockId::read(&held.record.id) else { continue };
                self.clock.at_least(id.written());
                index.add(&Arc::new(held.owner().clone()), id, &held.record);
            }
            place = Place::After(last);
        }
    }

    /// Writes all that waits, after `first`.
    async fn drain(&mut self, first: Option<Message>) {
        let mut batch: Vec<Message> = first.into_iter().collect();
        loop {
            while batch.len() < TOGETHER
                && let Ok(message) = self.messages.try_recv()
            {
                batch.push(message);
            }
            if batch.is_empty() {
                return;
            }
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    async fn write(&mut self, messages: Vec<Message>) {
        let drafts = self.drafts(messages);
        let count = drafts.len();
        let blocks = fill(drafts, &self.service, &mut self.clock);
        let mut batch = Batch::default();
        for new in &blocks {
            batch = batch.insert(&new.owner, &new.block);
        }
        let gone = self.index.lock().gone(REMOVED);
        if !gone.is_empty() {
            batch = batch.clear::<StoredBlock>(Scope::Upkeep, vec![BlockId::any(&gone)]);
        }
        let written = self.database.apply(batch).await.map_err(Error::from);
        let mut index = self.index.lock();
        match written {
            Ok(()) => {
                for new in &blocks {
                    index.add(&new.owner, new.id, &new.block);
                }
                index.bound(&self.bounds);
            }
            Err(error) => {
                index.still_there(gone);
                self.lost.fetch_add(count as u64, Relaxed);
                tracing::warn!(target: "core", count, "spans cannot be kept: {}", error.chain());
            }
        }
    }

    /// The spans of messages, as far as their traces have room for them.
    fn drafts(&mut self, messages: Vec<Message>) -> Vec<Draft> {
        let (created, age) = (self.clock.tick(), self.bounds.age);
        let drafts = messages.into_iter().map(|message| draft(message, created, age));
        let mut drafts: Vec<Draft> = drafts.collect();
        if self.tells {
            for Draft { trace, span, .. } in &drafts {
                let ms = (span.end - span.start) / 1000;
                tracing::debug!(
                    target: "core",
                    trace = %trace, span = %span.id, status = %span.status, ms,
                    "span {}", span.name
                );
            }
        }
        let index = self.index.lock();
        // The room of traces that may get too many spans.
        let mut rooms: HashMap<(Arc<Owner>, TraceId), usize> = HashMap::default();
        // Most spans have the owner of the one before them.
        let mut last: Option<(Arc<Owner>, Own<'_>)> = None;
        drafts.retain_mut(|draft| {
            let own = match &last {
                Some((owner, own)) if *owner == draft.owner => *own,
                Some(_) | None => {
                    let own = index.of(&draft.owner);
                    last = Some((Arc::clone(&draft.owner), own));
                    own
                }
            };
            let Some(known) = own.find(&draft.trace) else { return true };
            draft.created = known.created;
            if known.had + TOGETHER <= MOST {
                return true;
            }
            let key = (Arc::clone(&draft.owner), draft.trace.clone());
            let room = rooms.entry(key).or_insert(MOST.saturating_sub(known.had));
            if *room == 0 {
                self.lost.fetch_add(1, Relaxed);
                return false;
            }
            *room -= 1;
            true
        });
        drafts
    }

    /// Removes what has expired at `now`, and what is too much.
    pub(super) async fn sweep(&mut self, now: i64) {
        {
            let mut index = self.index.lock();
            index.expire(now);
            index.bound(&self.bounds);
        }
        let removed = async {
            self.remove_gone().await?;
            self.thin().await
        };
        if let Err(error) = removed.await.map_err(Error::from) {
            tracing::warn!(target: "core", "old spans stay for now: {}", error.chain());
        }
        let lost = self.lost.load(Relaxed);
        if lost > self.told {
            let count = lost - self.told;
            self.told = lost;
            tracing::warn!(target: "core", count, "spans are lost: more ended than can be kept");
        }
    }

    /// Removes the blocks that nothing needs any more.
    async fn remove_gone(&self) -> Result<(), RowError> {
        loop {
            let gone = self.index.lock().gone(REMOVED);
            if gone.is_empty() {
                return Ok(());
            }
            let like = vec![BlockId::any(&gone)];
            let batch = Batch::default().clear::<StoredBlock>(Scope::Upkeep, like);
            if let Err(error) = self.database.apply(batch).await {
                self.index.lock().still_there(gone);
                return Err(error);
            }
        }
    }

    /// Removes what is not kept from blocks that hold little else, so that one trace that goes on
    /// for long does not keep the file full.
    async fn thin(&self) -> Result<(), RowError> {
        let sparse = self.index.lock().sparse();
        for ids in sparse.chunks(AT_ONCE) {
            let mut batch = Batch::default();
            let mut sizes: HashMap<BlockId, usize> = ids.iter().map(|id| (*id, 0)).collect();
            for held in read_some(&self.database, Scope::Upkeep, ids).await? {
                let mut block = held.record.clone();
                {
                    let index = self.index.lock();
                    block.parts.retain(|part| {
                        let known = index.find(held.owner(), &part.trace);
                        known.is_some_and(|known| known.created == part.created)
                    });
                }
                if let Some(id) = BlockId::read(&block.id) {
                    sizes.insert(id, block.parts.iter().map(|part| part.spans.len()).sum());
                }
                batch = batch.replace(&held, &block);
            }
            self.database.apply(batch).await?;
            let mut index = self.index.lock();
            for (id, size) in sizes {
                index.thinned(id, size);
            }
        }
        Ok(())
    }
}

/// The span of a message. It is kept for at most `age` microseconds.
fn draft(message: Message, created: i64, age: i64) -> Draft {
    match message {
        Message::Ended(ended) => {
            let end = micros(ended.end);
            let span = StoredSpan {
                id: u128::from(ended.span.get()).into(),
                parent: ended.parent.map(|parent| u128::from(parent.get()).into()),
                is_root: ended.is_root,
                name: ended.name,
                start: micros(ended.start),
                end,
                status: ended.status,
                attributes: Facts::Own(ended.attributes),
                events: Vec::new(),
                expires: end.saturating_add(age),
            };
            Draft { owner: ended.owner, trace: ended.trace.get().into(), created, span }
        }
        Message::Reported(reported) => {
            let reported = *reported;
            let parent = reported.parent_span_id.as_deref();
            let kept = age.min(reported.ttl_seconds.saturating_mul(MICROS));
            let span = StoredSpan {
                id: reported.span_id.as_str().into(),
                parent: parent.map(Into::into),
                is_root: parent.is_none(),
                name: reported.name.into(),
                start: reported.start,
                end: reported.end,
                status: reported.status,
                attributes: Facts::Any(reported.attributes),
                events: reported.events,
                // A program may report what was long ago; it is kept from now on.
                expires: now().saturating_add(kept),
            };
            let trace = TraceId::from(reported.trace_id.as_str());
            Draft { owner: reported.owner, trace, created, span }
        }
    }
}
