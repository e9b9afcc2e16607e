//! Vector databases and the chunks in them.

use super::harness::{Running, start_with};
use crate::ServerOptions;
use serde_json::{Value, json};

/// A server with two vector stores.
async fn server() -> Running {
    start_with(
        ServerOptions::default(),
        json!({
            "providers": {
                "inference": [
                    { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
                ],
                "vector_io": [
                    { "provider_id": "first", "provider_type": "inline::faiss", "config": {} },
                    { "provider_id": "second", "provider_type": "inline::sqlite-vec", "config": {} },
                ],
            },
            "models": [
                { "model_id": "m", "provider_id": "told" },
                { "model_id": "e", "provider_id": "told", "model_type": "embedding",
                  "metadata": { "embedding_dimension": 3 } },
            ],
            "vector_dbs": [
                { "vector_db_id": "declared", "embedding_model": "e", "embedding_dimension": 3 },
            ],
        }),
    )
    .await
}

/// The same with a database `db`.
async fn with_db() -> Running {
    let server = server().await;
    let body = json!({ "vector_db_id": "db", "embedding_model": "e" });
    assert_eq!(server.post("/v1/vector-dbs", &body).await.status, 200);
    server
}

async fn insert(server: &Running, chunks: Value) -> String {
    let body = json!({ "vector_db_id": "db", "chunks": chunks });
    server.post("/v1/vector-io/insert", &body).await.line()
}

async fn query(server: &Running, text: &str, params: Value) -> String {
    let body = json!({ "vector_db_id": "db", "query": text, "params": params });
    server.post("/v1/vector-io/query", &body).await.line()
}

fn chunk(text: &str) -> Value {
    json!({ "content": text, "metadata": { "document_id": format!("doc of {text}") } })
}

#[tokio::test]
async fn vector_databases_are_registered_listed_and_removed() {
    let server = server().await;
    let record = |id: &str, provider: &str| {
        json!({
            "identifier": id, "provider_resource_id": id, "provider_id": provider,
            "type": "vector_db", "embedding_model": "e", "embedding_dimension": 3,
        })
    };
    let list = server.get("/v1/vector-dbs").await.json();
    assert_eq!(list, json!({ "data": [record("declared", "first")] }));
    let register = async |body: Value| server.post("/v1/vector-dbs", &body).await.json();
    // The length is that of the model, and the first store is the default.
    let made = register(json!({
        "vector_db_id": "a/b", "embedding_model": "e", "embedding_dimension": 7,
    }));
    assert_eq!(made.await, record("a/b", "first"));
    let again = register(json!({
        "vector_db_id": "a/b", "embedding_model": "e", "provider_id": "second",
    }));
    assert_eq!(again.await, record("a/b", "second"));
    assert_eq!(server.get("/v1/vector-dbs/a/b").await.json(), record("a/b", "second"));
    let named = register(json!({
        "vector_db_id": "n", "embedding_model": "e", "provider_vector_db_id": "native",
    }));
    assert_eq!(named.await["provider_resource_id"], "native");
    for id in ["a/b", "n", "declared"] {
        let request = server.request(http::Method::DELETE, &format!("/v1/vector-dbs/{id}"));
        assert_eq!(server.send(request).await.line(), "200 null");
    }
    assert_eq!(server.get("/v1/vector-dbs").await.json(), json!({ "data": [] }));
}

#[tokio::test]
async fn two_vector_databases_do_not_share_their_chunks() {
    let server = server().await;
    let register = async |id: &str, own: &str, provider: &str| {
        let body = json!({
            "vector_db_id": id, "provider_vector_db_id": own, "provider_id": provider,
            "embedding_model": "e",
        });
        server.post("/v1/vector-dbs", &body).await
    };
    assert_eq!(register("db", "shared", "first").await.status, 200);
    for (id, own) in [("other", "shared"), ("shared", "")] {
        assert_eq!(
            register(id, own, "first").await.line(),
            format!(
                "409 {{\"detail\":\"Vector DB 'db' has `shared` of provider `first` already, and would \
                 lose it with '{id}'; use that, or give another `provider_vector_db_id`\"}}"
            )
        );
    }
    // The same again, and the same name at another provider.
    assert_eq!(register("db", "shared", "first").await.status, 200);
    assert_eq!(register("other", "shared", "second").await.status, 200);
    assert_eq!(insert(&server, json!([chunk("a cab")])).await, "200 null");
    let request = server.request(http::Method::DELETE, "/v1/vector-dbs/other");
    assert_eq!(server.send(request).await.status, 200);
    let found = query(&server, "cab", json!({ "mode": "keyword" })).await;
    assert!(found.contains("a cab"), "{found}");
    // What is free again can be had.
    let request = server.request(http::Method::DELETE, "/v1/vector-dbs/db");
    assert_eq!(server.send(request).await.status, 200);
    assert_eq!(register("other", "shared", "first").await.status, 200);
}

#[tokio::test]
async fn what_the_configuration_declares_twice_goes_with_the_last_of_both() {
    let server = start_with(
        ServerOptions::default(),
        json!({
            "providers": {
                "inference": [
                    { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
                ],
                "vector_io": [
                    { "provider_id": "first", "provider_type": "inline::faiss", "config": {} },
                ],
            },
            "models": [
                { "model_id": "e", "provider_id": "told", "model_type": "embedding",
                  "metadata": { "embedding_dimension": 3 } },
            ],
            "vector_dbs": [
                { "vector_db_id": "db", "embedding_model": "e", "embedding_dimension": 3 },
                { "vector_db_id": "alias", "provider_vector_db_id": "db", "embedding_model": "e",
                  "embedding_dimension": 3 },
            ],
        }),
    )
    .await;
    assert_eq!(insert(&server, json!([chunk("a cab")])).await, "200 null");
    let request = server.request(http::Method::DELETE, "/v1/vector-dbs/alias");
    assert_eq!(server.send(request).await.status, 200);
    let found = query(&server, "cab", json!({ "mode": "keyword" })).await;
    assert!(found.contains("a cab"), "{found}");
}

#[tokio::test]
async fn what_cannot_be_registered_is_said() {
    let server = server().await;
    for (body, line) in [
        (
            json!({ "vector_db_id": "x", "embedding_model": "nope" }),
            r#"400 {"detail":"Invalid value: Model nope not found"}"#,
        ),
        (
            json!({ "vector_db_id": "x", "embedding_model": "m" }),
            r#"400 {"detail":"Invalid value: Model m is not an embedding model"}"#,
        ),
        (
            json!({ "vector_db_id": "x", "embedding_model": "e", "provider_id": "nope" }),
            r#"400 {"detail":"Invalid value: Provider `nope` not found"}"#,
        ),
        (
            json!({ "vector_db_id": "x" }),
            r#"400 {"error":{"detail":{"errors":[{"loc":["body","embedding_model"],"msg":"Field required","type":"missing"}]}}}"#,
        ),
        (
            json!({ "vector_db_id": 5, "embedding_model": "e" }),
            r#"400 {"error":{"detail":{"errors":[{"loc":["body","vector_db_id"],"msg":"Input should be a valid string","type":"string_type"}]}}}"#,
        ),
        (
            json!({ "vector_db_id": "", "embedding_model": "e" }),
            r#"400 {"detail":"Invalid value: `vector_db_id` is empty; give the database a name"}"#,
        ),
        (
            json!({ "vector_db_id": "refused", "embedding_model": "e" }),
            r#"503 {"detail":"the store does not answer"}"#,
        ),
    ] {
        assert_eq!(server.post("/v1/vector-dbs", &body).await.line(), line, "{body}");
    }
    let unknown = r#"400 {"detail":"Invalid value: Vector DB 'nope' not found"}"#;
    assert_eq!(server.get("/v1/vector-dbs/nope").await.line(), unknown);
    let request = server.request(http::Method::DELETE, "/v1/vector-dbs/nope");
    assert_eq!(server.send(request).await.line(), unknown);
    assert_eq!(server.get("/v1/vector-dbs").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn chunks_are_found_by_their_vectors_with_their_facts() {
    let server = with_db().await;
    assert_eq!(query(&server, "a", json!({})).await, r#"200 {"chunks":[],"scores":[]}"#);
    let items = json!({
        "content": [{ "type": "text", "text": "b" }, { "type": "text", "text": "bbb" }],
        "metadata": { "document_id": "d", "n": { "deep": [1] } },
    });
    assert_eq!(insert(&server, json!([chunk("aaa"), items])).await, "200 null");
    assert_eq!(
        query(&server, "a", json!({ "max_chunks": 1 })).await,
        r#"200 {"chunks":[{"content":"aaa","metadata":{"document_id":"doc of aaa"}}],"scores":[1000000.0]}"#
    );
    let found = query(&server, "ab", json!({})).await;
    assert!(
        found.contains(r#"[{"type":"text","text":"b"},{"type":"text","text":"bbb"}]"#),
        "{found}"
    );
    assert!(found.contains(r#""n":{"deep":[1]}"#), "{found}");
    assert_eq!(
        query(&server, "b", json!({ "score_threshold": 0.9 })).await.matches("content").count(),
        1
    );
}

#[tokio::test]
async fn the_same_text_of_a_document_is_kept_once() {
    let server = with_db().await;
    for _ in 0..2 {
        insert(&server, json!([chunk("a"), chunk("a"), chunk("ab")])).await;
    }
    let found = query(&server, "a", json!({ "max_chunks": 9 })).await;
    assert_eq!(found.matches("content").count(), 2, "{found}");
    // A caller's own id decides, where there is one.
    let own = |text: &str| json!({ "chunk_id": "1", "content": text, "metadata": { "document_id": "x" } });
    insert(&server, json!([own("b"), own("c")])).await;
    let found = query(&server, "c", json!({ "max_chunks": 9 })).await;
    assert_eq!(found.matches("content").count(), 3, "{found}");
    assert!(!found.contains(r#""content":"b""#), "{found}");
}

#[tokio::test]
async fn chunks_may_bring_their_vectors() {
    let server = with_db().await;
    let own = |vector: Value| json!([{ "content": "x", "metadata": { "document_id": "d" }, "embedding": vector }]);
    assert_eq!(insert(&server, own(json!([0, 0, 2]))).await, "200 null");
    assert!(query(&server, "c", json!({})).await.contains("1000000"));
    for (vector, part) in [
        (json!([1, 2]), "`chunks[0].embedding`: Embedding dimension mismatch. Expected 3, got 2"),
        (json!([0, 0, 0]), "a vector is zero"),
        (json!([0, 0, 1e300]), "the number 2 of a vector is not finite"),
        (json!(["NaN", 0, 0]), "Input should be a valid number"),
        (json!([null, 0, 0]), "Input should be a valid number"),
        (json!("x"), "Input should be a valid list"),
    ] {
        let answer = insert(&server, own(vector.clone())).await;
        assert!(answer.starts_with("400") && answer.contains(part), "{vector}: {answer}");
    }
    let body = r#"{"vector_db_id":"db","chunks":[{"content":"x","embedding":[NaN,0,0]}]}"#;
    let headers = "content-type: application/json\r\n";
    let raw = server.raw_request("POST /v1/vector-io/insert", headers, body.as_bytes()).await;
    assert!(raw.starts_with("HTTP/1.1 400"), "{raw}");
}

#[tokio::test]
async fn what_cannot_be_inserted_is_said() {
    let server = with_db().await;
    let missing = |what: &str| {
        format!(
            r#"400 {{"error":{{"detail":{{"errors":[{{"loc":["body",{what}],"msg":"Field required","type":"missing"}}]}}}}}}"#
        )
    };
    for (chunks, line) in [
        (json!([]), r#"400 {"detail":"Invalid value: Embedding dimension mismatch. Expected 3, got 0"}"#.to_owned()),
        (json!([{ "metadata": {} }]), missing(r#""chunks",0,"content""#)),
        (json!([chunk("a"), { "content": "a" }]), missing(r#""chunks",1,"metadata","document_id""#)),
        (
            json!([{ "content": "two numbers", "metadata": { "document_id": "d" } }]),
            r#"502 {"detail":"embedding model `e`: Embedding dimension mismatch. Expected 3, got 2"}"#.to_owned(),
        ),
        (
            json!([{ "content": "zero", "metadata": { "document_id": "d" } }]),
            r#"502 {"detail":"embedding model `e`: a vector is zero, and so has no direction to compare"}"#.to_owned(),
        ),
        (
            json!([{ "content": "not finite", "metadata": { "document_id": "d" } }]),
            r#"502 {"detail":"embedding model `e`: the number 2 of a vector is not finite"}"#.to_owned(),
        ),
        (
            json!([{ "content": { "type": "image", "image": { "data": "x" } }, "metadata": { "document_id": "d" } }]),
            r#"400 {"detail":"Invalid value: `chunks[0].content` has an image; only text can be inserted"}"#.to_owned(),
        ),
    ] {
        assert_eq!(insert(&server, chunks.clone()).await, line, "{chunks}");
    }
    for (chunks, part) in [
        (json!("x"), "Input should be a valid list"),
        (json!([5]), "Input should be a valid dictionary"),
        (json!([{ "content": 5 }]), "Input should be a valid string"),
        (json!([{ "content": "a", "metadata": [] }]), "Input should be a valid dictionary"),
        (
            json!([{ "content": "a", "metadata": { "document_id": 5 } }]),
            "Input should be a valid string",
        ),
    ] {
        let answer = insert(&server, chunks.clone()).await;
        assert!(answer.starts_with("400") && answer.contains(part), "{chunks}: {answer}");
    }
    let large =
        json!([{ "content": "a".repeat(1024 * 1024 + 1), "metadata": { "document_id": "d" } }]);
    assert!(insert(&server, large).await.starts_with("413"));
    let many: Vec<Value> = (0..10_001).map(|_| chunk("a")).collect();
    assert!(insert(&server, many.into()).await.starts_with("413"));
    let unknown = json!({ "vector_db_id": "nope", "chunks": [chunk("a")] });
    assert_eq!(
        server.post("/v1/vector-io/insert", &unknown).await.line(),
        "400 {\"detail\":\"Invalid value: Vector_db `nope` not served by any of the providers: first, \
         second. Make sure there is an VectorIO provider serving this vector_db.\"}"
    );
    for ttl in [json!(0), json!(-5), json!("soon")] {
        let body = json!({ "vector_db_id": "db", "chunks": [chunk("a")], "ttl_seconds": ttl });
        assert_eq!(server.post("/v1/vector-io/insert", &body).await.status, 400, "{ttl}");
    }
    assert_eq!(query(&server, "a", json!({})).await, r#"200 {"chunks":[],"scores":[]}"#);
}

#[tokio::test]
async fn what_cannot_be_asked_is_said() {
    let server = with_db().await;
    for (params, part) in [
        (
            json!([]),
            r#""loc":["body","params"],"msg":"Input should be a valid dictionary","type":"dict_type""#,
        ),
        (json!({ "mode": "zzz" }), "'vector', 'keyword' or 'hybrid'"),
        (json!({ "max_chunks": 0 }), "greater than or equal to 1"),
        (json!({ "max_chunks": 1_000_000 }), "less than or equal to 1000"),
        (json!({ "score_threshold": "high" }), "Input should be a valid number"),
        (json!({ "filters": { "type": "like", "key": "a", "value": "b" } }), "'eq', 'ne'"),
        (json!({ "ranker": { "type": "zzz" } }), "'rrf', 'weighted', 'normalized'"),
        (json!({ "rerank": true }), "Input should be a valid dictionary"),
        (json!({ "rerank": { "candidates": 1001 } }), "less than or equal to 1000"),
    ] {
        let answer = query(&server, "a", params.clone()).await;
        assert!(answer.starts_with("400") && answer.contains(part), "{params}: {answer}");
    }
    // There is nothing to rank: what is wrong is told all the same.
    for (model, part) in [
        (json!(null), "there is no rerank model; register one, or name an embedding model"),
        (json!("m"), "m"),
        (json!("nope"), "nope"),
    ] {
        let answer = query(&server, "a", json!({ "rerank": { "model": model } })).await;
        assert!(answer.starts_with("400") && answer.contains(part), "{model}: {answer}");
    }
    let answer = query(&server, "a", json!({ "mode": "hybrid" })).await;
    assert!(answer.starts_with("501") && answer.contains("`vector` or `keyword`"), "{answer}");
    for body in [
        json!({ "vector_db_id": "db" }),
        json!({ "vector_db_id": "db", "query": 5 }),
        json!({ "vector_db_id": "db", "query": { "type": "image", "image": { "data": "x" } } }),
        json!({ "vector_db_id": "nope", "query": "a" }),
    ] {
        assert_eq!(server.post("/v1/vector-io/query", &body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn filters_and_words_choose_chunks() {
    let server = with_db().await;
    let of = |text: &str, year: i64| json!({ "content": text, "metadata": { "document_id": text, "year": year } });
    insert(&server, json!([of("a one", 2023), of("a two", 2024), of("b", 2025)])).await;
    let recent = json!({ "filters": { "type": "gte", "key": "year", "value": 2024 } });
    let found = query(&server, "a", recent).await;
    assert!(
        found.contains("a two") && found.contains("2025") && !found.contains("2023"),
        "{found}"
    );
    let found = query(&server, "one", json!({ "mode": "keyword" })).await;
    assert!(found.contains("a one") && found.ends_with(r#""scores":[1.5]}"#), "{found}");
}

#[tokio::test]
async fn what_was_found_is_ranked_anew() {
    let server = with_db().await;
    insert(&server, json!([chunk("bcc"), chunk("b"), chunk("bc"), chunk("a")])).await;
    let ask = async |mode: &str, more: Value| {
        let mut params = json!({ "mode": mode, "rerank": { "model": "e" } });
        for (key, value) in more.as_object().unwrap() {
            params[key] = value.clone();
        }
        let body = json!({ "vector_db_id": "db", "query": "b", "params": params });
        let found = server.post("/v1/vector-io/query", &body).await.json();
        let texts: Vec<String> = found["chunks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|chunk| chunk["content"].as_str().unwrap().to_owned())
            .collect();
        (texts.join(" "), found["scores"][0].as_f64())
    };
    // By words alone all three are as good.
    assert_eq!(ask("keyword", json!({})).await, ("b bc bcc".to_owned(), Some(1.0)));
    assert_eq!(ask("keyword", json!({ "max_chunks": 1 })).await, ("b".to_owned(), Some(1.0)));
    // Scores are those of the model, in every mode.
    let near = json!({ "score_threshold": 0.6, "max_chunks": 9 });
    assert_eq!(ask("vector", near).await, ("b bc".to_owned(), Some(1.0)));
    let few = json!({ "max_chunks": 1, "rerank": { "model": "e", "candidates": 1 } });
    assert_eq!(ask("vector", few).await, ("b".to_owned(), Some(1.0)));
    let none = json!({ "filters": { "type": "eq", "key": "x", "value": 1 } });
    assert_eq!(ask("vector", none).await, (String::new(), None));
}

#[tokio::test]
async fn chunks_with_a_lifetime_are_kept_for_it() {
    let server = with_db().await;
    let body = json!({ "vector_db_id": "db", "chunks": [chunk("a")], "ttl_seconds": 3600 });
    assert_eq!(server.post("/v1/vector-io/insert", &body).await.line(), "200 null");
    assert!(query(&server, "a", json!({})).await.contains("doc of a"));
    let brief = json!({ "vector_db_id": "db", "chunks": [chunk("b")], "ttl_seconds": 1 });
    server.post("/v1/vector-io/insert", &brief).await;
    chaski_testkit::within("the chunk to expire", async {
        while query(&server, "b", json!({})).await.contains("doc of b") {}
    })
    .await;
    assert!(query(&server, "a", json!({})).await.contains("doc of a"));
}

#[tokio::test]
async fn a_stack_without_a_store_says_so() {
    let server = start_with(ServerOptions::default(), json!({})).await;
    for path in ["/v1/vector-dbs", "/v1/vector-dbs/x"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 501, "{}", answer.text);
        assert!(answer.text.contains("providers.vector_io"), "{}", answer.text);
    }
}
