//! Traces and their spans, and the events that programs report.

use crate::routes::Routes;
use chaski_api::endpoints::telemetry::{
    GetSpan, GetSpanTree, GetTrace, LogEvent, QuerySpans, QueryTraces, SaveSpansToDataset,
};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<LogEvent, _, _>(|app, cx, request| async move {
        app.stack.telemetry().await?.log_event(&cx, request).await
    });
    routes.on::<QueryTraces, _, _>(|app, cx, request| async move {
        app.stack.telemetry().await?.query_traces(&cx, request).await
    });
    routes.on::<GetTrace, _, _>(|app, cx, request| async move {
        app.stack.telemetry().await?.get_trace(&cx, &request.trace_id).await
    });
    routes.on::<GetSpan, _, _>(|app, cx, request| async move {
        app.stack.telemetry().await?.get_span(&cx, request).await
    });
    routes.on::<GetSpanTree, _, _>(|app, cx, request| async move {
        app.stack.telemetry().await?.get_span_tree(&cx, request).await
    });
    routes.on::<QuerySpans, _, _>(|app, cx, request| async move {
        app.stack.telemetry().await?.query_spans(&cx, request).await
    });
    routes.on::<SaveSpansToDataset, _, _>(|app, cx, request| async move {
        app.stack.save_spans_to_dataset(&cx, request).await
    });
}
