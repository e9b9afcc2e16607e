//! The contract of telemetry: what keeps spans, and answers questions about them.

use crate::{Context, Lifecycle, SpanSink};
use async_trait::async_trait;
use chaski_api::{
    Result,
    endpoints::telemetry::{
        LogEventRequest, QuerySpansRequest, QueryTracesRequest, SpanRequest, SpanTreeRequest,
    },
    telemetry::{QuerySpanTreeResponse, QuerySpansResponse, QueryTracesResponse, Span, Trace},
};

/// Traces with their spans. A caller sees those of the caller's own requests and events, as they
/// were when the question was asked.
#[async_trait]
pub trait Telemetry: Send + Sync {
    /// Keeps an event that a program reports.
    ///
    /// # Errors
    /// `InvalidRequest` for an event that is too large.
    async fn log_event(&self, cx: &Context, request: LogEventRequest) -> Result<()>;

    /// A page of the traces of which one span fits all filters.
    ///
    /// # Errors
    /// `InvalidRequest` for a filter that compares with something else than a text, a number or a
    /// truth value.
    async fn query_traces(
        &self,
        cx: &Context,
        request: QueryTracesRequest,
    ) -> Result<QueryTracesResponse>;

    /// # Errors
    /// `NotFound` if the caller has no such trace.
    async fn get_trace(&self, cx: &Context, trace_id: &str) -> Result<Trace>;

    /// # Errors
    /// `NotFound` if the caller has no such span.
    async fn get_span(&self, cx: &Context, request: SpanRequest) -> Result<Span>;

    /// A span with those below it.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such span.
    async fn get_span_tree(
        &self,
        cx: &Context,
        request: SpanTreeRequest,
    ) -> Result<QuerySpanTreeResponse>;

    /// The spans with all of some attributes, in the traces of which one span fits all filters.
    ///
    /// # Errors
    /// Those of [`Self::query_traces`].
    async fn query_spans(
        &self,
        cx: &Context,
        request: QuerySpansRequest,
    ) -> Result<QuerySpansResponse>;
}

/// What a provider of telemetry must be.
pub trait TelemetryProvider: Telemetry + SpanSink + Lifecycle {}
impl<T: Telemetry + SpanSink + Lifecycle> TelemetryProvider for T {}
