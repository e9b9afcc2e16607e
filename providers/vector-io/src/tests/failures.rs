//! What stores say when the database misbehaves.

use super::{
    contract::{all, by_id, database, named},
    databases::{self, Database},
    subjects::{deps_with, store, store_on},
};
use chaski_api::{Error, ErrorKind};
use chaski_provider::{Context, ProviderData, VectorQuery};
use chaski_testkit::{Act, RawUpstream, within};
use chaski_upstream::HostPort;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

/// The stores that speak HTTP, with the setting that has the address, and what messages call them.
const OVER_HTTP: &[(&str, &str, &str)] = &[
    ("remote::chromadb", "url", "Chroma"),
    ("remote::qdrant", "url", "Qdrant"),
    ("remote::weaviate", "url", "Weaviate"),
    ("remote::milvus", "uri", "Milvus"),
];

/// What a question to a store answers.
async fn asked(provider_type: &str, settings: Value) -> Error {
    let store = store(provider_type, settings).await;
    let cx =
        Context { deadline: Some(Instant::now() + Duration::from_secs(1)), ..Context::default() };
    let query = VectorQuery::nearest(vec![1.0, 0.0, 0.0], 3);
    let outcome = store.query(&cx, &named("docs", 3), &query).await;
    outcome.expect_err("the database misbehaves")
}

#[tokio::test]
async fn servers_of_another_kind_and_broken_ones_are_named() {
    let answer = |status: &str, body: &str| {
        let length = body.len();
        Act::text(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"))
    };
    let cases = [
        ("a reset", vec![Act::Reset]),
        ("an end", vec![Act::Close]),
        (
            "half an answer",
            vec![Act::text("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), Act::Reset],
        ),
        ("no JSON", vec![answer("200 OK", "not JSON")]),
        ("other JSON", vec![answer("200 OK", "[1, {\"a\": null}]")]),
        ("a failure", vec![answer("500 Internal Server Error", "")]),
        ("silence", vec![Act::Hold]),
    ];
    for (provider_type, setting, name) in OVER_HTTP {
        for (case, acts) in &cases {
            let server = RawUpstream::doing(acts.clone()).await;
            let error = asked(provider_type, json!({ *setting: server.url() })).await;
            let said = &error.message;
            assert!(said.contains(name), "{name}, {case}: {said}");
            assert!(!said.contains("127.0.0.1"), "{name}, {case}: {said}");
            let ours = matches!(error.kind, ErrorKind::Internal);
            assert!(!ours, "{name}, {case}: {}", error.chain());
        }
    }
}

#[tokio::test]
async fn what_is_no_postgresql_is_not_taken_for_it() {
    let cases: [(&str, Option<&'static [u8]>); 4] = [
        ("an end", Some(b"")),
        ("another protocol", Some(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("half an answer", Some(b"R\0\0\0")),
        ("silence", None),
    ];
    for (case, answer) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let serving = tokio::spawn(async move {
            let mut held: Vec<TcpStream> = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                match answer {
                    // The client may have gone already.
                    Some(bytes) => drop(stream.write_all(bytes).await),
                    None => held.push(stream),
                }
            }
        });
        let error = asked("remote::pgvector", json!({ "host": "127.0.0.1", "port": port })).await;
        assert!(matches!(error.kind, ErrorKind::Unavailable { .. }), "{case}: {error:?}");
        assert!(
            error.message.contains("cannot connect to PostgreSQL"),
            "{case}: {}",
            error.message
        );
        assert!(error.message.contains("`port`"), "{case}: {}", error.message);
        serving.abort();
    }
}

/// Goes through a restart in the middle of work.
async fn restarted(provider_type: &str, settings: Value, mut server: Database) {
    let store = store(provider_type, settings).await;
    let db = database(&store).await;
    server.stop().await;
    let query = VectorQuery::nearest(vec![1.0, 0.0, 0.0], 3);
    let error = store.query(&Context::default(), &db, &query).await.expect_err("nobody is there");
    assert!(matches!(error.kind, ErrorKind::Unavailable { .. }), "{}", error.chain());
    server.start_again().await;
    within("the database to answer", async {
        while store.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(all(&store, &db).await, ["a", "b", "c"]);
    let found = store.query(&Context::default(), &db, &query).await.expect("a query");
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn a_restart_of_chroma_is_not_noticed() {
    let Some(server) = databases::chroma().await else { return };
    let url = format!("http://127.0.0.1:{}", server.port);
    restarted("remote::chromadb", json!({ "url": url }), server).await;
}

#[tokio::test]
async fn a_restart_of_milvus_is_not_noticed() {
    let Some(server) = databases::milvus().await else { return };
    let uri = format!("http://127.0.0.1:{}", server.port);
    restarted("remote::milvus", json!({ "uri": uri }), server).await;
}

#[tokio::test]
async fn callers_name_their_server_of_weaviate_where_none_is_configured() {
    let server = super::fake_weaviate::start().await;
    let own = HostPort { host: "127.0.0.1".to_owned(), port: server.address().port() };
    let deps = deps_with(|options| options.egress_allow = vec![own]);
    let store = store_on("remote::weaviate", json!({}), deps).await;
    store.check().await.expect("there is nothing to reach yet");
    let db = store.on_register(named("docs", 3)).await.expect("the first request makes it");
    let query = VectorQuery::nearest(vec![1.0, 0.0, 0.0], 3);
    let by = |url: &str| Context {
        provider_data: ProviderData::new(
            [("weaviate_cluster_url", url), ("weaviate_api_key", "a key of theirs")]
                .map(|(key, value)| (key.to_owned(), value.into()))
                .into_iter()
                .collect(),
        ),
        ..Context::default()
    };
    let error = store.query(&Context::default(), &db, &query).await.expect_err("no server");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("`weaviate_cluster_url`"), "{}", error.message);
    let error = store.query(&by("http://127.0.0.1:9"), &db, &query).await.expect_err("private");
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{}", error.message);
    let theirs = by(&server.url());
    store.insert(&theirs, &db, vec![by_id("a", "text")]).await.expect("an insert");
    let found = store.query(&theirs, &db, &query).await.expect("a query");
    assert_eq!(found[0].chunk.id, "a");
    let keys = server
        .requests()
        .iter()
        .all(|seen| seen.header("authorization") == "Bearer a key of theirs");
    assert!(keys, "every request has the caller's key");
}
