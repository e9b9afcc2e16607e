//! Spans as they are kept: in blocks of many.

use super::{
    earlier,
    filters::Fact,
    forms::Form,
    ids::{SpanId, TraceId},
    text,
};
use chaski_api::{
    telemetry::{Span, SpanStatus},
    wire::Time,
};
use chaski_provider::Attribute;
use chaski_store::{Cell, Record, Schema, Table};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
    time::{SystemTime, UNIX_EPOCH},
};

// The reference keeps tables called `traces` and `spans` in the same file; they stay as they are.
static BLOCKS: Table = Table { name: "kept_blocks", since: 3, columns: &[], indexes: &[] };

/// The tables of telemetry.
pub(super) const SCHEMA: Schema =
    Schema { version: 3, tables: &[&earlier::TRACES, &earlier::SPANS, &BLOCKS] };

/// The attributes that the index knows, because agents ask for traces by them.
const MARKED: [&str; 2] = ["session_id", "turn_id"];

/// What a trace has in the index that has a span with this attribute. Other values rarely have the
/// same mark; the attribute itself decides.
pub(super) fn mark(attribute: &str, value: &str) -> Option<u64> {
    let place = MARKED.iter().position(|marked| *marked == attribute)?;
    let mut hasher = DefaultHasher::new();
    (place, value).hash(&mut hasher);
    Some(hasher.finish())
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
pub(super) fn time(micros: i64) -> Time {
    Time::from_micros(micros).unwrap_or(Time::EPOCH)
}

/// Spans of one owner that were written together.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Form")]
pub(super) struct StoredBlock {
    pub(super) id: String,
    /// The name of the server that wrote it.
    pub(super) service: String,
    /// In the order in which the spans were handed over.
    pub(super) parts: Vec<Part>,
}

/// Spans of one trace that were handed over one after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) trace: TraceId,
    /// When the trace began to be kept. A trace with the same id that began earlier is another one,
    /// which was removed before.
    pub(super) created: i64,
    pub(super) spans: Vec<StoredSpan>,
}

impl Record for StoredBlock {
    const TABLE: &'static Table = &BLOCKS;

    fn id(&self) -> &str {
        &self.id
    }

    fn cells(&self) -> Vec<Cell> {
        Vec::new()
    }

    fn text(&self) -> String {
        text::of(self)
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredSpan {
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    /// Whether it has no parent in this server.
    #[serde(rename = "root")]
    pub(super) is_root: bool,
    pub(super) name: Cow<'static, str>,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) status: SpanStatus,
    pub(super) attributes: Facts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<StoredEvent>,
    pub(super) expires: i64,
}

impl StoredSpan {
    /// About how many bytes it has as JSON.
    pub(super) fn size(&self) -> usize {
        let events = self.events.iter().map(|event| {
            let attributes = event.attributes.iter();
            let attributes = attributes.map(|(name, value)| name.len() + size(value));
            event.message.len() + attributes.sum::<usize>() + 64
        });
        200 + self.name.len() + self.attributes.size() + events.sum::<usize>()
    }

    /// The marks of its trace that come from it.
    pub(super) fn marks(&self) -> impl Iterator<Item = u64> {
        MARKED.iter().filter_map(|name| match self.attributes.get(name)? {
            Fact::Text(text) => mark(name, text),
            Fact::Integer(_) | Fact::Real(_) | Fact::Truth(_) | Fact::Other => None,
        })
    }

    /// The span of this trace as it is answered.
    pub(super) fn answer(self, trace: &TraceId) -> Span {
        Span {
            span_id: self.id.to_string(),
            trace_id: trace.to_string(),
            parent_span_id: self.parent.map(|parent| parent.to_string()),
            name: self.name.into_owned(),
            start_time: time(self.start),
            end_time: Some(time(self.end)),
            attributes: Some(self.attributes.into()),
        }
    }
}

/// The attributes of a span.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub(super) enum Facts {
    /// As this server hands them over.
    Own(Vec<(&'static str, Attribute)>),
    /// As programs report them, and as they are read.
    Any(Map<String, Value>),
}

impl Facts {
    pub(super) fn get(&self, name: &str) -> Option<Fact<'_>> {
        match self {
            Self::Own(facts) => {
                facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            }
            Self::Any(facts) => facts.get(name).map(Fact::from),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Own(facts) => facts
                .iter()
                .map(|(name, value)| match value {
                    Attribute::Text(text) => name.len() + text.len() + 6,
                    Attribute::Integer(_) | Attribute::Truth(_) => name.len() + 14,
                })
                .sum(),
            Self::Any(facts) => facts.iter().map(|(name, value)| name.len() + size(value)).sum(),
        }
    }
}

/// About how many bytes a value has as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 14,
        Value::String(text) => text.len() + 6,
        Value::Array(list) => 6 + list.iter().map(size).sum::<usize>(),
        Value::Object(members) => {
            6 + members.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>()
        }
    }
}

impl From<Map<String, Value>> for Facts {
    fn from(facts: Map<String, Value>) -> Self {
        Self::Any(facts)
    }
}

impl From<Facts> for Map<String, Value> {
    fn from(facts: Facts) -> Self {
        match facts {
            Facts::Own(facts) => {
                facts.into_iter().map(|(name, value)| (name.to_owned(), json(value))).collect()
            }
            Facts::Any(facts) => facts,
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

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Own(facts) => {
                let mut map = serializer.serialize_map(Some(facts.len()))?;
                for (name, value) in facts {
                    match value {
                        Attribute::Text(text) => map.serialize_entry(name, text)?,
                        Attribute::Integer(number) => map.serialize_entry(name, number)?,
                        Attribute::Truth(truth) => map.serialize_entry(name, truth)?,
                    }
                }
                map.end()
            }
            Self::Any(facts) => facts.serialize(serializer),
        }
    }
}
