//! Traces and their spans, and the events that programs report.

use crate::{
    Api, EndpointSpec,
    telemetry::{
        Event, OrderBy, QueryCondition, QuerySpanTreeResponse, QuerySpansResponse,
        QueryTracesResponse, Span, Trace,
    },
    wire::{AtLeast, Between},
};

crate::wire! {
    /// An event to keep.
    pub struct LogEventRequest {
        /// The event.
        pub event: Event,
        /// How long its span is kept, in seconds.
        pub ttl_seconds: i64 = TTL_SECONDS,
    }

    /// Which traces.
    pub struct QueryTracesRequest {
        /// What one of their spans must be like: all of these.
        pub attribute_filters: Option<Vec<QueryCondition>>,
        /// The most traces.
        pub limit: Option<Between<0, 10000>> = Some(Between(100)),
        /// How many are passed over.
        pub offset: Option<AtLeast<0>> = Some(Between(0)),
        /// In which order; those that were kept last come first unless given.
        pub order_by: Option<Vec<OrderBy>>,
    }

    /// Which trace.
    pub struct TraceRequest {
        /// The trace.
        pub trace_id: String,
    }

    /// Which span.
    pub struct SpanRequest {
        /// The trace.
        pub trace_id: String,
        /// The span.
        pub span_id: String,
    }

    /// Which span, and how much of it.
    pub struct SpanTreeRequest {
        /// The span.
        pub span_id: String,
        /// The attributes that are wanted; all unless given.
        pub attributes_to_return: Option<Vec<String>>,
        /// How many levels, the span itself being the first.
        pub max_depth: Option<i64>,
    }

    /// Which spans.
    pub struct QuerySpansRequest {
        /// What one span of their trace must be like: all of these.
        pub attribute_filters: Vec<QueryCondition>,
        /// The attributes that are wanted; spans that lack one of them are left out.
        pub attributes_to_return: Vec<String>,
        /// How many levels below the spans that have no parent in their trace.
        pub max_depth: Option<i64>,
    }

    /// Which spans, and where they go.
    pub struct SaveSpansToDatasetRequest {
        /// What one span of their trace must be like: all of these.
        pub attribute_filters: Vec<QueryCondition>,
        /// The attributes that are kept.
        pub attributes_to_save: Vec<String>,
        /// The dataset.
        pub dataset_id: String,
        /// How many levels below the spans that have no parent in their trace.
        pub max_depth: Option<i64>,
    }
}

/// How long a span is kept unless its program says: a week.
pub const TTL_SECONDS: i64 = 604_800;

endpoints! {
    like EndpointSpec::of(Api::Telemetry);

    LogEvent(LogEventRequest) -> () =
        Post "/v1/telemetry/events", "log_event",
        "Keeps what a program reports: the beginning or the end of a span, or what happened in one.";

    QueryTraces(QueryTracesRequest) -> QueryTracesResponse =
        Post "/v1/telemetry/traces", "query_traces",
        "The traces of the caller that fit filters.";

    GetTrace(TraceRequest) -> Trace =
        Get "/v1/telemetry/traces/{trace_id:path}", "get_trace",
        "A trace of the caller.";

    GetSpan(SpanRequest) -> Span =
        Get "/v1/telemetry/traces/{trace_id:path}/spans/{span_id:path}", "get_span",
        "A span of a trace of the caller.";

    GetSpanTree(SpanTreeRequest) -> QuerySpanTreeResponse =
        Post "/v1/telemetry/spans/{span_id:path}/tree", "get_span_tree",
        "A span with those below it.";

    QuerySpans(QuerySpansRequest) -> QuerySpansResponse =
        Post "/v1/telemetry/spans", "query_spans",
        "The spans, with some attributes, of the traces of the caller that fit filters.";

    SaveSpansToDataset(SaveSpansToDatasetRequest) -> () =
        Post "/v1/telemetry/spans/export", "save_spans_to_dataset",
        "Appends the spans of the traces of the caller that fit filters to a dataset.";
}
