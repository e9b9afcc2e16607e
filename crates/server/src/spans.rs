//! The span of a request: it begins when the request is admitted and ends when the answer has been
//! sent, or given up.

use crate::{app::App, body::ResponseBody};
use bytes::Bytes;
use chaski_api::{Api, EndpointSpec, Result};
use chaski_provider::{Context, OpenSpan, SpanContext};
use chaski_upstream::TraceParent;
use futures_util::{StreamExt, stream::BoxStream};
use http::{HeaderName, Response, request::Parts};

/// The header that says that there is a trace already.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Begins the span of a request to an endpoint, and puts it into the context. Where no spans are
/// kept, the trace of the caller is passed on.
pub(crate) fn begin(
    app: &App,
    spec: &EndpointSpec,
    head: &Parts,
    cx: &mut Context,
) -> Option<OpenSpan> {
    let span = begun(app, spec, head, cx);
    if let Some(parent) = cx.spans.parent() {
        // The lines of the log name it.
        tracing::Span::current().record("trace", parent.trace.get());
    }
    span
}

fn begun(app: &App, spec: &EndpointSpec, head: &Parts, cx: &mut Context) -> Option<OpenSpan> {
    // Probes and questions about traces would hide what they are about.
    if matches!(spec.api, Api::Inspect | Api::Providers | Api::Telemetry) {
        return None;
    }
    let sink = app.stack.spans();
    let caller = if head.headers.contains_key(TRACEPARENT) {
        TraceParent::read(&head.headers)
    } else {
        None
    };
    let Some(sink) = sink else {
        cx.spans = caller.map(SpanContext::passing_on).unwrap_or_default();
        return None;
    };
    let mut span = SpanContext::begin(sink, cx.owner(), caller, head.uri.path().to_owned());
    span.set("http.request.method", spec.method.as_str());
    span.set_with("request_id", || cx.request_id.to_string());
    cx.spans = span.context(&cx.spans);
    Some(span)
}

/// Notes what the answer is, and ends the span when that has been sent.
pub(crate) fn until_sent(
    span: Option<OpenSpan>,
    response: Response<ResponseBody>,
) -> Response<ResponseBody> {
    let Some(mut span) = span else { return response };
    let status = response.status();
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail();
    }
    response.map(|body| body.holding(span))
}

/// The events, seen as they pass: the head says that all is well, but the span knows how it ended.
pub(crate) fn watched(
    span: SpanContext,
    first: Option<&Result<Bytes>>,
    events: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes>> {
    let fails = move |event: &Result<Bytes>| {
        if event.is_err() {
            span.fail();
        }
    };
    first.into_iter().for_each(&fails);
    events.inspect(fails).boxed()
}
