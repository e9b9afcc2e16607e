//! Traces, the spans that they are made of, and the events that programs report.

use crate::wire::{Reader, Schemas, Tag, Time, Wire, first_form};
use serde::Serialize;
use serde_json::{Map, Number, Value, json};
use std::fmt;

crate::wire! {
    /// All that happened for one request, or for several that belong together.
    pub struct Trace {
        /// The id: for traces of this server 32 hexadecimal digits.
        pub trace_id: String,
        /// The span that the others are below.
        pub root_span_id: String,
        /// When its first span began.
        pub start_time: Time,
        /// When the last of its spans that have ended did.
        pub end_time: Option<Time>,
    }

    /// A piece of work that took some time.
    pub struct Span {
        /// The id: for spans of this server 16 hexadecimal digits.
        pub span_id: String,
        /// The trace that it belongs to.
        pub trace_id: String,
        /// The span whose work it is part of.
        pub parent_span_id: Option<String>,
        /// What was done.
        pub name: String,
        /// When it began.
        pub start_time: Time,
        /// When it ended.
        pub end_time: Option<Time>,
        /// Facts about it.
        pub attributes: Option<Map<String, Value>> = Some(Map::new()),
    }

    /// How a span ended.
    pub enum SpanStatus {
        /// As it should.
        Ok = "ok",
        /// With an error.
        Error = "error",
    }

    /// A span, and how it ended.
    pub struct SpanWithStatus {
        /// The id: for spans of this server 16 hexadecimal digits.
        pub span_id: String,
        /// The trace that it belongs to.
        pub trace_id: String,
        /// The span whose work it is part of.
        pub parent_span_id: Option<String>,
        /// What was done.
        pub name: String,
        /// When it began.
        pub start_time: Time,
        /// When it ended.
        pub end_time: Option<Time>,
        /// Facts about it.
        pub attributes: Option<Map<String, Value>> = Some(Map::new()),
        /// How it ended.
        pub status: Option<SpanStatus>,
    }

    /// How an attribute is compared with a value.
    pub enum QueryConditionOp {
        /// Equal.
        Eq = "eq",
        /// Not equal.
        Ne = "ne",
        /// Greater.
        Gt = "gt",
        /// Less.
        Lt = "lt",
    }

    /// What an attribute of a span must be like.
    pub struct QueryCondition {
        /// The name of the attribute.
        pub key: String,
        /// How it is compared.
        pub op: QueryConditionOp,
        /// What it is compared with: a text, a number or a truth value.
        pub value: Value,
    }

    /// Traces.
    pub struct QueryTracesResponse {
        /// The traces.
        pub data: Vec<Trace>,
    }

    /// Spans.
    pub struct QuerySpansResponse {
        /// The spans, trace by trace.
        pub data: Vec<Span>,
    }

    /// A span with those below it.
    pub struct QuerySpanTreeResponse {
        /// The spans by their ids, those nearer to the first one first.
        pub data: Map<String, Value>,
    }

    /// The constant `type` of a line of a log.
    pub enum UnstructuredLogTag { UnstructuredLog = "unstructured_log" }

    /// The constant `type` of a measurement.
    pub enum MetricTag { Metric = "metric" }

    /// The constant `type` of the beginning or the end of a span.
    pub enum StructuredLogTag { StructuredLog = "structured_log" }

    /// How severe a line of a log is.
    pub enum LogSeverity {
        /// Of use for following every step.
        Verbose = "verbose",
        /// Of use for finding faults.
        Debug = "debug",
        /// Worth knowing.
        Info = "info",
        /// Worth a look.
        Warn = "warn",
        /// Something failed.
        Error = "error",
        /// Nothing goes on.
        Critical = "critical",
    }

    /// A line of a log.
    pub struct UnstructuredLogEvent {
        /// The trace.
        pub trace_id: String,
        /// The span.
        pub span_id: String,
        /// When it happened.
        pub timestamp: Time,
        /// Facts about it.
        pub attributes: Option<Attributes> = Some(Attributes::default()),
        /// Always `unstructured_log`.
        pub tag as "type": Tag<UnstructuredLogTag> = Tag(UnstructuredLogTag::UnstructuredLog),
        /// The line.
        pub message: String,
        /// How severe it is.
        pub severity: LogSeverity,
    }

    /// A measurement.
    pub struct MetricEvent {
        /// The trace.
        pub trace_id: String,
        /// The span.
        pub span_id: String,
        /// When it was taken.
        pub timestamp: Time,
        /// Facts about it.
        pub attributes: Option<Attributes> = Some(Attributes::default()),
        /// Always `metric`.
        pub tag as "type": Tag<MetricTag> = Tag(MetricTag::Metric),
        /// What is measured.
        pub metric: String,
        /// The number.
        pub value: Number,
        /// What it counts.
        pub unit: String,
    }

    /// The beginning of a span.
    pub struct SpanStartPayload {
        /// What is done.
        pub name: String,
        /// The span whose work it is part of.
        pub parent_span_id: Option<String>,
    }

    /// The end of a span.
    pub struct SpanEndPayload {
        /// How it ended.
        pub status: SpanStatus,
    }

    /// The beginning or the end of a span.
    pub union StructuredLogPayload by "type" {
        SpanStart(SpanStartPayload) = "span_start",
        SpanEnd(SpanEndPayload) = "span_end",
    }

    /// The beginning or the end of a span, in its trace.
    pub struct StructuredLogEvent {
        /// The trace.
        pub trace_id: String,
        /// The span.
        pub span_id: String,
        /// When it happened.
        pub timestamp: Time,
        /// Facts about the span.
        pub attributes: Option<Attributes> = Some(Attributes::default()),
        /// Always `structured_log`.
        pub tag as "type": Tag<StructuredLogTag> = Tag(StructuredLogTag::StructuredLog),
        /// What happened.
        pub payload: StructuredLogPayload,
    }
}

/// An event that a program reports. It is told by its fields; `type` may be left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    UnstructuredLog(UnstructuredLogEvent),
    Metric(MetricEvent),
    StructuredLog(StructuredLogEvent),
}

impl Wire for Event {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        first_form(
            &value,
            reader,
            &[
                ("UnstructuredLogEvent", |value, reader| {
                    Wire::read(value, reader).map(Self::UnstructuredLog)
                }),
                ("MetricEvent", |value, reader| Wire::read(value, reader).map(Self::Metric)),
                ("StructuredLogEvent", |value, reader| {
                    Wire::read(value, reader).map(Self::StructuredLog)
                }),
            ],
        )
    }

    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named("Event", |schemas| {
            json!({
                "description": "An event that a program reports.",
                "anyOf": [
                    UnstructuredLogEvent::schema(schemas),
                    MetricEvent::schema(schemas),
                    StructuredLogEvent::schema(schemas),
                ],
            })
        })
    }
}

/// Facts by name: texts, numbers, truth values, or nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[serde(transparent)]
pub struct Attributes(pub Map<String, Value>);

impl Wire for Attributes {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let attributes = Map::read(value, reader)?;
        let mut complete = true;
        for (name, value) in &attributes {
            if value.is_array() || value.is_object() {
                complete = false;
                reader.key(name.clone(), |reader| {
                    let text = "Input should be a text, a number, a truth value or null";
                    reader.issue::<()>("primitive_type", text)
                });
            }
        }
        complete.then_some(Self(attributes))
    }

    fn schema(_: &mut Schemas) -> Value {
        let types = ["string", "number", "boolean", "null"];
        json!({ "type": "object", "additionalProperties": { "type": types } })
    }
}

/// A column that traces are put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceColumn {
    TraceId,
    RootSpanId,
    StartTime,
    EndTime,
    ServiceName,
    CreatedAt,
}

impl TraceColumn {
    const ALL: [(&'static str, Self); 6] = [
        ("trace_id", Self::TraceId),
        ("root_span_id", Self::RootSpanId),
        ("start_time", Self::StartTime),
        ("end_time", Self::EndTime),
        ("service_name", Self::ServiceName),
        ("created_at", Self::CreatedAt),
    ];
}

/// A column, and in which direction: on the wire its name, with `-` before it for the descending
/// order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderBy {
    pub column: TraceColumn,
    pub descending: bool,
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TraceColumn::ALL.iter().find(|(_, column)| *column == self.column);
        let sign = if self.descending { "-" } else { "" };
        write!(f, "{sign}{}", name.map_or("", |(name, _)| name))
    }
}

impl Serialize for OrderBy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Wire for OrderBy {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let found = TraceColumn::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, column)| Self { column: *column, descending }).or_else(|| {
            let known = crate::wire::alternatives(&TraceColumn::ALL.map(|(name, _)| name));
            reader.issue("enum", format!("Input should be {known}, or one of these after `-`"))
        })
    }

    fn schema(_: &mut Schemas) -> Value {
        let names = TraceColumn::ALL.map(|(name, _)| name);
        json!({ "type": "string", "pattern": format!("^-?({})$", names.join("|")) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, OrderBy, StructuredLogPayload, TraceColumn};
    use crate::{error::Segment, wire::Wire};
    use serde_json::{Value, json};

    fn event(fields: &Value) -> Value {
        let mut event = json!({
            "trace_id": "t", "span_id": "s", "timestamp": "2025-01-01T00:00:00Z",
        });
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event
    }

    #[test]
    fn an_event_is_told_by_its_fields_with_and_without_a_type() {
        let log = event(&json!({ "message": "m", "severity": "info", "attributes": { "a": 1 } }));
        assert!(matches!(Event::from_json(log), Ok(Event::UnstructuredLog(_))));
        let metric = event(&json!({ "type": "metric", "metric": "m", "value": 1, "unit": "u" }));
        assert!(matches!(Event::from_json(metric), Ok(Event::Metric(_))));
        let end = json!({ "payload": { "type": "span_end", "status": "error" } });
        let Ok(Event::StructuredLog(end)) = Event::from_json(event(&end)) else { panic!("no end") };
        assert!(matches!(end.payload, StructuredLogPayload::SpanEnd(_)));
    }

    #[test]
    fn what_is_no_event_is_told_what_each_form_lacks() {
        let issues = Event::from_json(json!({ "type": "zzz" })).expect_err("no event");
        assert_eq!(issues.len(), 18);
        let tag = issues.iter().find(|issue| issue.kind == "literal_error").unwrap();
        assert_eq!(tag.msg, "Input should be 'unstructured_log'");
        assert_eq!(tag.loc[0], Segment::Key("UnstructuredLogEvent".into()));
        let nested =
            event(&json!({ "message": "", "severity": "info", "attributes": { "a": [] } }));
        let issues = Event::from_json(nested).expect_err("nested attributes");
        assert!(issues.iter().any(|issue| issue.kind == "primitive_type"), "{issues:?}");
    }

    #[test]
    fn orders_are_columns_of_traces_and_nothing_else() {
        let order = OrderBy::from_json(json!("-start_time")).unwrap();
        assert_eq!(order, OrderBy { column: TraceColumn::StartTime, descending: true });
        assert_eq!(serde_json::to_value(order).unwrap(), json!("-start_time"));
        for hostile in ["nope", "", "--start_time", "start_time; DROP TABLE traces", "1"] {
            assert!(OrderBy::from_json(json!(hostile)).is_err(), "{hostile}");
        }
    }
}
