//! Traces and spans as they are kept.

use chaski_api::{
    telemetry::{Span, SpanStatus, Trace},
    wire::Time,
};
use chaski_store::{Cell, Column, Condition, Index, Record, Schema, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};

// The reference keeps tables called `traces` and `spans` in the same file; they stay as they are.
static TRACES: Table = Table {
    name: "kept_traces",
    since: 1,
    columns: &[
        Column::text("trace", 1),
        Column::text("root", 1),
        Column::integer("started", 1),
        Column::integer("ended", 1),
        Column::text("service", 1),
        Column::integer("created", 1),
        Column::integer("expires", 1),
    ],
    // Each index costs something with every request; what is rare may look at all rows.
    indexes: &[Index::narrow(&["trace"])],
};
static SPANS: Table = Table {
    name: "kept_spans",
    since: 1,
    columns: &[
        Column::text("of_trace", 1),
        Column::text("span", 1),
        Column::integer("expires", 1),
        Column::text(SESSION.column, 2),
        Column::text(TURN.column, 2),
    ],
    indexes: &[
        Index::narrow(&["of_trace"]),
        Index::narrow(&["span"]),
        Index::narrow(&[SESSION.column]),
        Index::narrow(&[TURN.column]),
    ],
};

/// The tables of telemetry.
pub(super) const SCHEMA: Schema = Schema { version: 2, tables: &[&TRACES, &SPANS] };

/// An attribute with a column of its own, because agents ask for traces by it.
pub(super) struct Indexed {
    pub(super) attribute: &'static str,
    column: &'static str,
}

const SESSION: Indexed = Indexed { attribute: "session_id", column: "session" };
const TURN: Indexed = Indexed { attribute: "turn_id", column: "turn" };

/// All of them.
pub(super) static INDEXED: [Indexed; 2] = [SESSION, TURN];

/// What stands in the column of a span without the attribute. In spans that version 1 of the schema
/// wrote the column is empty, whatever their attributes.
const NONE: &str = "-";

impl Indexed {
    fn cell(&self, span: &StoredSpan) -> Cell {
        span.attributes.get(self.attribute).and_then(Value::as_str).unwrap_or(NONE).into()
    }

    /// What a span is like that may have this value; the attribute itself decides.
    pub(super) fn may_be(&self, value: &str) -> Option<Condition> {
        (value != NONE).then(|| Condition::one_of(self.column, [value, ""]))
    }
}

/// Microseconds since the beginning of 1970.
pub(super) fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The time now, in microseconds since the beginning of 1970.
pub(super) fn now() -> i64 {
    micros(SystemTime::now())
}

/// A time as it is answered.
fn time(micros: i64) -> Time {
    Time::from_micros(micros).unwrap_or(Time::EPOCH)
}

/// A trace. Ids that callers choose may be those of others, so its row has an id of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredTrace {
    pub(super) row: String,
    pub(super) trace_id: String,
    pub(super) root_span_id: String,
    /// Whether the root is known, and not only the span that came first.
    pub(super) has_root: bool,
    /// When the root began.
    pub(super) root_start: i64,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) service: String,
    pub(super) created: i64,
    pub(super) expires: i64,
    /// How many spans it has had.
    pub(super) spans: u64,
}

impl StoredTrace {
    /// Takes a span of this trace into account. `is_root` says that it has no parent in this server.
    pub(super) fn add(&mut self, span: &StoredSpan, is_root: bool) {
        self.spans += 1;
        self.start = self.start.min(span.start);
        self.end = self.end.max(span.end);
        self.expires = self.expires.max(span.expires);
        let earlier = is_root == self.has_root && span.start < self.root_start;
        if (is_root && !self.has_root) || earlier {
            self.root_span_id.clone_from(&span.span_id);
            self.root_start = span.start;
            self.has_root = is_root;
        }
    }

    pub(super) fn answer(self) -> Trace {
        Trace {
            trace_id: self.trace_id,
            root_span_id: self.root_span_id,
            start_time: time(self.start),
            end_time: Some(time(self.end)),
        }
    }
}

impl Record for StoredTrace {
    const TABLE: &'static Table = &TRACES;

    fn id(&self) -> &str {
        &self.row
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.trace_id.as_str().into(),
            self.root_span_id.as_str().into(),
            self.start.into(),
            self.end.into(),
            self.service.as_str().into(),
            self.created.into(),
            self.expires.into(),
        ]
    }
}

/// A line of a log that belongs to a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    pub(super) time: i64,
    pub(super) message: String,
    pub(super) severity: String,
    pub(super) attributes: Map<String, Value>,
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredSpan {
    pub(super) row: String,
    /// The row of its trace.
    pub(super) of_trace: String,
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) parent_span_id: Option<String>,
    pub(super) name: String,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) status: SpanStatus,
    /// The questions of callers look into this member by its name.
    pub(super) attributes: Map<String, Value>,
    pub(super) events: Vec<StoredEvent>,
    pub(super) expires: i64,
}

/// The member of [`StoredSpan`] that questions look into.
pub(super) const ATTRIBUTES: &str = "attributes";

impl StoredSpan {
    pub(super) fn answer(self) -> Span {
        Span {
            span_id: self.span_id,
            trace_id: self.trace_id,
            parent_span_id: self.parent_span_id,
            name: self.name,
            start_time: time(self.start),
            end_time: Some(time(self.end)),
            attributes: Some(self.attributes),
        }
    }
}

impl Record for StoredSpan {
    const TABLE: &'static Table = &SPANS;

    fn id(&self) -> &str {
        &self.row
    }

    fn cells(&self) -> Vec<Cell> {
        let own =
            [self.of_trace.as_str().into(), self.span_id.as_str().into(), self.expires.into()];
        own.into_iter().chain(INDEXED.iter().map(|indexed| indexed.cell(self))).collect()
    }
}
