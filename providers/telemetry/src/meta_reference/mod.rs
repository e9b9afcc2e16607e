//! Spans in a SQLite database, as those of the reference, or in memory.

mod blocks;
mod config;
mod earlier;
mod filters;
mod forms;
mod ids;
mod index;
mod query;
mod records;
mod reported;
mod shapes;
mod text;
mod thread;
mod writer;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chaski_api::{
    Api, Result,
    endpoints::telemetry::{
        LogEventRequest, QuerySpansRequest, QueryTracesRequest, SpanRequest, SpanTreeRequest,
    },
    inspect::{HealthStatus, ProviderHealth},
    telemetry::{QuerySpanTreeResponse, QuerySpansResponse, QueryTracesResponse, Span, Trace},
};
use chaski_provider::{
    Context, Deps, EndedSpan, Lifecycle, Provider, SpanSink, Spec, Telemetry, TelemetryProvider,
};
use chaski_store::{Database, SqliteRows};
use config::{MetaReferenceConfig, Sink};
use index::Shared;
use records::SCHEMA;
use reported::OpenSpans;
use std::sync::{Arc, Mutex, PoisonError};
use writer::{Bounds, Intake, Writer};

const DOCS: &str = "\
Traces of requests, with a span for each request and for what it is made of: turns and steps of agents, calls of models,
tools and shields. They are kept in the SQLite file of `sqlite_db_path`, or in memory where `sinks` lacks `sqlite`, and
belong to the caller who made the request: nobody else sees them.

- Requests hand spans over by a bounded queue and never wait. What does not fit is lost and counted in the provider's
  health. A span can be seen as soon as it has ended.
- A thread behind those of requests writes them. What is kept survives the end of the server; the spans of the last
  moments may be lost when the machine dies.
- `traceparent` and `tracestate` of a request are taken over, and upstreams get them with the span that calls.
- Spans of agents carry what was said to models, tools and shields, and by them (`input`, `output`, `request`; each up to
  16 KiB) unless `record_contents` is `false`. No other span carries it, and none carries keys or headers.
- The oldest traces go when there are more than `max_traces` or `max_spans`; what is older than `max_age_seconds`, or than
  `ttl_seconds` of its event, goes too.
- Spans that end together are written as one row, and which traces there are is known in memory. So the file belongs to
  one server at a time. A filter by `session_id` or `turn_id` reads few rows, another one those of the caller.
- Probes and questions about the server and its traces are not traced.
- `otel` among the `sinks` has no effect in this build; `console` tells each span to the log at the level `DEBUG`.
";

/// Spans in a database.
pub(crate) struct MetaReference {
    database: Database,
    index: Shared,
    intake: Intake,
    open: Mutex<OpenSpans>,
    record_contents: bool,
}

impl Provider for MetaReference {
    type Api = dyn TelemetryProvider;
    type Config = MetaReferenceConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Telemetry,
            "inline::meta-reference",
            "Traces of requests, kept in SQLite or in memory.",
        )
    };

    async fn build(config: MetaReferenceConfig, _deps: Deps) -> Result<Arc<dyn TelemetryProvider>> {
        let (provider, writer) = MetaReference::new(&config)?;
        thread::run(writer.run())?;
        if config.has(Sink::Otel) {
            tracing::warn!(
                target: "core",
                "the sink `otel` of telemetry has no effect: this build does not export spans yet"
            );
        }
        Ok(Arc::new(provider))
    }
}

impl MetaReference {
    fn new(config: &MetaReferenceConfig) -> Result<(Self, Writer)> {
        let backend = SqliteRows::open_in_background(config.place(), &SCHEMA)?;
        let database = Database::new(Arc::new(backend));
        let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let bounds = Bounds {
            traces: count(config.max_traces.0),
            spans: count(config.max_spans.0),
            age: config.max_age_seconds.0.saturating_mul(1_000_000),
        };
        let (index, tells) = (Shared::default(), config.has(Sink::Console));
        let service = config.service_name.clone();
        let (writer, intake) = Writer::new(database.clone(), index.clone(), bounds, service, tells);
        let (open, record_contents) = (Mutex::default(), config.record_contents);
        Ok((Self { database, index, intake, open, record_contents }, writer))
    }
}

impl SpanSink for MetaReference {
    fn keep(&self, span: EndedSpan) {
        self.intake.offer(span);
    }

    fn keeps_contents(&self) -> bool {
        self.record_contents
    }
}

#[async_trait]
impl Telemetry for MetaReference {
    async fn log_event(&self, cx: &Context, request: LogEventRequest) -> Result<()> {
        let ended = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.take(cx.owner(), request)?
        };
        match ended {
            Some(span) => self.intake.take(span).await,
            None => Ok(()),
        }
    }

    async fn query_traces(
        &self,
        cx: &Context,
        request: QueryTracesRequest,
    ) -> Result<QueryTracesResponse> {
        self.intake.flush().await?;
        self.traces(&cx.owner(), request).await
    }

    async fn get_trace(&self, cx: &Context, trace_id: &str) -> Result<Trace> {
        self.intake.flush().await?;
        self.trace(&cx.owner(), trace_id)
    }

    async fn get_span(&self, cx: &Context, request: SpanRequest) -> Result<Span> {
        self.intake.flush().await?;
        self.span(&cx.owner(), request).await
    }

    async fn get_span_tree(
        &self,
        cx: &Context,
        request: SpanTreeRequest,
    ) -> Result<QuerySpanTreeResponse> {
        self.intake.flush().await?;
        self.tree(&cx.owner(), request).await
    }

    async fn query_spans(
        &self,
        cx: &Context,
        request: QuerySpansRequest,
    ) -> Result<QuerySpansResponse> {
        self.intake.flush().await?;
        self.spans(&cx.owner(), request).await
    }
}

#[async_trait]
impl Lifecycle for MetaReference {
    fn health(&self) -> ProviderHealth {
        let lost = self.intake.lost();
        let message = (lost > 0).then(|| format!("{lost} spans are lost since the start"));
        ProviderHealth::new(HealthStatus::Ok, message)
    }

    async fn shutdown(&self) {
        // Where the writer has ended, nothing waits.
        let _ended = self.intake.flush().await;
    }
}
