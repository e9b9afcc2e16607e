//! Vector stores, from outside: files in, texts out, on a store in memory.

use super::{
    files::{form, post},
    harness::{Answer, Running, adorned, start_with},
};
use crate::{AuthOptions, ServerOptions};
use chaski_testkit::{Answer as Told, FakeUpstream, within};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

async fn server_with(options: ServerOptions) -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let more = json!({
        "data_dir": folder.path(),
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
    });
    (start_with(options, more).await, folder)
}

async fn server() -> (Running, TempDir) {
    server_with(ServerOptions::default()).await
}

async fn file(server: &Running, name: &str, content: &[u8]) -> String {
    let head = format!("name=\"file\"; filename=\"{name}\"");
    let body = form(&[(&head, content), ("name=\"purpose\"", b"assistants")]);
    let (status, file) = post(server, "/v1/files", &body).await;
    assert_eq!(status, 200, "{file}");
    file["id"].as_str().unwrap().to_owned()
}

async fn made(server: &Running, path: &str, body: Value) -> Value {
    let answer = server.post(path, &body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

async fn store(server: &Running, body: Value) -> String {
    let store = made(server, "/v1/vector_stores", body).await;
    let id = store["id"].as_str().unwrap();
    assert!(id.starts_with("vs_"), "{store}");
    id.to_owned()
}

/// What is at a path, once it is not in progress any more.
async fn settled(server: &Running, path: &str) -> Value {
    within("the end of the work", async {
        loop {
            let answer = server.get(path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            if answer.json()["status"] != "in_progress" {
                return answer.json();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

async fn delete(server: &Running, path: &str) -> Answer {
    server.send(server.request(Method::DELETE, path)).await
}

/// The names of the files that a search finds, in the order of their names.
async fn found(server: &Running, store: &str, query: &str, filters: Value) -> Vec<String> {
    let body = json!({
        "query": query, "search_mode": "keyword", "filters": filters, "max_num_results": 50,
    });
    let results = made(server, &format!("/v1/vector_stores/{store}/search"), body).await;
    let mut names: Vec<String> = results["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["filename"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_read_found_cited_and_taken_out() {
    let (server, _folder) = server().await;
    let text = "Übersicht\n\nLava is molten rock 🏃.\n";
    let lava = file(&server, "lava.txt", text.as_bytes()).await;
    let id = store(&server, json!({ "name": "topics", "metadata": { "team": "docs" } })).await;
    let files = format!("/v1/vector_stores/{id}/files");
    let added = made(&server, &files, json!({ "file_id": lava })).await;
    assert_eq!((&added["id"], &added["object"]), (&json!(lava), &json!("vector_store.file")));
    let read = settled(&server, &format!("{files}/{lava}")).await;
    assert_eq!((&read["status"], &read["last_error"]), (&json!("completed"), &Value::Null));
    assert_eq!(read["chunking_strategy"]["type"], "static");
    let whole = server.get(&format!("/v1/vector_stores/{id}")).await.json();
    assert_eq!(whole["file_counts"]["completed"], 1);
    assert_eq!(
        (&whole["usage_bytes"], &whole["status"]),
        (&read["usage_bytes"], &json!("completed"))
    );
    assert_eq!(
        (&whole["name"], &whole["metadata"]),
        (&json!("topics"), &json!({ "team": "docs" }))
    );

    let search = format!("/v1/vector_stores/{id}/search");
    for body in [
        json!({ "query": "molten rock", "search_mode": "keyword" }),
        json!({ "query": ["molten rock", "Lava"] }),
    ] {
        let results = made(&server, &search, body).await;
        assert_eq!(results["object"], "vector_store.search_results.page");
        let result = &results["data"][0];
        assert_eq!((&result["file_id"], &result["filename"]), (&json!(lava), &json!("lava.txt")));
        let score = result["score"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&score), "{score}");
        let place = &result["content"][0]["metadata"];
        let byte = |key: &str| usize::try_from(place[key].as_u64().unwrap()).unwrap();
        let cited = &text.as_bytes()[byte("start_byte")..byte("end_byte")];
        assert_eq!(result["content"][0]["text"].as_str().unwrap().as_bytes(), cited);
    }
    let content = server.get(&format!("{files}/{lava}/content")).await.json();
    assert!(content["data"][0]["text"].as_str().unwrap().contains("Lava is molten rock"));
    // It is there already.
    let again = made(&server, &files, json!({ "file_id": lava })).await;
    assert_eq!(again["status"], "completed");

    let gone = delete(&server, &format!("{files}/{lava}")).await.json();
    assert_eq!(gone, json!({ "id": lava, "object": "vector_store.file.deleted", "deleted": true }));
    assert!(found(&server, &id, "molten rock", Value::Null).await.is_empty());
    assert_eq!(server.get(&format!("{files}/{lava}")).await.status, 404);
    assert_eq!(server.get(&format!("/v1/files/{lava}")).await.status, 200);

    // A file that is removed leaves its vector stores.
    made(&server, &files, json!({ "file_id": lava })).await;
    settled(&server, &format!("{files}/{lava}")).await;
    assert_eq!(delete(&server, &format!("/v1/files/{lava}")).await.status, 200);
    assert_eq!(server.get(&files).await.json()["data"], json!([]));

    let gone = delete(&server, &format!("/v1/vector_stores/{id}")).await.json();
    assert_eq!(gone, json!({ "id": id, "object": "vector_store.deleted", "deleted": true }));
    for answer in [
        server.get(&format!("/v1/vector_stores/{id}")).await,
        server.get(&files).await,
        server.post(&search, &json!({ "query": "x" })).await,
        delete(&server, &format!("/v1/openai/v1/vector_stores/{id}")).await,
    ] {
        assert_eq!(answer.status, 404, "{}", answer.text);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn attributes_select_results_and_can_be_changed() {
    let (server, _folder) = server().await;
    let id = store(&server, json!({})).await;
    let files = format!("/v1/vector_stores/{id}/files");
    let mut ids = Vec::new();
    for year in 2020..2024 {
        let name = format!("{year}.txt");
        let file = file(&server, &name, format!("sales of {year}").as_bytes()).await;
        let region = if year % 2 == 0 { "US" } else { "EU" };
        let attributes = json!({ "year": year, "region": region, "document_id": "x" });
        made(&server, &files, json!({ "file_id": file, "attributes": attributes })).await;
        settled(&server, &format!("{files}/{file}")).await;
        ids.push(file);
    }
    let compare =
        |kind: &str, key: &str, value: Value| json!({ "type": kind, "key": key, "value": value });
    let check = async |filter: Value, expected: &[&str]| {
        assert_eq!(found(&server, &id, "sales", filter.clone()).await, expected, "{filter}");
    };
    check(compare("eq", "year", json!(2021)), &["2021.txt"]).await;
    check(compare("gte", "year", json!(2022)), &["2022.txt", "2023.txt"]).await;
    check(compare("in", "region", json!(["EU"])), &["2021.txt", "2023.txt"]).await;
    let both = json!([compare("ne", "region", json!("EU")), compare("lt", "year", json!(2022))]);
    check(json!({ "type": "and", "filters": both }), &["2020.txt"]).await;
    for hostile in ["' OR 1=1 --", "%", "_", "$.year", "\\", "[year]", "a\u{0}b", "*", "\""] {
        check(compare("eq", hostile, json!("EU")), &[]).await;
        check(compare("eq", "region", json!(hostile)), &[]).await;
    }
    let changed = json!({ "attributes": { "year": 1999 } });
    let answer = made(&server, &format!("{files}/{}", ids[1]), changed).await;
    assert_eq!(answer["attributes"], json!({ "year": 1999 }));
    check(compare("eq", "year", json!(2021)), &[]).await;
    check(compare("eq", "year", json!(1999)), &["2021.txt"]).await;
    let wrong = json!({ "query": "x", "filters": compare("like", "year", json!("2%")) });
    assert_eq!(server.post(&format!("/v1/vector_stores/{id}/search"), &wrong).await.status, 400);
}

#[tokio::test]
async fn a_batch_tells_which_files_could_not_be_read_and_why() {
    let (server, _folder) = server().await;
    let id = store(&server, json!({})).await;
    let batches = format!("/v1/vector_stores/{id}/file_batches");
    let good = file(&server, "good.txt", b"bread and butter").await;
    let empty = file(&server, "empty.txt", b"").await;
    let scan = file(&server, "scan.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").await;
    let batch = made(&server, &batches, json!({ "file_ids": [good, empty, scan, good] })).await;
    let path = format!("{batches}/{}", batch["id"].as_str().unwrap());
    assert!(batch["id"].as_str().unwrap().starts_with("vsfb_"));
    let ended = settled(&server, &path).await;
    assert_eq!(
        ended["file_counts"],
        json!({ "in_progress": 0, "completed": 1, "failed": 2, "cancelled": 0, "total": 3 })
    );
    let failed = server.get(&format!("{path}/files?filter=failed&order=asc")).await.json();
    for (row, file) in failed["data"].as_array().unwrap().iter().zip([&empty, &scan]) {
        assert_eq!(
            (&row["id"], &row["last_error"]["code"]),
            (&json!(file), &json!("unsupported_file"))
        );
        assert!(row["last_error"]["message"].as_str().unwrap().len() > 10, "{row}");
    }
    assert_eq!(found(&server, &id, "bread", Value::Null).await, ["good.txt"]);
    let cancelled = made(&server, &format!("{path}/cancel"), json!({})).await;
    assert_eq!(
        (&cancelled["status"], &cancelled["file_counts"]["completed"]),
        (&json!("cancelled"), &json!(1))
    );
    for (body, param) in [
        (json!({}), "file_ids"),
        (json!({ "file_ids": [] }), "file_ids"),
        (json!({ "file_ids": [good], "files": [{ "file_id": good }] }), "file_ids"),
        (json!({ "file_ids": "x" }), "file_ids"),
    ] {
        let refused = server.post(&batches, &body).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["param"]),
            (400, &json!(param)),
            "{body}"
        );
    }
    let none = json!({ "file_ids": ["file-none"] });
    assert_eq!(server.post(&batches, &none).await.status, 404);
}

#[tokio::test]
async fn wrong_requests_are_refused_with_their_place() {
    let (server, _folder) = server().await;
    let id = store(&server, json!({})).await;
    let sizes = |most: i64, overlap: i64| json!({ "type": "static", "static": { "max_chunk_size_tokens": most, "chunk_overlap_tokens": overlap } });
    for (body, param) in [
        (json!({ "metadata": { "k": "v".repeat(513) } }), "metadata.k"),
        (json!({ "metadata": { "k": [1] } }), "metadata.k"),
        (
            json!({ "expires_after": { "anchor": "last_active_at", "days": 366 } }),
            "expires_after.days",
        ),
        (
            json!({ "chunking_strategy": sizes(99, 0) }),
            "chunking_strategy.static.static.max_chunk_size_tokens",
        ),
        (json!({ "chunking_strategy": sizes(100, 51) }), "chunking_strategy"),
        (json!({ "provider_id": "none" }), "provider_id"),
        (json!({ "name": 7 }), "name"),
    ] {
        let refused = server.post("/v1/vector_stores", &body).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["param"]),
            (400, &json!(param)),
            "{body}"
        );
    }
    let unknown = json!({ "embedding_model": "none" });
    assert_eq!(server.post("/v1/vector_stores", &unknown).await.status, 404);
    let search = format!("/v1/vector_stores/{id}/search");
    for (body, param) in [
        (json!({}), "query"),
        (json!({ "query": " " }), "query"),
        (json!({ "query": [] }), "query"),
        (json!({ "query": "x", "max_num_results": 51 }), "max_num_results"),
        (
            json!({ "query": "x", "ranking_options": { "score_threshold": 2 } }),
            "ranking_options.score_threshold",
        ),
        (
            json!({ "query": "x", "ranking_options": { "ranker": "best" } }),
            "ranking_options.ranker",
        ),
        (json!({ "query": "x", "rewrite_query": true }), "rewrite_query"),
    ] {
        let refused = server.post(&search, &body).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["param"]),
            (400, &json!(param)),
            "{body}"
        );
    }
    let hybrid = server.post(&search, &json!({ "query": "x", "search_mode": "hybrid" })).await;
    assert_eq!(hybrid.status, 501, "{}", hybrid.text);
    for wrong in ["after=vs_none", "limit=101", "order=up", "after=a&before=b"] {
        assert_eq!(server.get(&format!("/v1/vector_stores?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn lists_are_paged_in_both_directions() {
    let (server, _folder) = server().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(store(&server, json!({ "name": number.to_string() })).await);
    }
    let page = async |query: String| {
        let list = server.get(&format!("/v1/vector_stores?{query}")).await.json();
        let ids = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|store| store["id"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>(), list["has_more"] == true)
    };
    let of = |places: &[usize]| places.iter().map(|place| ids[*place].clone()).collect::<Vec<_>>();
    assert_eq!(page("limit=2".to_owned()).await, (of(&[4, 3]), true));
    assert_eq!(page(format!("limit=9&after={}", ids[3])).await, (of(&[2, 1, 0]), false));
    assert_eq!(page(format!("limit=1&before={}", ids[2])).await, (of(&[3]), true));
    assert_eq!(page("order=asc&limit=1".to_owned()).await, (of(&[0]), true));
}

#[tokio::test]
async fn vector_stores_of_one_caller_are_not_there_for_another() {
    let service = FakeUpstream::start(|seen| {
        let key = seen.json()["api_key"].as_str().unwrap().to_owned();
        Told::json(json!({ "principal": key, "attributes": {} }))
    })
    .await;
    let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
    let auth = Some(AuthOptions::new(endpoint));
    let (server, _folder) = server_with(ServerOptions { auth, ..ServerOptions::default() }).await;
    let ask = async |who: &str, method: Method, path: &str, body: Option<Value>| {
        let mut request = server.request(method, path);
        if let Some(body) = body {
            request = request.json(body.to_string());
        }
        server.send(adorned(request, &[("authorization", &format!("Bearer {who}"))])).await
    };
    let make = async |who: &str| {
        let made = ask(who, Method::POST, "/v1/vector_stores", Some(json!({}))).await.json();
        made["id"].as_str().unwrap().to_owned()
    };
    let (hers, his) = (make("ada").await, make("bob").await);
    let of_ada = ask("ada", Method::GET, "/v1/vector_stores", None).await.json();
    assert_eq!((of_ada["data"].as_array().unwrap().len(), &of_ada["first_id"]), (1, &json!(hers)));
    let path = format!("/v1/vector_stores/{hers}");
    for (method, path, body) in [
        (Method::GET, path.clone(), None),
        (Method::DELETE, path.clone(), None),
        (Method::POST, path.clone(), Some(json!({ "name": "mine" }))),
        (Method::POST, format!("{path}/search"), Some(json!({ "query": "x" }))),
        (Method::GET, format!("{path}/files"), None),
        (Method::POST, format!("{path}/files"), Some(json!({ "file_id": "file-x" }))),
        (Method::POST, format!("{path}/file_batches"), Some(json!({ "file_ids": ["file-x"] }))),
    ] {
        let answer = ask("bob", method, &path, body).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
    }
    let after = format!("/v1/vector_stores?after={hers}");
    assert_eq!(ask("bob", Method::GET, &after, None).await.status, 400);
    // The routes that do not ask whose a database is do not know of it.
    let query = json!({ "vector_db_id": hers, "query": "x" });
    assert_eq!(ask("bob", Method::POST, "/v1/vector-io/query", Some(query)).await.status, 400);
    let listed = ask("ada", Method::GET, "/v1/vector-dbs", None).await.json();
    assert_eq!(listed["data"], json!([]));
    assert_eq!(
        ask("bob", Method::GET, &format!("/v1/vector_stores/{his}"), None).await.status,
        200
    );
}
