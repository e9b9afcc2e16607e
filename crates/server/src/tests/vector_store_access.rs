//! Requests about vector stores that are refused: wrong ones, odd ones, and those of other callers.

use super::{
    harness::{Answer, Running, adorned},
    vector_stores::{made, server, server_with, store, with_text},
};
use crate::{AuthOptions, ServerOptions};
use chaski_testkit::{Answer as Told, FakeUpstream};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

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
        // There is nothing to rank, and no model for it.
        (
            json!({ "query": "x", "ranking_options": { "ranker": "neural" } }),
            "ranking_options.model",
        ),
        (
            json!({ "query": "x", "filters": { "type": "gt", "key": "a", "value": true } }),
            "filters.value",
        ),
    ] {
        let refused = server.post(&search, &body).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["param"]),
            (400, &json!(param)),
            "{body}"
        );
    }
    for ranker in ["neural", "auto"] {
        let named = json!({ "query": "x", "ranking_options": { "ranker": ranker, "model": "no" } });
        let refused = server.post(&search, &named).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]["param"]),
            (404, &json!("ranking_options.model")),
            "{}",
            refused.text
        );
    }
    let hybrid = server.post(&search, &json!({ "query": "x", "search_mode": "hybrid" })).await;
    assert_eq!(hybrid.status, 501, "{}", hybrid.text);
    for wrong in ["after=vs_none", "limit=101", "order=up", "after=a&before=b"] {
        assert_eq!(server.get(&format!("/v1/vector_stores?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_odd_ids_lead_nowhere() {
    let (server, _folder) = server().await;
    let (id, file) = with_text(&server, "a cab", json!({})).await;
    for odd in [
        "none",
        "..%2F..%2Fdata.db",
        "a%2Fb",
        "%27",
        "%25",
        "*",
        "%00",
        "%3F",
        "%23",
        "x%2F%2Fhost",
    ] {
        let stores = format!("/v1/vector_stores/{odd}");
        let files = format!("/v1/vector_stores/{id}/files/{odd}");
        let batches = format!("/v1/vector_stores/{id}/file_batches/{odd}");
        for (method, path, body) in [
            (Method::GET, stores.clone(), None),
            (Method::DELETE, stores.clone(), None),
            (Method::POST, stores.clone(), Some(json!({}))),
            (Method::POST, format!("{stores}/search"), Some(json!({ "query": "x" }))),
            (Method::GET, format!("{stores}/files"), None),
            (Method::POST, format!("{stores}/files"), Some(json!({ "file_id": file }))),
            (Method::POST, format!("{stores}/file_batches"), Some(json!({ "file_ids": [file] }))),
            (Method::GET, files.clone(), None),
            (Method::GET, format!("{files}/content"), None),
            (Method::DELETE, files.clone(), None),
            (Method::POST, files.clone(), Some(json!({ "attributes": {} }))),
            (Method::GET, batches.clone(), None),
            (Method::GET, format!("{batches}/files"), None),
            (Method::POST, format!("{batches}/cancel"), Some(json!({}))),
        ] {
            let mut request = server.request(method.clone(), &path);
            if let Some(body) = body {
                request = request.json(body.to_string());
            }
            let answer = server.send(request).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        }
        let body = json!({ "file_id": odd });
        let files = format!("/v1/vector_stores/{id}/files");
        assert_eq!(server.post(&files, &body).await.status, 404, "{odd}");
    }
    let files = format!("/v1/vector_stores/{id}/files");
    let message = server.get(&format!("{files}?after=file-none")).await.text;
    assert!(message.contains("there is no `file-none` in this list"), "{message}");
    for wrong in ["after=file-none", "before=%27", "limit=0", "filter=read", "order=up"] {
        assert_eq!(server.get(&format!("{files}?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn requests_set_nothing_but_their_fields() {
    let (server, _folder) = server().await;
    let body = json!({
        "name": "n", "id": "vs_mine", "created_at": 1, "owner": "root", "tenant": "t",
        "status": "expired", "emptied": true, "db_path": "/etc/x", "kvstore": { "type": "redis" },
        "url": "http://127.0.0.1:1/", "vector_db": { "identifier": "other" },
        "vector_db_id": "other", "api_key": "k", "config": { "path": "/" },
    });
    let made = made(&server, "/v1/vector_stores", body).await;
    let id = made["id"].as_str().unwrap();
    assert!(id.len() > 20 && made["created_at"].as_i64().unwrap() > 1, "{made}");
    assert_eq!((&made["name"], &made["status"]), (&json!("n"), &json!("completed")));
    assert_eq!((&made["provider_id"], &made["embedding_model"]), (&json!("first"), &json!("e")));
    for name in ["owner", "tenant", "emptied", "db_path", "kvstore", "url", "vector_db", "api_key"]
    {
        assert_eq!(made.get(name), None, "{made}");
    }
    assert_eq!(server.get("/v1/vector_stores/vs_mine").await.status, 404);
    for name in ["../../x", "a\u{0}b", "é🏃", &*"n".repeat(5000)] {
        let named = server.post("/v1/vector_stores", &json!({ "name": name })).await;
        assert_eq!((named.status, &named.json()["name"]), (200, &json!(name)));
    }
}

/// A server that knows its callers by their keys.
struct Callers {
    server: Running,
    _folder: TempDir,
    _service: FakeUpstream,
}

impl Callers {
    async fn meet() -> Self {
        let service = FakeUpstream::start(|seen| {
            let key = seen.json()["api_key"].as_str().unwrap().to_owned();
            Told::json(json!({ "principal": key, "attributes": {} }))
        })
        .await;
        let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
        let auth = Some(AuthOptions::new(endpoint));
        let options = ServerOptions { auth, ..ServerOptions::default() };
        let (server, folder) = server_with(options, json!([])).await;
        Self { server, _folder: folder, _service: service }
    }

    async fn ask(&self, who: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.server.request(method, path);
        if let Some(body) = body {
            request = request.json(body.to_string());
        }
        let bearer = format!("Bearer {who}");
        self.server.send(adorned(request, &[("authorization", &bearer)])).await
    }

    /// The id of a new vector store.
    async fn store(&self, who: &str) -> String {
        let made = self.ask(who, Method::POST, "/v1/vector_stores", Some(json!({}))).await;
        made.json()["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn no_vector_database_leads_to_a_vector_store_or_into_a_session() {
    let callers = Callers::meet().await;
    let hers = callers.store("ada").await;
    let register = async |id: &str, own: Option<&str>| {
        let body = json!({
            "vector_db_id": id, "provider_vector_db_id": own, "embedding_model": "e",
        });
        callers.ask("bob", Method::POST, "/v1/vector-dbs", Some(body)).await
    };
    let capitals = hers.to_uppercase();
    let (hers, capitals) = (hers.as_str(), capitals.as_str());
    for (id, own) in [
        ("mine", Some(hers)),
        ("mine", Some(capitals)),
        (hers, None),
        (hers, Some("")),
        (capitals, None),
        (hers, Some("mine")),
        ("mine", Some("vector_db_1b671a64")),
        ("mine", Some("Vector_DB_1b671a64")),
    ] {
        let refused = register(id, own).await;
        assert_eq!(refused.status, 400, "{id} {own:?}: {}", refused.text);
        assert!(refused.text.contains("give another id"), "{}", refused.text);
    }
    for (path, more) in [
        ("/v1/vector-io/query", json!({ "query": "x" })),
        (
            "/v1/vector-io/insert",
            json!({ "chunks": [
            { "content": "poison", "metadata": { "document_id": "d" } },
        ] }),
        ),
    ] {
        for id in [hers, "mine"] {
            let mut body = more.clone();
            body["vector_db_id"] = json!(id);
            let refused = callers.ask("bob", Method::POST, path, Some(body)).await;
            assert_eq!(refused.status, 400, "{path} {id}: {}", refused.text);
        }
    }
    let gone = callers.ask("bob", Method::DELETE, &format!("/v1/vector-dbs/{hers}"), None).await;
    assert_eq!(gone.status, 400, "{}", gone.text);
    assert_eq!(register("mine", Some("versus")).await.status, 200);
    assert_eq!(register("vector_db_docs", None).await.status, 200);
}

#[tokio::test]
async fn vector_stores_of_one_caller_are_not_there_for_another() {
    let callers = Callers::meet().await;
    let ask = async |who: &str, method: Method, path: &str, body: Option<Value>| {
        callers.ask(who, method, path, body).await
    };
    let (hers, his) = (callers.store("ada").await, callers.store("bob").await);
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
