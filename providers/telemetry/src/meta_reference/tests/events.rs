//! Events that programs report.

use super::{Kept, event, field, read};
use chaski_provider::{Context, Telemetry};
use serde_json::{Value, json};

#[tokio::test]
async fn a_span_is_kept_when_its_end_is_reported() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    let ids = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
    let start = json!({ "type": "span_start", "name": "work", "parent_span_id": null });
    kept.log(&me, event(ids, json!({ "payload": start, "attributes": { "a": 1, "b": 2 } }))).await;
    assert_eq!(kept.traces(&me, json!({})).await, [Value::Null; 0], "it has not ended");
    let line = json!({ "message": "hello", "severity": "info", "attributes": { "k": "v" } });
    kept.log(&me, event(ids, line)).await;
    let mut end = event(
        ids,
        json!({
            "payload": { "type": "span_end", "status": "error" }, "attributes": { "b": 3 },
        }),
    );
    end["timestamp"] = json!("2025-01-01T00:00:01.5Z");
    let request = json!({ "event": end, "ttl_seconds": 60 });
    kept.0.log_event(&me, read(request)).await.unwrap();

    let traces = kept.traces(&me, json!({})).await;
    assert_eq!(
        traces,
        [json!({
            "trace_id": ids[0], "root_span_id": ids[1],
            "start_time": "2025-01-01T00:00:00.000000Z", "end_time": "2025-01-01T00:00:01.500000Z",
        })]
    );
    let tree = kept.0.get_span_tree(&me, read(json!({ "span_id": ids[1] }))).await.unwrap();
    let span = &tree.data[ids[1]];
    assert_eq!((&span["name"], &span["status"]), (&json!("work"), &json!("error")));
    assert_eq!(span["attributes"], json!({ "a": 1, "b": 3, "__ttl__": 60 }));
}

#[tokio::test]
async fn the_span_without_a_parent_is_the_root_whichever_ends_first() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    kept.report(&me, ["t", "child"], Some("root"), json!({})).await;
    assert_eq!(field(&kept.traces(&me, json!({})).await, "root_span_id"), ["child"]);
    kept.report(&me, ["t", "root"], None, json!({})).await;
    kept.report(&me, ["t", "later"], Some("root"), json!({})).await;
    assert_eq!(field(&kept.traces(&me, json!({})).await, "root_span_id"), ["root"]);
}

#[tokio::test]
async fn what_belongs_to_no_open_span_and_what_is_measured_is_taken_and_not_kept() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    let ids = ["zz", "yy"];
    kept.log(&me, event(ids, json!({ "message": "m", "severity": "critical" }))).await;
    kept.log(&me, event(ids, json!({ "payload": { "type": "span_end", "status": "ok" } }))).await;
    kept.log(&me, event(ids, json!({ "metric": "m", "value": 5, "unit": "tokens" }))).await;
    assert_eq!(kept.traces(&me, json!({})).await, [Value::Null; 0]);
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_with_its_size() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    let long = "x".repeat(20_000);
    let start = json!({ "type": "span_start", "name": "work" });
    for (ids, more) in [
        ([long.as_str(), "s"], json!({ "payload": start })),
        (["t", long.as_str()], json!({ "payload": start })),
        (["t", "s"], json!({ "payload": { "type": "span_start", "name": long } })),
        (["t", "s"], json!({ "payload": start, "attributes": { "a": long } })),
        (["t", "s"], json!({ "message": long, "severity": "info" })),
    ] {
        let request = json!({ "event": event(ids, more) });
        let error = kept.0.log_event(&me, read(request)).await.expect_err("too large");
        assert!(error.message.contains("bytes; it may have"), "{}", error.message);
    }
}

#[tokio::test]
async fn spans_that_never_end_do_not_pile_up() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    let facts = json!({ "a": "x".repeat(15_000) });
    for index in 0..2000 {
        let id = index.to_string();
        let start = json!({ "type": "span_start", "name": "work" });
        kept.log(&me, event([&id, &id], json!({ "payload": start, "attributes": facts }))).await;
    }
    let end = json!({ "payload": { "type": "span_end", "status": "ok" } });
    kept.log(&me, event(["0", "0"], end.clone())).await;
    kept.log(&me, event(["1999", "1999"], end)).await;
    assert_eq!(field(&kept.traces(&me, json!({})).await, "trace_id"), ["1999"]);
}
