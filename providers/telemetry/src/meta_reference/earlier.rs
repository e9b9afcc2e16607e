//! Traces of earlier versions, with a row for each trace and for each span: they become blocks.

use super::{
    blocks::{Clock, Draft, fill},
    ids::TraceId,
    records::{Facts, StoredEvent, StoredSpan},
};
use chaski_api::telemetry::SpanStatus;
use chaski_store::{
    Batch, Cell, Column, Condition, Database, Index, Order, Record, RowError, Scope, Table,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::HashMap, sync::Arc};

/// The rows that are moved at a time.
const AT_ONCE: usize = 512;

pub(super) static TRACES: Table = Table {
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
    indexes: &[Index::narrow(&["trace"])],
};
pub(super) static SPANS: Table = Table {
    name: "kept_spans",
    since: 1,
    columns: &[
        Column::text("of_trace", 1),
        Column::text("span", 1),
        Column::integer("expires", 1),
        Column::text("session", 2),
        Column::text("turn", 2),
    ],
    indexes: &[
        Index::narrow(&["of_trace"]),
        Index::narrow(&["span"]),
        Index::narrow(&["session"]),
        Index::narrow(&["turn"]),
    ],
};

/// A trace, as far as its blocks need it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EarlierTrace {
    pub(super) row: String,
    pub(super) root_span_id: String,
    pub(super) has_root: bool,
    pub(super) created: i64,
}

impl Record for EarlierTrace {
    const TABLE: &'static Table = &TRACES;

    fn id(&self) -> &str {
        &self.row
    }

    fn cells(&self) -> Vec<Cell> {
        let [text, number] = [Cell::from(""), Cell::from(0)];
        let [root, service] = [text.clone(), text.clone()];
        vec![text, root, number.clone(), number.clone(), service, number.clone(), number]
    }
}

/// A span.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EarlierSpan {
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
    pub(super) attributes: Map<String, Value>,
    pub(super) events: Vec<StoredEvent>,
    pub(super) expires: i64,
}

impl Record for EarlierSpan {
    const TABLE: &'static Table = &SPANS;

    fn id(&self) -> &str {
        &self.row
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.of_trace.as_str().into(), "".into(), 0.into(), "".into(), "".into()]
    }
}

/// Moves what earlier versions kept into blocks, the oldest first.
pub(super) async fn convert(
    database: &Database,
    service: &str,
    clock: &mut Clock,
) -> Result<(), RowError> {
    let any = || Scope::Upkeep;
    loop {
        let query = Database::query::<EarlierSpan>(any()).order(Order::OldestFirst).limit(AT_ONCE);
        let rows = database.each(query).await?;
        if rows.is_empty() {
            // Where there are none, nothing is written.
            let left = Database::query::<EarlierTrace>(any()).limit(1);
            if database.each(left).await?.is_empty() {
                return Ok(());
            }
            return database.apply(Batch::default().clear::<EarlierTrace>(any(), Vec::new())).await;
        }
        let moved = Condition::one_of("id", rows.iter().map(|(id, _)| id.as_str()));
        // What cannot be read is lost.
        let spans: Vec<_> = rows.into_iter().filter_map(|(_, row)| row.ok()).collect();
        let of = Condition::one_of("id", spans.iter().map(|held| held.record.of_trace.as_str()));
        let query = Database::query::<EarlierTrace>(any()).with(of).limit(AT_ONCE);
        let traces = database.each(query).await?.into_iter();
        let traces: HashMap<String, EarlierTrace> =
            traces.filter_map(|(id, row)| Some((id, row.ok()?.record))).collect();
        let drafts = spans.into_iter().filter_map(|held| {
            let trace = traces.get(&held.record.of_trace)?;
            let owner = Arc::new(held.owner().clone());
            let span = held.record;
            Some(Draft {
                owner,
                trace: TraceId::from(span.trace_id.as_str()),
                created: trace.created,
                span: StoredSpan {
                    id: span.span_id.as_str().into(),
                    parent: span.parent_span_id.as_deref().map(Into::into),
                    is_root: span.parent_span_id.is_none()
                        || (trace.has_root && trace.root_span_id == span.span_id),
                    name: span.name.into(),
                    start: span.start,
                    end: span.end,
                    status: span.status,
                    attributes: Facts::Any(span.attributes),
                    events: span.events,
                    expires: span.expires,
                },
            })
        });
        let mut batch = Batch::default().clear::<EarlierSpan>(any(), vec![moved]);
        for new in fill(drafts.collect(), service, clock) {
            batch = batch.insert(&new.owner, &new.block);
        }
        database.apply(batch).await?;
    }
}
