//! What is kept of spans, and what questions find.

mod blocks;
mod bounds;
mod events;
mod questions;
mod text;

use super::{MetaReference, config::MetaReferenceConfig, records::StoredBlock, writer::Writer};
use chaski_api::Wire;
use chaski_provider::{Context, OpenSpan, Principal, SpanContext, SpanSink, Telemetry};
use chaski_store::{Database, Scope};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A provider with its writer at work.
struct Kept(Arc<MetaReference>);

impl Kept {
    /// With these settings, in memory unless they name a file.
    fn with(settings: &Value) -> Self {
        let (kept, writer) = Self::idle(settings);
        tokio::spawn(writer.run());
        kept
    }

    /// The same, with a writer that does not run yet.
    fn idle(settings: &Value) -> (Self, Writer) {
        let config = MetaReferenceConfig::from_json(settings.clone()).unwrap();
        let (provider, writer) = MetaReference::new(&config).unwrap();
        (Self(Arc::new(provider)), writer)
    }

    /// Begins the span of a request of `cx`, and gives the context within it.
    fn request(&self, cx: &Context, path: &str) -> (OpenSpan, Context) {
        let sink = Arc::clone(&self.0) as Arc<dyn SpanSink>;
        let root = SpanContext::begin(sink, cx.owner(), None, path.to_owned());
        let within = cx.within(&root);
        (root, within)
    }

    /// A trace of `cx` with spans below each other, the first one being that of the request.
    fn trace(&self, cx: &Context, names: &[&'static str]) {
        let (root, mut within) = self.request(cx, "/v1/x");
        let mut open = vec![root];
        for name in names {
            let span = within.spans.start(name);
            within = within.within(&span);
            open.push(span);
        }
        while let Some(span) = open.pop() {
            drop(span);
        }
    }

    /// The traces of a question, as JSON.
    async fn traces(&self, cx: &Context, question: Value) -> Vec<Value> {
        let answer = self.0.query_traces(cx, read(question)).await.unwrap();
        array(&serde_json::to_value(answer).unwrap()["data"])
    }

    /// The spans of a question, as JSON.
    async fn spans(&self, cx: &Context, question: Value) -> Vec<Value> {
        let answer = self.0.query_spans(cx, read(question)).await.unwrap();
        array(&serde_json::to_value(answer).unwrap()["data"])
    }

    async fn log(&self, cx: &Context, event: Value) {
        self.0.log_event(cx, read(json!({ "event": event }))).await.unwrap();
    }

    /// Reports a span from its beginning to its end.
    async fn report(&self, cx: &Context, ids: [&str; 2], parent: Option<&str>, facts: Value) {
        let payload = json!({ "type": "span_start", "name": ids[1], "parent_span_id": parent });
        self.log(cx, event(ids, json!({ "payload": payload, "attributes": facts }))).await;
        let payload = json!({ "type": "span_end", "status": "ok" });
        self.log(cx, event(ids, json!({ "payload": payload }))).await;
    }
}

/// An event of a trace and a span, with more fields.
fn event(ids: [&str; 2], more: Value) -> Value {
    let mut event = json!({
        "trace_id": ids[0], "span_id": ids[1], "timestamp": "2025-01-01T00:00:00Z",
    });
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    event
}

fn read<T: Wire>(value: Value) -> T {
    T::from_json(value).unwrap_or_else(|issues| panic!("{issues:?}"))
}

fn array(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

/// The values of a field, in order.
fn field<'a>(records: &'a [Value], name: &str) -> Vec<&'a str> {
    records.iter().map(|record| record[name].as_str().unwrap()).collect()
}

fn caller(id: &str) -> Context {
    let principal = Principal { id: id.to_owned(), attributes: Map::new() };
    Context { principal: Some(Arc::new(principal)), ..Context::default() }
}

/// How many rows there are.
async fn rows(writer: &Writer) -> usize {
    let query = Database::query::<StoredBlock>(Scope::Upkeep).limit(10_000);
    writer.database.each(query).await.unwrap().len()
}
