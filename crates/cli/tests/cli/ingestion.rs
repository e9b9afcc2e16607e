//! Files that are read while the server is killed: all of them arrive, and nothing of them twice.

use crate::support::{Place, Serving};
use chaski_api::{
    openai::{
        ChunkingStrategy, CreateFileBatchRequest, CreateVectorStoreRequest, FileBatchObject,
        FileBatchRequest, FilePurpose, IngestStatus, Queries, SearchVectorStoreRequest,
        StaticChunking, StaticSizes, StoreSearchMode, VectorStoreFileRequest,
    },
    wire::Between,
};
use chaski_client::{Client, ClientOptions};
use chaski_testkit::{Answer, FakeUpstream, Seen, eventually, eventually_some};
use chaski_upstream::{Http, HttpOptions};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FILES: usize = 500;
/// How often the server is killed.
const KILLS: usize = 3;
/// How many requests are under way at one time.
const AT_ONCE: usize = 4;

/// Makes a vector of each text, and has one model.
fn vectors(seen: &Seen) -> Answer {
    if seen.method == "GET" {
        return Answer::json(json!({ "object": "list", "data": [{ "id": "e" }] }));
    }
    let body = seen.json();
    let texts = body["input"].as_array().expect("texts come as a list").iter();
    let vector = |text: &Value| -> Vec<usize> {
        let text = text.as_str().expect("a text");
        (0..4).map(|part| text.bytes().skip(part).step_by(4).map(usize::from).sum()).collect()
    };
    let data: Vec<Value> = texts
        .enumerate()
        .map(|(index, text)| {
            json!({ "object": "embedding", "index": index, "embedding": vector(text) })
        })
        .collect();
    Answer::json(json!({
        "object": "list", "model": "e", "data": data,
        "usage": { "prompt_tokens": 1, "total_tokens": 1 },
    }))
}

/// The code word of a file, which stands in each of its sentences.
fn word(number: usize) -> String {
    format!("zq{number}x")
}

/// A text of several chunks.
fn text(number: usize) -> String {
    let word = word(number);
    let line = |line: usize| format!("Line {line} of {word} says something about {line}.\n");
    (0..40).map(line).collect::<Vec<_>>().concat()
}

/// A number from `from` on and below `to`, another one in each run.
fn random(from: usize, to: usize) -> usize {
    let number = RandomState::new().hash_one(0_u8);
    from + usize::try_from(number % u64::try_from(to - from).unwrap_or(1)).unwrap_or(0)
}

fn client(serving: &Serving) -> Client {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Http::new(HttpOptions::default()).expect("the options are the usual ones");
    Client::new(http, serving.url(), ClientOptions::default()).expect("the server says where it is")
}

fn start(place: &Place) -> (Serving, Client) {
    let serving = place.serve(&["run.yaml", "--disable-ipv6"]);
    let client = client(&serving);
    (serving, client)
}

/// The batch once it has ended, or has got so far.
async fn reached(client: &Client, store: &str, batch: &str, completed: i64) -> FileBatchObject {
    eventually_some(Duration::from_mins(2), "the batch to get on", async || {
        let (vector_store_id, batch_id) = (store.to_owned(), batch.to_owned());
        let request = FileBatchRequest { vector_store_id, batch_id };
        let found = client.get_file_batch(request).await.expect("the server answers");
        let ended = found.status != IngestStatus::InProgress;
        (ended || found.file_counts.completed >= completed).then_some(found)
    })
    .await
}

/// The ids of the chunks that have a word.
async fn chunks_with(client: &Client, store: &str, word: &str) -> Vec<String> {
    let request = SearchVectorStoreRequest {
        vector_store_id: store.to_owned(),
        query: Queries(vec![word.to_owned()]),
        filters: None,
        max_num_results: Between(50),
        ranking_options: None,
        rewrite_query: false,
        search_mode: Some(StoreSearchMode::Keyword),
    };
    let results = client.search_vector_store(request).await.expect("the server searches").data;
    let contents = results.into_iter().flat_map(|result| result.content);
    let id = |place: &serde_json::Map<String, Value>| place["chunk_id"].as_str().map(str::to_owned);
    contents.filter_map(|content| id(&content.metadata?)).collect()
}

/// Everything of a file is there once.
async fn is_whole(client: &Client, store: &str, number: usize, file: &str) {
    let (vector_store_id, file_id) = (store.to_owned(), file.to_owned());
    let request = VectorStoreFileRequest { vector_store_id, file_id };
    let content = client.get_vector_store_file_content(request).await.expect("it can be read");
    let pieces: Vec<String> = content.data.into_iter().map(|piece| piece.text).collect();
    assert!(pieces.len() > 3, "a file has several chunks");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&pieces.join(" ")), words(&text(number)), "file {number}");
    let found = chunks_with(client, store, &word(number)).await;
    assert_eq!(found.len(), pieces.len(), "the chunks of file {number}");
    assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len(), "file {number}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_files_survives_a_server_that_is_killed_again_and_again() {
    let upstream = FakeUpstream::start(vectors).await;
    let place = Place::new();
    place.write(
        "run.yaml",
        &format!(
            "version: '2'\nimage_name: t\nproviders:\n  inference:\n  \
             - {{provider_id: up, provider_type: 'remote::vllm', config: {{url: '{}/v1'}}}}\n  \
             vector_io:\n  - {{provider_id: index, provider_type: 'inline::faiss', config: {{kvstore: \
             {{type: sqlite, namespace: null, db_path: '{}'}}}}}}\n\
             models:\n- {{model_id: e, provider_id: up, model_type: embedding, metadata: \
             {{embedding_dimension: 4}}}}\n",
            upstream.url(),
            place.path("faiss.db").display(),
        ),
    );
    let (mut serving, mut client) = start(&place);
    let files: Vec<String> = stream::iter(0..FILES)
        .map(|number| {
            let client = &client;
            async move {
                let (name, text) = (format!("{number}.txt"), text(number));
                let file =
                    client.create_file(&name, FilePurpose::Assistants, text.as_bytes()).await;
                file.expect("the server keeps it").id
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let sizes =
        StaticSizes { max_chunk_size_tokens: Between(100), chunk_overlap_tokens: Between(0) };
    let store = CreateVectorStoreRequest {
        name: None,
        description: None,
        file_ids: None,
        chunking_strategy: Some(ChunkingStrategy::Static(StaticChunking { sizes })),
        expires_after: None,
        metadata: None,
        embedding_model: None,
        provider_id: None,
    };
    let store = client.create_vector_store(store).await.expect("the store is made").id;
    let batch = CreateFileBatchRequest {
        vector_store_id: store.clone(),
        file_ids: Some(files.clone()),
        files: None,
        attributes: None,
        chunking_strategy: None,
    };
    let batch = client.create_file_batch(batch).await.expect("the batch is made").id;

    for _ in 0..KILLS {
        // The upstream is in the middle of a file at such a number.
        let more = upstream.requests().len() + random(20, 100);
        eventually("more files to be read", || upstream.requests().len() >= more).await;
        serving.signal("KILL");
        serving.ended();
        (serving, client) = start(&place);
    }

    let all = i64::try_from(FILES).unwrap_or(i64::MAX);
    let ended = reached(&client, &store, &batch, all).await;
    let counts = ended.file_counts;
    assert_eq!((ended.status, counts.completed, counts.total), (IngestStatus::Completed, all, all));
    let checks = files.iter().enumerate();
    stream::iter(checks)
        .for_each_concurrent(AT_ONCE, |(number, file)| is_whole(&client, &store, number, file))
        .await;
}
