//! Vector stores, from outside: files in, texts out, on a store in memory.

use super::{
    files::{form, post},
    harness::{Answer, Running, start_with},
    store::chunks_in,
};
use crate::ServerOptions;
use chaski_testkit::{PATIENCE, eventually, eventually_some};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(super) async fn server_with(options: ServerOptions, models: Value) -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut more = json!({
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
    let models = models.as_array().unwrap().iter().cloned();
    more["models"].as_array_mut().unwrap().extend(models);
    (start_with(options, more).await, folder)
}

pub(super) async fn server() -> (Running, TempDir) {
    server_and(json!([])).await
}

/// With more models than the one that embeds.
async fn server_and(models: Value) -> (Running, TempDir) {
    server_with(ServerOptions::default(), models).await
}

async fn file(server: &Running, name: &str, content: &[u8]) -> String {
    let head = format!("name=\"file\"; filename=\"{name}\"");
    let body = form(&[(&head, content), ("name=\"purpose\"", b"assistants")]);
    let (status, file) = post(server, "/v1/files", &body).await;
    assert_eq!(status, 200, "{file}");
    file["id"].as_str().unwrap().to_owned()
}

pub(super) async fn made(server: &Running, path: &str, body: Value) -> Value {
    let answer = server.post(path, &body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

pub(super) async fn store(server: &Running, body: Value) -> String {
    let store = made(server, "/v1/vector_stores", body).await;
    let id = store["id"].as_str().unwrap();
    assert!(id.starts_with("vs_"), "{store}");
    id.to_owned()
}

/// What is at a path, once it is not in progress any more.
async fn settled(server: &Running, path: &str) -> Value {
    eventually_some(PATIENCE, "the end of the work", async || {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let answer = answer.json();
        (answer["status"] != "in_progress").then_some(answer)
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
    // What has ended stays as it ended.
    let cancelled = made(&server, &format!("{path}/cancel"), json!({})).await;
    assert_eq!(
        (&cancelled["status"], &cancelled["file_counts"]["completed"]),
        (&json!("completed"), &json!(1))
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
async fn a_batch_keeps_its_files_when_they_are_read_anew() {
    let (server, _folder) = server().await;
    let id = store(&server, json!({})).await;
    let batches = format!("/v1/vector_stores/{id}/file_batches");
    let good = file(&server, "good.txt", b"bread and butter").await;
    let empty = file(&server, "empty.txt", b"").await;
    let begun = async |files: &[&String]| {
        let batch = made(&server, &batches, json!({ "file_ids": files })).await;
        format!("{batches}/{}", batch["id"].as_str().unwrap())
    };
    let first = begun(&[&good, &empty]).await;
    let ended = settled(&server, &first).await;
    let second = begun(&[&good]).await;
    // While the file is read again, and afterwards.
    assert_eq!(server.get(&first).await.json(), ended);
    let counts = &settled(&server, &second).await["file_counts"];
    assert_eq!((&counts["completed"], &counts["total"]), (&json!(1), &json!(1)));
    // A file that failed is tried again alone.
    let files = format!("/v1/vector_stores/{id}/files");
    made(&server, &files, json!({ "file_id": empty })).await;
    assert_eq!(settled(&server, &format!("{files}/{empty}")).await["status"], "failed");
    assert_eq!(server.get(&first).await.json(), ended);
    assert_eq!(ended["file_counts"]["total"], 2);
    // The list of the vector store has each once, and pages go on behind every file.
    let page = async |query: String| {
        let list = server.get(&query).await.json();
        let files = list["data"].as_array().unwrap().iter();
        files.map(|file| file["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(page(format!("{files}?limit=9")).await.len(), 2);
    let all = page(format!("{first}/files")).await;
    assert_eq!(page(format!("{first}/files?limit=1&after={}", all[0])).await, all[1..]);
    assert_eq!(page(format!("{first}/files?filter=failed")).await, [empty]);
    assert_eq!(found(&server, &id, "bread", Value::Null).await, ["good.txt"]);
    // What is taken out of the vector store is in no batch.
    assert_eq!(delete(&server, &format!("{files}/{good}")).await.status, 200);
    assert_eq!(server.get(&first).await.json()["file_counts"]["total"], 1);
    assert_eq!(server.get(&second).await.json()["file_counts"]["total"], 0);
}

#[tokio::test]
async fn a_batch_hears_how_reading_ended_that_another_one_took_over() {
    let (server, _folder) = server().await;
    let id = store(&server, json!({})).await;
    let batches = format!("/v1/vector_stores/{id}/file_batches");
    // The vector of this text is one without a direction: reading it is tried again and again.
    let odd = file(&server, "odd.txt", b"xyz").await;
    let mut paths = Vec::new();
    for _ in 0..3 {
        let batch = made(&server, &batches, json!({ "file_ids": [odd] })).await;
        paths.push(format!("{batches}/{}", batch["id"].as_str().unwrap()));
    }
    for path in &paths {
        assert_eq!(server.get(path).await.json()["file_counts"]["in_progress"], 1, "{path}");
    }
    // Giving up an earlier one is no matter of the last one.
    made(&server, &format!("{}/cancel", paths[0]), json!({})).await;
    assert_eq!(server.get(&paths[2]).await.json()["status"], "in_progress");
    made(&server, &format!("{}/cancel", paths[2]), json!({})).await;
    for path in &paths {
        let batch = server.get(path).await.json();
        let counts = &batch["file_counts"];
        assert_eq!((&counts["cancelled"], &counts["total"]), (&json!(1), &json!(1)), "{batch}");
    }
}

/// What a search with these fields answers.
async fn search(server: &Running, store: &str, body: Value) -> Value {
    made(server, &format!("/v1/vector_stores/{store}/search"), body).await
}

/// A vector store with this text in it, read.
pub(super) async fn with_text(server: &Running, text: &str, body: Value) -> (String, String) {
    let file = file(server, "a.txt", text.as_bytes()).await;
    let id = store(server, body).await;
    let files = format!("/v1/vector_stores/{id}/files");
    made(server, &files, json!({ "file_id": file })).await;
    let read = settled(server, &format!("{files}/{file}")).await;
    assert_eq!(read["status"], "completed", "{read}");
    (id, file)
}

#[tokio::test]
async fn results_are_ordered_and_limited_as_asked() {
    let (server, _folder) = server().await;
    let (id, _) = with_text(&server, "a cab came back", json!({})).await;
    for (threshold, count) in [(0.0, 1), (0.5, 1), (0.7, 0), (1.0, 0)] {
        // By words the score is 1.5 of no end, which is 0.6 of 1.
        let options = json!({ "ranker": "none", "score_threshold": threshold });
        let body = json!({ "query": "cab", "search_mode": "keyword", "ranking_options": options });
        let results = search(&server, &id, body).await;
        assert_eq!(results["data"].as_array().unwrap().len(), count, "{threshold}");
        if count > 0 {
            assert_eq!(results["data"][0]["score"], 0.6);
        }
    }
    let neural = json!({ "query": "cab", "ranking_options": { "ranker": "neural" } });
    let refused = server.post(&format!("/v1/vector_stores/{id}/search"), &neural).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert_eq!(refused.json()["error"]["param"], "ranking_options.model");
    let named = json!({
        "query": "cab", "ranking_options": { "ranker": "neural", "model": "none" },
    });
    let refused = server.post(&format!("/v1/vector_stores/{id}/search"), &named).await;
    assert_eq!(refused.status, 404, "{}", refused.text);
}

#[tokio::test]
async fn a_large_file_that_is_being_read_does_not_hide_the_others() {
    let (server, _folder) = server().await;
    let (id, small) = with_text(&server, "a cab", json!({})).await;
    let files = format!("/v1/vector_stores/{id}/files");
    // The vector of its end has no direction. That may pass, so the file stays in progress.
    let paragraphs = (0..400).map(|number| format!("{} {number}\n\n", "a cab ".repeat(60)));
    let text = paragraphs.collect::<String>() + &"xyz ".repeat(2000);
    let large = file(&server, "large.txt", text.as_bytes()).await;
    made(&server, &files, json!({ "file_id": large })).await;
    eventually("many chunks of it", || chunks_in(&id) > 100).await;
    let body = json!({ "query": "cab", "search_mode": "keyword", "max_num_results": 1 });
    let results = search(&server, &id, body).await;
    assert_eq!(results["data"][0]["file_id"], json!(small), "{results}");
    let row = server.get(&format!("{files}/{large}")).await.json();
    assert_eq!(row["status"], "in_progress", "{row}");
}

#[tokio::test]
async fn a_chat_model_writes_queries_and_contexts() {
    let (server, _folder) = server_and(json!([{ "model_id": "m", "provider_id": "told" }])).await;
    let text = "a cab came back";
    let contextual = json!({
        "type": "contextual",
        "contextual": { "context_prompt": "say it is about: {{CHUNK_CONTENT}}" },
    });
    let (id, file) = with_text(&server, text, json!({ "chunking_strategy": contextual })).await;
    let found = |query: &str| json!({ "query": query, "search_mode": "keyword" });
    let results = search(&server, &id, found("it is about")).await;
    let content = &results["data"][0]["content"][0];
    assert_eq!(content["text"], format!("it is about: {text}\n\n{text}"));
    assert_eq!(
        (&content["metadata"]["start_byte"], &content["metadata"]["end_byte"]),
        (&json!(0), &json!(text.len()))
    );
    // What the model said is not in the file.
    let path = format!("/v1/vector_stores/{id}/files/{file}");
    let whole = server.get(&format!("{path}/content")).await.json();
    assert_eq!(whole["data"][0]["text"], text);
    assert_eq!(server.get(&path).await.json()["chunking_strategy"]["type"], "contextual");

    let rewritten = json!({ "query": "where is the cab", "rewrite_query": true });
    let query = &search(&server, &id, rewritten).await["search_query"];
    let said = query[0].as_str().unwrap();
    assert!(said.starts_with("the following question"), "what the model was asked: {said}");
    let plain = search(&server, &id, json!({ "query": ["a", "b"] })).await;
    assert_eq!(plain["search_query"], json!(["a", "b"]));
}

#[tokio::test]
async fn a_file_that_no_model_can_take_says_why() {
    let (server, _folder) = server().await;
    let id = store(&server, json!({})).await;
    let files = format!("/v1/vector_stores/{id}/files");
    // The vector of this text is one without a direction.
    let odd = file(&server, "odd.txt", b"xyz").await;
    made(&server, &files, json!({ "file_id": odd, "attributes": { "k": 1 } })).await;
    // An upstream may do better the next time; this one is waited for.
    let row = server.get(&format!("{files}/{odd}")).await.json();
    assert_eq!((&row["status"], &row["attributes"]), (&json!("in_progress"), &json!({ "k": 1 })));
    let unread = server.get(&format!("{files}/{odd}/content")).await;
    assert_eq!(unread.status, 400, "{}", unread.text);
    assert!(unread.text.contains("`in_progress`, not `completed`"), "{}", unread.text);
    // Who gives it up does not wait.
    let batches = format!("/v1/vector_stores/{id}/file_batches");
    let batch = made(&server, &batches, json!({ "files": [{ "file_id": odd }] })).await;
    let path = format!("{batches}/{}", batch["id"].as_str().unwrap());
    let cancelled = made(&server, &format!("{path}/cancel"), json!({})).await;
    assert_eq!(
        (&cancelled["status"], &cancelled["file_counts"]["cancelled"]),
        (&json!("cancelled"), &json!(1))
    );
    let row = server.get(&format!("{files}/{odd}")).await.json();
    assert_eq!((&row["status"], &row["last_error"]), (&json!("cancelled"), &Value::Null));
    // It may be tried again.
    let again = made(&server, &files, json!({ "file_id": odd })).await;
    assert_eq!(again["status"], "in_progress");
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
