//! How much is kept, where, and how long.

use super::{Kept, caller, event, field, read, rows};
use crate::meta_reference::{
    config::{MetaReferenceConfig, Sink},
    records::now,
    writer::Writer,
};
use chaski_api::Wire;
use chaski_provider::{Context, Lifecycle, ProviderConfig, Telemetry};
use serde_json::{Value, json};

#[tokio::test]
async fn traces_are_still_there_after_a_restart_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "sqlite_db_path": folder.path().join("a/traces.db") });
    let me = caller("me");
    for id in ["1", "2"] {
        let kept = Kept::with(&settings);
        kept.report(&me, ["t", id], None, json!({})).await;
        kept.0.shutdown().await;
    }
    let kept = Kept::with(&settings);
    assert_eq!(field(&kept.traces(&me, json!({})).await, "trace_id"), ["t"]);
    let all = json!({ "attribute_filters": [], "attributes_to_return": [] });
    assert_eq!(field(&kept.spans(&me, all).await, "span_id"), ["1", "2"]);
}

/// How many traces, spans and blocks are known, and how many rows there are.
async fn counts(writer: &Writer) -> ((usize, usize, usize), usize) {
    let known = writer.index.lock().counts();
    (known, rows(writer).await)
}

#[tokio::test]
async fn what_has_expired_is_not_seen_and_then_removed() {
    let (kept, mut writer) = Kept::idle(&json!({ "max_age_seconds": 3600 }));
    let me = Context::default();
    for (id, ttl) in [("gone", 0), ("short", 60), ("long", 604_800)] {
        let start = json!({ "payload": { "type": "span_start", "name": "n" } });
        kept.log(&me, event([id, id], start)).await;
        let end = event([id, id], json!({ "payload": { "type": "span_end", "status": "ok" } }));
        let request = json!({ "event": end, "ttl_seconds": ttl });
        kept.0.log_event(&me, read(request)).await.unwrap();
    }
    writer.write_waiting().await;
    assert_eq!(counts(&writer).await, ((3, 3, 1), 1));
    let seen = kept.0.traces(&me.owner(), read(json!({ "order_by": ["trace_id"] }))).await.unwrap();
    let seen: Vec<&str> = seen.data.iter().map(|trace| trace.trace_id.as_str()).collect();
    assert_eq!(seen, ["long", "short"]);
    writer.sweep(now()).await;
    assert_eq!(counts(&writer).await, ((2, 2, 1), 1));
    writer.sweep(now() + 61 * 1_000_000).await;
    assert_eq!(counts(&writer).await, ((1, 1, 1), 1));
    // No span outlives `max_age_seconds`, whatever its program wants.
    writer.sweep(now() + 3601 * 1_000_000).await;
    assert_eq!(counts(&writer).await, ((0, 0, 0), 0));
}

#[tokio::test]
async fn the_oldest_traces_go_when_there_are_too_many() {
    for (settings, left) in [
        (json!({ "max_traces": 3 }), ["9", "8", "7"].as_slice()),
        // Whole traces go; each has two spans.
        (json!({ "max_spans": 5 }), ["9", "8"].as_slice()),
    ] {
        let (kept, mut writer) = Kept::idle(&settings);
        let me = Context::default();
        for id in ["5", "6", "7", "8", "9"] {
            kept.report(&me, [id, "root"], None, json!({})).await;
            kept.report(&me, [id, "child"], Some("root"), json!({})).await;
        }
        writer.write_waiting().await;
        writer.sweep(now()).await;
        let found = kept.0.traces(&me.owner(), read(json!({}))).await.unwrap();
        let found: Vec<&str> = found.data.iter().map(|trace| trace.trace_id.as_str()).collect();
        assert_eq!(found, left, "{settings}");
    }
}

#[tokio::test]
async fn a_full_queue_loses_spans_and_counts_them_without_waiting() {
    let (kept, mut writer) = Kept::idle(&json!({}));
    let me = Context::default();
    for _ in 0..8192 + 7 {
        drop(kept.request(&me, "/v1/x"));
    }
    assert_eq!(kept.0.health().message.as_deref(), Some("7 spans are lost since the start"));
    writer.write_waiting().await;
    tokio::spawn(writer.run());
    let found = kept.traces(&me, json!({ "limit": 10_000 })).await;
    assert_eq!(found.len(), 8192);
}

#[test]
fn sinks_are_a_list_or_a_text_and_a_file_is_used_where_one_of_them_is_sqlite() {
    let config = |settings: Value| MetaReferenceConfig::from_json(settings);
    let path = "/x/traces.db";
    for (sinks, place) in [
        (json!("console, sqlite"), path),
        (json!(["sqlite"]), path),
        (json!("console"), ":memory:"),
        (json!("otel"), ":memory:"),
        (json!(""), ":memory:"),
        (json!([]), ":memory:"),
    ] {
        let config = config(json!({ "sinks": sinks, "sqlite_db_path": path })).unwrap();
        assert_eq!(config.place(), place, "{sinks}");
    }
    assert!(config(json!({})).unwrap().has(Sink::Console));
    assert_eq!(config(json!({})).unwrap().place(), ":memory:");
    assert!(config(json!({ "sinks": "sqlite,paper" })).is_err());
    assert!(config(json!({ "max_traces": 0 })).is_err());
    assert!(MetaReferenceConfig::sample("~/x").to_string().contains("TELEMETRY_SINKS"));
}
