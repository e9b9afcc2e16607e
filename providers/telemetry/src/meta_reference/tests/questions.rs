//! Questions of callers about their traces.

use super::{Kept, array, caller, field, read};
use crate::meta_reference::{
    earlier::{self, EarlierSpan, EarlierTrace},
    records::now,
};
use chaski_api::{ErrorKind, Result, telemetry::QuerySpanTreeResponse};
use chaski_provider::{Context, Telemetry};
use chaski_store::{Cell, Column, Database, Index, Record, Schema, Scope, SqliteRows, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

fn filter(key: &str, op: &str, value: impl Into<Value>) -> Value {
    json!([{ "key": key, "op": op, "value": value.into() }])
}

async fn tree(kept: &Kept, cx: &Context, id: &str, more: Value) -> Result<Vec<Value>> {
    let mut request = json!({ "span_id": id });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer: QuerySpanTreeResponse = kept.0.get_span_tree(cx, read(request)).await?;
    Ok(answer.data.values().cloned().collect())
}

#[tokio::test]
async fn a_trace_is_found_with_its_spans_and_their_tree() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    let (mut root, within) = kept.request(&me, "/v1/agents/a/session/s/turn");
    let mut turn = within.spans.start("create_and_execute_turn");
    turn.set("session_id", "s");
    let inside = within.within(&turn);
    let first = inside.spans.start("inference");
    first.fail();
    drop(first);
    drop(inside.spans.start("tool_execution"));
    drop(turn);
    root.set("http.response.status_code", 200_i64);
    drop(root);

    let traces = kept.traces(&me, json!({})).await;
    let [trace] = traces.as_slice() else { panic!("one trace: {traces:?}") };
    let (trace_id, root_id) =
        (trace["trace_id"].as_str().unwrap(), trace["root_span_id"].as_str().unwrap());
    assert_eq!((trace_id.len(), root_id.len()), (32, 16));
    let same = kept.0.get_trace(&me, trace_id).await.unwrap();
    assert_eq!(&serde_json::to_value(same).unwrap(), trace);

    let spans = tree(&kept, &me, root_id, json!({})).await.unwrap();
    let names =
        ["/v1/agents/a/session/s/turn", "create_and_execute_turn", "inference", "tool_execution"];
    assert_eq!(field(&spans, "name"), names);
    assert_eq!(field(&spans, "status"), ["ok", "ok", "error", "ok"]);
    assert_eq!(spans[0]["parent_span_id"], Value::Null);
    assert_eq!(spans[1]["parent_span_id"], *root_id);
    assert_eq!(spans[2]["parent_span_id"], spans[1]["span_id"]);
    let attributes = &spans[0]["attributes"];
    assert_eq!(attributes["__root__"], true);
    assert_eq!(attributes["__location__"], "server");
    assert_eq!(attributes["__ttl__"], 604_800);
    assert_eq!(attributes["http.response.status_code"], 200);

    let turn_id = spans[1]["span_id"].as_str().unwrap();
    let two = json!({ "max_depth": 1, "attributes_to_return": ["input", "session_id"] });
    let [turn] = tree(&kept, &me, turn_id, two).await.unwrap().try_into().unwrap();
    assert_eq!(turn["attributes"], json!({ "input": null, "session_id": "s" }));

    let request = json!({ "trace_id": trace_id, "span_id": turn_id });
    let span = kept.0.get_span(&me, read(request)).await.unwrap();
    let span = serde_json::to_value(span).unwrap();
    assert_eq!((&span["name"], &span["trace_id"]), (&json!(names[1]), &json!(trace_id)));
    assert!(span.get("status").is_none());
}

#[tokio::test]
async fn all_filters_hold_on_one_span_of_a_trace() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    kept.report(&me, ["a", "a1"], None, json!({ "model": "x", "tokens": 5 })).await;
    kept.report(&me, ["b", "b1"], None, json!({ "model": "x" })).await;
    kept.report(&me, ["b", "b2"], Some("b1"), json!({ "tokens": 5.5 })).await;
    let found = async |filters: Value| {
        let question = json!({ "attribute_filters": filters, "order_by": ["trace_id"] });
        kept.traces(&me, question)
            .await
            .iter()
            .map(|trace| trace["trace_id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(filter("model", "eq", "x")).await, ["a", "b"]);
    assert_eq!(found(filter("model", "ne", "y")).await, ["a", "b"]);
    assert_eq!(found(filter("tokens", "gt", 5)).await, ["b"]);
    assert_eq!(found(filter("tokens", "lt", 6)).await, ["a", "b"]);
    assert_eq!(found(filter("tokens", "eq", "5")).await, [Value::Null; 0]);
    assert_eq!(found(filter("absent", "ne", "x")).await, [Value::Null; 0]);
    let both = json!([
        { "key": "model", "op": "eq", "value": "x" }, { "key": "tokens", "op": "gt", "value": 4 },
    ]);
    assert_eq!(found(both).await, ["a"]);
    for (op, value) in [("eq", json!(null)), ("eq", json!([1])), ("gt", json!(true))] {
        let question = json!({ "attribute_filters": [{ "key": "a", "op": op, "value": value }] });
        let error = kept.0.query_traces(&me, read(question)).await.expect_err("no comparison");
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{}", error.message);
    }
}

#[tokio::test]
async fn names_and_values_of_callers_are_never_part_of_a_statement() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    let hostile =
        ["a'b", "a\"b", "$.a", "a[0]", "') OR 1=1 --", "\\", "%", "_", "nul\0", "", "é\u{1F980}"];
    for (index, text) in hostile.iter().enumerate() {
        let id = index.to_string();
        kept.report(&me, [&id, &id], None, json!({ *text: *text })).await;
    }
    for (index, text) in hostile.iter().enumerate() {
        let question = json!({ "attribute_filters": filter(text, "eq", *text) });
        let found = kept.traces(&me, question).await;
        assert_eq!(field(&found, "trace_id"), [index.to_string()], "{text:?}");
        let none = json!({ "attribute_filters": filter(text, "eq", "x' OR '1'='1") });
        assert_eq!(kept.traces(&me, none).await, [Value::Null; 0], "{text:?}");
        let error = kept.0.get_trace(&me, text).await.expect_err("no such trace");
        assert_eq!(error.message, format!("Trace {text} not found"));
        assert!(tree(&kept, &me, text, json!({})).await.is_err());
    }
    assert_eq!(kept.traces(&me, json!({})).await.len(), hostile.len());
}

#[tokio::test]
async fn pages_come_in_the_order_that_is_asked_for() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    for id in ["c", "a", "b"] {
        kept.report(&me, [id, id], None, json!({})).await;
    }
    let ids = async |question: Value| {
        let traces = kept.traces(&me, question).await;
        traces
            .iter()
            .map(|trace| trace["trace_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(json!({ "order_by": ["trace_id"] })).await, ["a", "b", "c"]);
    assert_eq!(ids(json!({ "order_by": ["-start_time", "-trace_id"] })).await, ["c", "b", "a"]);
    assert_eq!(ids(json!({})).await, ["b", "a", "c"], "the newest first");
    assert_eq!(ids(json!({ "order_by": ["trace_id"], "limit": 1, "offset": 1 })).await, ["b"]);
    assert_eq!(ids(json!({ "limit": 0 })).await, [""; 0]);
    assert_eq!(ids(json!({ "offset": 9 })).await, [""; 0]);
}

#[tokio::test]
async fn spans_are_answered_that_have_all_attributes_which_are_asked_for() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    kept.report(&me, ["t", "1"], None, json!({ "session_id": "s" })).await;
    kept.report(&me, ["t", "2"], Some("1"), json!({ "input": "i", "output": "o" })).await;
    kept.report(&me, ["t", "3"], Some("2"), json!({ "input": "i", "output": null })).await;
    kept.report(&me, ["u", "4"], None, json!({ "input": "i", "output": "o" })).await;
    let question = |names: &[&str], depth: Option<i64>| {
        json!({
            "attribute_filters": filter("session_id", "eq", "s"),
            "attributes_to_return": names, "max_depth": depth,
        })
    };
    let spans = kept.spans(&me, question(&["input", "output"], None)).await;
    assert_eq!(field(&spans, "span_id"), ["2"]);
    assert_eq!(spans[0]["attributes"], json!({ "input": "i", "output": "o" }));
    assert_eq!(spans[0]["trace_id"], "t");
    assert_eq!(field(&kept.spans(&me, question(&[], None)).await, "span_id"), ["1", "2", "3"]);
    assert_eq!(field(&kept.spans(&me, question(&[], Some(2))).await, "span_id"), ["1", "2"]);
    assert_eq!(kept.spans(&me, question(&["input"], Some(1))).await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_caller_sees_nothing_of_others_whatever_ids_they_choose() {
    let kept = Kept::with(&json!({}));
    let (me, you, nobody) = (caller("me"), caller("you"), Context::default());
    kept.trace(&me, &["inference"]);
    kept.report(&me, ["t", "s"], None, json!({ "whose": "mine" })).await;
    kept.report(&you, ["t", "s"], None, json!({ "whose": "yours" })).await;
    for (cx, count, whose) in [(&me, 2, Some("mine")), (&you, 1, Some("yours")), (&nobody, 0, None)]
    {
        let traces = kept.traces(cx, json!({})).await;
        assert_eq!(traces.len(), count);
        let request = json!({ "trace_id": "t", "span_id": "s" });
        let span = kept.0.get_span(cx, read(request)).await.ok();
        let attributes = span.and_then(|span| span.attributes).unwrap_or_default();
        assert_eq!(attributes.get("whose").and_then(Value::as_str), whose);
        assert_eq!(kept.0.get_trace(cx, "t").await.is_ok(), whose.is_some());
        assert_eq!(tree(&kept, cx, "s", json!({})).await.is_ok(), whose.is_some());
    }
    let mine = kept.traces(&me, json!({ "order_by": ["-start_time"] })).await;
    let id = mine[0]["root_span_id"].as_str().unwrap();
    let error = tree(&kept, &you, id, json!({})).await.expect_err("mine");
    assert_eq!(error.message, format!("Span {id} not found"));
    let filters = json!({ "attribute_filters": filter("__root__", "eq", true) });
    assert_eq!(array(&json!(kept.traces(&you, filters).await)).len(), 0);
}

#[tokio::test]
async fn spans_that_are_their_own_ancestors_come_once() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    kept.report(&me, ["t", "a"], Some("b"), json!({})).await;
    kept.report(&me, ["t", "b"], Some("a"), json!({})).await;
    let spans = tree(&kept, &me, "a", json!({})).await.unwrap();
    assert_eq!(field(&spans, "span_id").iter().filter(|id| **id == "b").count(), 1);
    assert!(spans.len() <= 2);
}

/// Spans as version 1 of the schema kept them.
static OLD_SPANS: Table = Table {
    name: "kept_spans",
    since: 1,
    columns: &[Column::text("of_trace", 1), Column::text("span", 1), Column::integer("expires", 1)],
    indexes: &[Index::narrow(&["of_trace"]), Index::narrow(&["span"])],
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct OldSpan(EarlierSpan);

impl Record for OldSpan {
    const TABLE: &'static Table = &OLD_SPANS;

    fn id(&self) -> &str {
        self.0.id()
    }

    fn cells(&self) -> Vec<Cell> {
        self.0.cells().into_iter().take(3).collect()
    }
}

#[tokio::test]
async fn traces_are_found_by_session_and_turn_whichever_version_kept_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.db");
    let settings = json!({ "sqlite_db_path": path });
    let me = caller("me");
    {
        let tables: &[&Table] = &[&earlier::TRACES, &OLD_SPANS];
        let tables: &'static [&'static Table] = Vec::leak(tables.to_vec());
        let backend = SqliteRows::open(&path, &Schema { version: 1, tables }).unwrap();
        let database = Database::new(Arc::new(backend));
        for (index, (id, facts)) in [
            ("old", json!({ "session_id": "s", "turn_id": "t1" })),
            ("older", json!({ "session_id": "other" })),
        ]
        .into_iter()
        .enumerate()
        {
            let trace: EarlierTrace = serde_json::from_value(json!({
                "row": id, "root_span_id": "1", "has_root": true, "created": index,
            }))
            .unwrap();
            database.insert(&me.owner(), &trace).await.unwrap();
            let span: EarlierSpan = serde_json::from_value(json!({
                "row": format!("{id} 1"), "of_trace": id, "trace_id": id, "span_id": "1",
                "parent_span_id": null, "name": "work", "start": 5, "end": 7, "status": "error",
                "attributes": facts, "events": [], "expires": now() + 3_600_000_000,
            }))
            .unwrap();
            database.insert(&me.owner(), &OldSpan(span)).await.unwrap();
        }
    }
    let kept = Kept::with(&settings);
    let created = json!({ "order_by": ["created_at"] });
    assert_eq!(field(&kept.traces(&me, created).await, "trace_id"), ["old", "older"]);
    let [span] = tree(&kept, &me, "1", json!({})).await.unwrap().try_into().unwrap();
    assert_eq!((&span["trace_id"], &span["status"]), (&json!("older"), &json!("error")));
    let left = Database::query::<EarlierSpan>(Scope::Upkeep);
    assert!(kept.0.database.each(left).await.unwrap().is_empty());
    let left = Database::query::<EarlierTrace>(Scope::Upkeep);
    assert!(kept.0.database.each(left).await.unwrap().is_empty());
    for (id, facts) in [
        ("new", json!({ "session_id": "s", "turn_id": "t2" })),
        ("dash", json!({ "session_id": "-" })),
        ("empty", json!({ "session_id": "" })),
        ("number", json!({ "session_id": 7 })),
        ("none", json!({ "model": "s" })),
    ] {
        kept.report(&me, [id, id], None, facts).await;
    }
    let found = async |key: &str, op: &str, value: Value| {
        let question = json!({
            "attribute_filters": filter(key, op, value), "order_by": ["trace_id"],
        });
        let traces = kept.traces(&me, question).await;
        field(&traces, "trace_id").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found("session_id", "eq", json!("s")).await, ["new", "old"]);
    assert_eq!(found("session_id", "eq", json!("other")).await, ["older"]);
    assert_eq!(found("session_id", "eq", json!("-")).await, ["dash"]);
    assert_eq!(found("session_id", "eq", json!("")).await, ["empty"]);
    assert_eq!(found("session_id", "eq", json!(7)).await, ["number"]);
    assert_eq!(found("session_id", "ne", json!("s")).await, ["dash", "empty", "number", "older"]);
    assert_eq!(found("turn_id", "eq", json!("t1")).await, ["old"]);
    assert_eq!(found("turn_id", "eq", json!("t2")).await, ["new"]);
    assert_eq!(found("turn_id", "eq", json!("s")).await, [""; 0]);
    let both = json!({
        "attribute_filters": [
            { "key": "session_id", "op": "eq", "value": "s" },
            { "key": "turn_id", "op": "eq", "value": "t2" },
        ],
    });
    assert_eq!(field(&kept.traces(&me, both).await, "trace_id"), ["new"]);
}

#[tokio::test]
async fn spans_of_all_traces_are_found_however_many_there_are() {
    let kept = Kept::with(&json!({}));
    let me = Context::default();
    for _ in 0..205 {
        kept.trace(&me, &["inference"]);
    }
    let all = json!({ "attribute_filters": [], "attributes_to_return": ["__root__"] });
    let found = kept.spans(&me, all).await;
    let traces: std::collections::HashSet<&str> = field(&found, "trace_id").into_iter().collect();
    assert_eq!((found.len(), traces.len()), (205, 205));
}
