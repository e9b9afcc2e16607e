//! Spans that programs report, by events for their beginning and their end.

use super::records::StoredEvent;
use chaski_api::{
    Error, Result,
    endpoints::telemetry::LogEventRequest,
    telemetry::{
        Attributes, Event, SpanStartPayload, SpanStatus, StructuredLogEvent, StructuredLogPayload,
        UnstructuredLogEvent,
    },
};
use chaski_store::Owner;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The longest id and the longest name, in bytes.
const NAME: usize = 1024;
/// The largest attributes and the longest message of an event, in bytes.
const LARGEST: usize = 16 * 1024;
/// The most events of a span.
const EVENTS: usize = 100;
/// What open spans hold together, in bytes; beyond it the oldest are forgotten.
const OPEN: usize = 16 << 20;

/// A span that a program has reported to its end.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) owner: Arc<Owner>,
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) parent_span_id: Option<String>,
    pub(super) name: String,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) status: SpanStatus,
    pub(super) attributes: Map<String, Value>,
    pub(super) events: Vec<StoredEvent>,
    pub(super) ttl_seconds: i64,
}

/// Whose span, of which trace, and which.
type Key = (Arc<Owner>, String, String);

/// A span that has begun.
struct Open {
    parent_span_id: Option<String>,
    name: String,
    start: i64,
    attributes: Map<String, Value>,
    events: Vec<StoredEvent>,
    /// Its place among all that have begun.
    turn: u64,
    bytes: usize,
}

/// The spans that have begun and not ended.
#[derive(Default)]
pub(super) struct OpenSpans {
    spans: HashMap<Key, Open>,
    /// Their keys, the oldest first.
    turns: BTreeMap<u64, Key>,
    next_turn: u64,
    bytes: usize,
}

impl OpenSpans {
    /// Takes an event; gives the span that it ends.
    ///
    /// # Errors
    /// `InvalidRequest` for an event that is too large.
    pub(super) fn take(
        &mut self,
        owner: Owner,
        request: LogEventRequest,
    ) -> Result<Option<Reported>> {
        let ttl_seconds = request.ttl_seconds;
        match request.event {
            Event::UnstructuredLog(event) => self.log(owner, event).map(|()| None),
            // Counters are not kept.
            Event::Metric(_) => Ok(None),
            Event::StructuredLog(event) => {
                let StructuredLogEvent {
                    trace_id, span_id, timestamp, attributes, payload, ..
                } = event;
                short("trace_id", &trace_id)?;
                short("span_id", &span_id)?;
                let (attributes, bytes) = fitting(attributes)?;
                let key = (Arc::new(owner), trace_id, span_id);
                match payload {
                    StructuredLogPayload::SpanStart(payload) => {
                        let SpanStartPayload { name, parent_span_id } = payload;
                        short("name", &name)?;
                        short("parent_span_id", parent_span_id.as_deref().unwrap_or_default())?;
                        self.open(
                            key,
                            Open {
                                parent_span_id,
                                name,
                                start: timestamp.micros(),
                                attributes,
                                events: Vec::new(),
                                turn: 0,
                                // An estimate, with the keys and what maps need.
                                bytes: bytes + 4 * NAME,
                            },
                        );
                        Ok(None)
                    }
                    StructuredLogPayload::SpanEnd(payload) => {
                        let Some(open) = self.close(&key) else { return Ok(None) };
                        let (owner, trace_id, span_id) = key;
                        let mut all = open.attributes;
                        all.extend(attributes);
                        all.insert("__ttl__".to_owned(), ttl_seconds.into());
                        Ok(Some(Reported {
                            owner,
                            trace_id,
                            span_id,
                            parent_span_id: open.parent_span_id,
                            name: open.name,
                            start: open.start,
                            end: timestamp.micros().max(open.start),
                            status: payload.status,
                            attributes: all,
                            events: open.events,
                            ttl_seconds,
                        }))
                    }
                }
            }
        }
    }

    /// Adds a line to its span; one without a span is forgotten, as in the reference.
    fn log(&mut self, owner: Owner, event: UnstructuredLogEvent) -> Result<()> {
        let (attributes, bytes) = fitting(event.attributes)?;
        let (message, severity) = (event.message, event.severity.to_string());
        if message.len() > LARGEST {
            return Err(too_large("message", message.len(), LARGEST));
        }
        let key = (Arc::new(owner), event.trace_id, event.span_id);
        let Some(open) = self.spans.get_mut(&key) else { return Ok(()) };
        if open.events.len() < EVENTS {
            let added = bytes + message.len();
            open.bytes += added;
            self.bytes += added;
            let time = event.timestamp.micros();
            open.events.push(StoredEvent { time, message, severity, attributes });
            self.bound();
        }
        Ok(())
    }

    fn open(&mut self, key: Key, mut open: Open) {
        self.close(&key);
        open.turn = self.next_turn;
        self.next_turn += 1;
        self.bytes += open.bytes;
        self.turns.insert(open.turn, key.clone());
        self.spans.insert(key, open);
        self.bound();
    }

    fn close(&mut self, key: &Key) -> Option<Open> {
        let open = self.spans.remove(key)?;
        self.turns.remove(&open.turn);
        self.bytes = self.bytes.saturating_sub(open.bytes);
        Some(open)
    }

    fn bound(&mut self) {
        while self.bytes > OPEN
            && let Some((_, key)) = self.turns.first_key_value()
        {
            let key = key.clone();
            self.close(&key);
        }
    }
}

/// The attributes and their size, if that is not too much.
fn fitting(attributes: Option<Attributes>) -> Result<(Map<String, Value>, usize)> {
    let Attributes(attributes) = attributes.unwrap_or_default();
    let size = |value: &Value| value.as_str().map_or(16, str::len);
    let bytes = attributes.iter().map(|(name, value)| name.len() + size(value)).sum();
    if bytes > LARGEST {
        return Err(too_large("attributes", bytes, LARGEST));
    }
    Ok((attributes, bytes))
}

fn short(field: &'static str, text: &str) -> Result<()> {
    if text.len() > NAME { Err(too_large(field, text.len(), NAME)) } else { Ok(()) }
}

fn too_large(field: &'static str, bytes: usize, most: usize) -> Error {
    Error::invalid(format!("`{field}` of the event has {bytes} bytes; it may have {most}"))
        .with_param("event")
}
