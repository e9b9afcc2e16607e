//! The one who writes: takes spans as they end, and puts them into the database in batches.
//!
//! Requests hand spans over by a queue of bounded length and never wait for it.

use super::{
    records::{StoredSpan, StoredTrace, micros, now},
    reported::Reported,
};
use chaski_api::{Error, Result};
use chaski_provider::{Attribute, EndedSpan};
use chaski_store::{Batch, Condition, Database, Owner, Record, RowError, Scope};
use serde_json::{Map, Value};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Spans that wait to be written; the others are lost.
const WAITING: usize = 8192;
/// How long spans are gathered before they are written.
const WINDOW: Duration = Duration::from_millis(200);
/// Spans that are written together.
const TOGETHER: usize = 512;
/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_mins(1);
/// After so many spans it is seen whether there are too many.
const COUNTED: usize = 5000;
/// The rows that are removed at a time.
const REMOVED: usize = 256;
/// The most spans of a trace.
const MOST: u64 = 10_000;
/// The most traces that are remembered without asking the database.
const REMEMBERED: usize = 10_000;
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

/// Whose trace, and which.
type Key = (Arc<Owner>, String);

/// A span, whose it is, and whether it has no parent in this server.
struct Draft {
    owner: Arc<Owner>,
    is_root: bool,
    span: StoredSpan,
}

/// Writes what comes through an [`Intake`].
pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) bounds: Bounds,
    pub(super) service: String,
    /// Whether spans are told to the log.
    pub(super) tells: bool,
    messages: mpsc::Receiver<Message>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
    lost: Arc<AtomicU64>,
    known: HashMap<Key, StoredTrace>,
    /// Spans since it was seen whether there are too many.
    uncounted: usize,
    /// The lost spans that the log knows of.
    told: u64,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        bounds: Bounds,
        service: String,
        tells: bool,
    ) -> (Self, Intake) {
        let (sender, messages) = mpsc::channel(WAITING);
        let (asker, flushes) = mpsc::channel(16);
        let lost = Arc::new(AtomicU64::new(0));
        let intake = Intake { messages: sender, flushes: asker, lost: Arc::clone(&lost) };
        let (known, uncounted, told) = (HashMap::new(), 0, 0);
        let writer = Self {
            database,
            bounds,
            service,
            tells,
            messages,
            flushes,
            lost,
            known,
            uncounted,
            told,
        };
        (writer, intake)
    }

    /// Writes until nobody can hand anything over any more.
    pub(super) async fn run(mut self) {
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
                    // Nothing is polled meanwhile, so that nobody who hands over wakes this task.
                    let asked = tokio::time::timeout(WINDOW, self.flushes.recv()).await;
                    self.drain(Some(first)).await;
                    if let Ok(Some(done)) = asked {
                        let _gone = done.send(());
                    }
                }
            }
        }
    }

    /// Writes all that waits.
    #[cfg(test)]
    pub(super) async fn write_waiting(&mut self) {
        self.drain(None).await;
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
        let age = self.bounds.age;
        let drafts: Vec<Draft> = messages.into_iter().map(|message| draft(message, age)).collect();
        let count = drafts.len();
        if let Err(error) = self.insert(drafts).await.map_err(Error::from) {
            // What the database has is not certain any more.
            self.known.clear();
            self.lost.fetch_add(count as u64, Relaxed);
            tracing::warn!(target: "core", count, "spans cannot be kept: {}", error.chain());
        }
        self.uncounted += count;
        if self.uncounted >= COUNTED {
            self.bound().await;
        }
    }

    async fn insert(&mut self, drafts: Vec<Draft>) -> Result<(), RowError> {
        self.learn(&drafts).await?;
        let mut batch = Batch::default();
        let mut changed: HashSet<Key> = HashSet::new();
        let mut in_order: Vec<Key> = Vec::new();
        let mut replaced: Vec<String> = Vec::new();
        for Draft { owner, is_root, mut span } in drafts {
            if self.tells {
                let ms = (span.end - span.start) / 1000;
                tracing::debug!(
                    target: "core",
                    trace = %span.trace_id, span = %span.span_id, status = %span.status, ms,
                    "span {}", span.name
                );
            }
            let key = (owner, span.trace_id.clone());
            let trace =
                self.known.entry(key.clone()).or_insert_with(|| first(&span, &self.service));
            if trace.spans >= MOST {
                self.lost.fetch_add(1, Relaxed);
                continue;
            }
            span.of_trace.clone_from(&trace.row);
            let is_new = trace.spans == 0;
            trace.add(&span, is_root);
            batch = batch.insert(&key.0, &span);
            if changed.insert(key.clone()) {
                if !is_new {
                    replaced.push(trace.row.clone());
                }
                in_order.push(key);
            }
        }
        if !replaced.is_empty() {
            let rows = Condition::one_of("id", replaced.iter().map(String::as_str));
            batch = batch.clear::<StoredTrace>(Scope::Upkeep, vec![rows]);
        }
        for key in &in_order {
            if let Some(trace) = self.known.get(key) {
                batch = batch.insert(&key.0, trace);
            }
        }
        self.database.apply(batch).await
    }

    /// Looks for the traces of these spans in the database.
    async fn learn(&mut self, drafts: &[Draft]) -> Result<(), RowError> {
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        let unknown = drafts.iter().filter(|draft| {
            let key = (Arc::clone(&draft.owner), draft.span.trace_id.clone());
            !self.known.contains_key(&key)
        });
        let ids: HashSet<&str> = unknown.map(|draft| draft.span.trace_id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let query = Database::query::<StoredTrace>(Scope::Upkeep)
            .with(Condition::one_of("trace", ids))
            .limit(REMEMBERED);
        for held in self.database.list(query).await?.records {
            let key = (Arc::new(held.owner().clone()), held.record.trace_id.clone());
            self.known.entry(key).or_insert(held.record);
        }
        Ok(())
    }

    /// Removes what has expired at `now`, and what is too much.
    pub(super) async fn sweep(&mut self, now: i64) {
        let expired = || vec![Condition::at_most("expires", now)];
        let batch = Batch::default()
            .clear::<StoredSpan>(Scope::Upkeep, expired())
            .clear::<StoredTrace>(Scope::Upkeep, expired());
        self.known.retain(|_, trace| trace.expires > now);
        if let Err(error) = self.database.apply(batch).await.map_err(Error::from) {
            tracing::warn!(target: "core", "expired spans stay for now: {}", error.chain());
        }
        self.bound().await;
        let lost = self.lost.load(Relaxed);
        if lost > self.told {
            let count = lost - self.told;
            self.told = lost;
            tracing::warn!(target: "core", count, "spans are lost: more ended than can be kept");
        }
    }

    /// Removes the oldest traces where there are too many traces or spans.
    async fn bound(&mut self) {
        self.uncounted = 0;
        let bounded = async {
            let traces = self.bounds.traces;
            self.remove_beyond::<StoredTrace>(traces, |trace| trace.row).await?;
            self.remove_beyond::<StoredSpan>(self.bounds.spans, |span| span.of_trace).await
        };
        if let Err(error) = bounded.await.map_err(Error::from) {
            tracing::warn!(target: "core", "old spans stay for now: {}", error.chain());
        }
    }

    /// Removes the traces of the records beyond the newest `most`.
    async fn remove_beyond<R: Record>(
        &mut self,
        most: usize,
        of_trace: impl Fn(R) -> String,
    ) -> Result<(), RowError> {
        loop {
            let query = Database::query::<R>(Scope::Upkeep).offset(most).limit(REMOVED);
            let page = self.database.list(query).await?;
            if page.records.is_empty() {
                return Ok(());
            }
            let rows = page.records.into_iter().map(|held| of_trace(held.record));
            let rows: HashSet<String> = rows.collect();
            self.known.retain(|_, trace| !rows.contains(&trace.row));
            let among = |column| vec![Condition::one_of(column, rows.iter().map(String::as_str))];
            let batch = Batch::default()
                .clear::<StoredSpan>(Scope::Upkeep, among("of_trace"))
                .clear::<StoredTrace>(Scope::Upkeep, among("id"));
            self.database.apply(batch).await?;
        }
    }
}

/// The trace of its first span, before that is added.
fn first(span: &StoredSpan, service: &str) -> StoredTrace {
    StoredTrace {
        row: new_row(),
        trace_id: span.trace_id.clone(),
        root_span_id: span.span_id.clone(),
        has_root: false,
        root_start: span.start,
        start: span.start,
        end: span.end,
        service: service.to_owned(),
        created: now(),
        expires: span.expires,
        spans: 0,
    }
}

fn new_row() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The span of a message. It is kept for at most `age` microseconds.
fn draft(message: Message, age: i64) -> Draft {
    let expires = |end: i64, ttl: i64| end.saturating_add(age.min(ttl.saturating_mul(MICROS)));
    match message {
        Message::Ended(ended) => {
            let attributes = ended.attributes.into_iter();
            let attributes: Map<String, Value> =
                attributes.map(|(name, value)| (name.to_owned(), json(value))).collect();
            let end = micros(ended.end);
            let span = StoredSpan {
                row: new_row(),
                of_trace: String::new(),
                trace_id: format!("{:032x}", ended.trace),
                span_id: format!("{:016x}", ended.span),
                parent_span_id: ended.parent.map(|parent| format!("{parent:016x}")),
                name: ended.name.into_owned(),
                start: micros(ended.start),
                end,
                status: ended.status,
                attributes,
                events: Vec::new(),
                expires: end.saturating_add(age),
            };
            Draft { owner: ended.owner, is_root: ended.is_root, span }
        }
        Message::Reported(reported) => {
            let Reported { owner, trace_id, span_id, parent_span_id, name, start, end, .. } =
                *reported;
            // A program may report what was long ago; it is kept from now on.
            let expires = expires(now(), reported.ttl_seconds);
            let span = StoredSpan {
                row: new_row(),
                of_trace: String::new(),
                trace_id,
                span_id,
                parent_span_id,
                name,
                start,
                end,
                status: reported.status,
                attributes: reported.attributes,
                events: reported.events,
                expires,
            };
            Draft { owner, is_root: span.parent_span_id.is_none(), span }
        }
    }
}

fn json(value: Attribute) -> Value {
    match value {
        Attribute::Text(text) => text.into(),
        Attribute::Integer(number) => number.into(),
        Attribute::Truth(truth) => truth.into(),
    }
}
