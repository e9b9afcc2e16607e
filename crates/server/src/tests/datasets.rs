//! Datasets, their rows, and spans as rows, over HTTP.

use super::harness::{Answer, Running, start_with};
use crate::ServerOptions;
use chaski_testkit::{PATIENCE, eventually_some};
use http::Method;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// A server with a dataset `declared`, which is a file of it.
async fn server() -> (TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("declared.csv");
    fs::write(&file, "n,t\n1,x\n2,\n").unwrap();
    let more = json!({
        "providers": {
            "inference": [
                { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
            ],
            "datasetio": [
                { "provider_id": "huggingface", "provider_type": "remote::huggingface", "config": {} },
                { "provider_id": "localfs", "provider_type": "inline::localfs",
                  "config": { "kvstore": { "db_path": ":memory:" } } },
            ],
            "telemetry": [
                { "provider_id": "traces", "provider_type": "inline::meta-reference", "config": { "sinks": [] } },
            ],
        },
        "models": [{ "model_id": "m", "provider_id": "told" }],
        "datasets": [
            { "dataset_id": "declared", "purpose": "eval/question-answer", "source": { "uri": file } },
        ],
    });
    (folder, start_with(ServerOptions::default(), more).await)
}

fn rows_of(numbers: std::ops::Range<i64>) -> Value {
    numbers.map(|number| json!({ "n": number })).collect()
}

async fn registered(server: &Running, id: &str, source: Value) -> Answer {
    let body = json!({ "dataset_id": id, "purpose": "eval/messages-answer", "source": source });
    server.post("/v1/datasets", &body).await
}

async fn delete(server: &Running, path: &str) -> Answer {
    server.send(server.request(Method::DELETE, path)).await
}

#[tokio::test]
async fn a_dataset_is_registered_read_appended_to_and_removed() {
    let (_folder, server) = server().await;
    let source = json!({ "type": "rows", "rows": rows_of(0..3) });
    let dataset = json!({
        "identifier": "a/b", "provider_resource_id": "a/b", "provider_id": "localfs",
        "type": "dataset", "purpose": "eval/messages-answer", "source": source, "metadata": {},
    });
    let answer = registered(&server, "a/b", json!({ "rows": rows_of(0..3) })).await;
    assert_eq!(answer.line(), format!("200 {dataset}"));
    assert_eq!(server.get("/v1/datasets/a/b").await.json(), dataset);
    let listed = server.get("/v1/datasets").await.json();
    assert_eq!(listed["data"][0]["identifier"], "declared");
    assert_eq!(listed["data"][1], dataset);
    let path = "/v1/datasetio/iterrows/a/b";
    for (query, wanted) in [
        ("", json!({ "data": rows_of(0..3), "next_start_index": null })),
        ("?limit=-1", json!({ "data": rows_of(0..3), "next_start_index": null })),
        ("?limit=2", json!({ "data": rows_of(0..2), "next_start_index": 2 })),
        ("?start_index=2&limit=2", json!({ "data": rows_of(2..3), "next_start_index": null })),
        ("?limit=0", json!({ "data": [], "next_start_index": 0 })),
        ("?start_index=99", json!({ "data": [], "next_start_index": null })),
    ] {
        assert_eq!(server.get(&format!("{path}{query}")).await.json(), wanted, "{query}");
    }
    let appended =
        server.post("/v1/datasetio/append-rows/a/b", &json!({ "rows": rows_of(3..5) })).await;
    assert_eq!(appended.line(), "200 null");
    let old = json!({ "dataset_id": "a/b", "rows": rows_of(5..6) });
    assert_eq!(server.post("/v1/datasetio/rows", &old).await.line(), "200 null");
    let page = server.get("/v1/datasetio/rows?dataset_id=a/b&rows_in_page=4").await.json();
    assert_eq!(page, json!({ "rows": rows_of(0..4), "total_count": 4, "next_page_token": "4" }));
    let page = server.get("/v1/datasetio/rows?dataset_id=a/b&rows_in_page=-1&page_token=4").await;
    assert_eq!(
        page.json(),
        json!({ "rows": rows_of(4..6), "total_count": 2, "next_page_token": null })
    );
    assert_eq!(delete(&server, "/v1/datasets/a/b").await.line(), "200 null");
    for path in ["/v1/datasets/a/b", "/v1/datasets/nope"] {
        let id = &path["/v1/datasets/".len()..];
        let wanted = format!("400 {{\"detail\":\"Invalid value: Dataset '{id}' not found\"}}");
        assert_eq!(server.get(path).await.line(), wanted);
        assert_eq!(delete(&server, path).await.line(), wanted);
    }
}

#[tokio::test]
async fn a_dataset_gets_an_id_and_the_provider_for_its_source() {
    let (_folder, server) = server().await;
    let body = json!({ "purpose": "post-training/messages", "source": { "rows": [] }, "dataset_id": null });
    let dataset = server.post("/v1/datasets", &body).await.json();
    let id = dataset["identifier"].as_str().unwrap();
    assert_eq!(id.strip_prefix("dataset-").map(str::len), Some(36), "{id}");
    assert_eq!(dataset["provider_id"], "localfs");
    let hub = registered(&server, "hub", json!({ "uri": "huggingface://datasets/x" })).await;
    assert_eq!(hub.json()["provider_id"], "huggingface");
    let appended = json!({ "rows": [{}] });
    assert_eq!(server.post("/v1/datasetio/append-rows/hub", &appended).await.status, 501);
    let old = json!({
        "dataset_id": "old", "dataset_schema": { "n": { "type": "number" } },
        "url": { "uri": "data:text/csv,n%0A1" },
    });
    let old = server.post("/v1/datasets", &old).await.json();
    assert_eq!(old["source"], json!({ "type": "uri", "uri": "data:text/csv,n%0A1" }));
    let rows = server.get("/v1/datasetio/iterrows/old").await.json();
    assert_eq!(rows["data"], rows_of(1..2));
}

#[tokio::test]
async fn a_declared_file_is_read_until_a_request_names_it() {
    let (folder, server) = server().await;
    let rows = server.get("/v1/datasetio/iterrows/declared").await.json();
    assert_eq!(rows["data"], json!([{ "n": 1, "t": "x" }, { "n": 2, "t": null }]));
    let file = json!({ "uri": folder.path().join("declared.csv") });
    for id in ["declared", "another"] {
        assert_eq!(registered(&server, id, file.clone()).await.status, 200);
        let answer = server.get(&format!("/v1/datasetio/iterrows/{id}")).await;
        assert_eq!(answer.status, 400);
        assert!(
            answer.text.contains("requests may not name files of the server"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn another_source_replaces_the_rows() {
    let (_folder, server) = server().await;
    registered(&server, "d", json!({ "rows": rows_of(0..2) })).await;
    server.post("/v1/datasetio/append-rows/d", &json!({ "rows": rows_of(2..3) })).await;
    registered(&server, "d", json!({ "rows": rows_of(7..8) })).await;
    let rows = server.get("/v1/datasetio/iterrows/d").await.json();
    assert_eq!(rows["data"], rows_of(7..8));
    assert_eq!(server.get("/v1/datasets/d").await.json()["source"]["rows"], rows_of(7..8));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let (_folder, server) = server().await;
    registered(&server, "d", json!({ "rows": rows_of(0..2) })).await;
    registered(&server, "far", json!({ "uri": "http://127.0.0.1:9/x.csv" })).await;
    registered(&server, "odd", json!({ "uri": "https://x.example/y.parquet" })).await;
    for (path, words) in [
        ("/v1/datasetio/iterrows/d?limit=abc", "unable to parse string as an integer"),
        ("/v1/datasetio/iterrows/d?limit=-2", "greater than or equal to -1"),
        ("/v1/datasetio/iterrows/d?start_index=-1", "greater than or equal to 0"),
        (
            "/v1/datasetio/iterrows/nope",
            "Dataset `nope` not served by any of the providers: huggingface, localfs.",
        ),
        ("/v1/datasetio/iterrows/far", "may not be fetched"),
        (
            "/v1/datasetio/iterrows/odd",
            "Invalid value: Unsupported file type: https://x.example/y.parquet",
        ),
        ("/v1/datasetio/rows?dataset_id=d", "rows_in_page"),
        ("/v1/datasetio/rows?rows_in_page=1", "dataset_id"),
        (
            "/v1/datasetio/rows?dataset_id=d&rows_in_page=1&page_token=x",
            "`x` is not a `page_token`",
        ),
        ("/v1/datasetio/rows?dataset_id=d&rows_in_page=1&page_token=-1", "is not a `page_token`"),
        (
            "/v1/datasetio/rows?dataset_id=d&rows_in_page=1&filter_condition=a",
            "leave `filter_condition` out",
        ),
        ("/v1/datasetio/rows?dataset_id=nope&rows_in_page=1", "Dataset `nope` not served"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        assert!(answer.text.contains(words), "{path}: {}", answer.text);
    }
    let register = |more: Value| {
        let mut body = json!({ "purpose": "eval/messages-answer", "source": { "rows": [] } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (path, body, words) in [
        ("/v1/datasets", json!({}), "purpose"),
        ("/v1/datasets", register(json!({ "purpose": "zzz" })), "'eval/messages-answer'"),
        ("/v1/datasets", register(json!({ "source": { "type": "zzz" } })), "literal_error"),
        ("/v1/datasets", register(json!({ "source": { "rows": 7 } })), "list_type"),
        ("/v1/datasets", register(json!({ "source": { "rows": [7] } })), "dict_type"),
        ("/v1/datasets", register(json!({ "dataset_id": 7 })), "string_type"),
        ("/v1/datasets", register(json!({ "metadata": [] })), "dict_type"),
        ("/v1/datasets", register(json!({ "provider_id": "nope" })), "Provider `nope` not found"),
        ("/v1/datasets", json!({ "dataset_id": "d", "url": "x" }), "url"),
        ("/v1/datasetio/append-rows/d", json!({}), "Field required"),
        ("/v1/datasetio/append-rows/d", json!({ "rows": {} }), "list_type"),
        ("/v1/datasetio/append-rows/d", json!({ "rows": [1] }), "dict_type"),
        ("/v1/datasetio/append-rows/nope", json!({ "rows": [] }), "Dataset `nope` not served"),
        ("/v1/datasetio/rows", json!({ "rows": [] }), "dataset_id"),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text);
        assert!(answer.text.contains(words), "{path} {body}: {}", answer.text);
    }
    let rows = server.get("/v1/datasetio/iterrows/d").await.json();
    assert_eq!(rows["data"], rows_of(0..2), "nothing of it was appended");
}

#[tokio::test]
async fn spans_become_rows_of_a_dataset() {
    let (_folder, server) = server().await;
    registered(&server, "spans", json!({ "rows": [] })).await;
    let request = ("x-request-id", "exported");
    server.get_with("/v1/datasetio/iterrows/spans", &[request]).await;
    let filters = json!([{ "key": "request_id", "op": "eq", "value": "exported" }]);
    let question =
        json!({ "attribute_filters": filters, "attributes_to_return": ["__location__"] });
    // The span of a request ends after its answer has come.
    let spans = eventually_some(PATIENCE, "the span of the request", async || {
        let found = server.post("/v1/telemetry/spans", &question).await.json();
        (!found["data"].as_array()?.is_empty()).then(|| found["data"].clone())
    })
    .await;
    let mut export = json!({
        "attribute_filters": filters, "attributes_to_save": ["__location__"], "dataset_id": "spans",
    });
    let saved = server.post("/v1/telemetry/spans/export", &export).await;
    assert_eq!(saved.line(), "200 null");
    let rows = server.get("/v1/datasetio/iterrows/spans").await.json();
    let span = &spans[0];
    assert_eq!(
        rows["data"],
        json!([{
            "trace_id": span["trace_id"], "span_id": span["span_id"],
            "parent_span_id": null, "name": "/v1/datasetio/iterrows/spans",
            "start_time": span["start_time"], "end_time": span["end_time"],
            "__location__": "server",
        }])
    );
    export["dataset_id"] = "nope".into();
    let unknown = server.post("/v1/telemetry/spans/export", &export).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text.contains("Dataset `nope` not served"), "{}", unknown.text);
    export["attribute_filters"] = json!([{ "key": "a", "op": "gt", "value": null }]);
    assert_eq!(server.post("/v1/telemetry/spans/export", &export).await.status, 400);
}
