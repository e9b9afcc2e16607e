//! What every vector store promises.

mod chunks;
mod databases;
mod searches;

use chaski_api::{
    Wire,
    retrieval::{Filter, SearchMode, VectorDb, VectorDbTag},
};
use chaski_provider::{
    Context, EmbeddedChunk, ScoredChunk, StoredChunk, VectorIoProvider, VectorQuery,
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A store that is checked.
pub(crate) type Store = Arc<dyn VectorIoProvider>;

type Promise = fn(Store) -> BoxFuture<'static, ()>;

/// The promises, and how each is checked.
const PROMISES: &[(&str, Promise)] = &[
    ("a database can be registered again", |store| databases::again(store).boxed()),
    ("the length of vectors does not change", |store| databases::other_length(store).boxed()),
    ("a database that is dropped is empty", |store| databases::dropped(store).boxed()),
    ("every name is a name of its own", |store| databases::names(store).boxed()),
    ("the nearest come first", |store| searches::nearest_first(store).boxed()),
    ("chunks come back as they were", |store| chunks::whole(store).boxed()),
    ("an insert replaces what has its id", |store| chunks::replaced(store).boxed()),
    ("many chunks go in at once", |store| chunks::many(store).boxed()),
    ("filters say what they say", |store| searches::filtered(store).boxed()),
    ("what is asked for is data", |store| searches::hostile(store).boxed()),
    ("words are found", |store| searches::words(store).boxed()),
    ("both together find both", |store| searches::hybrid(store).boxed()),
    ("chunks are removed", |store| chunks::removed(store).boxed()),
    ("chunks expire", |store| chunks::expired(store).boxed()),
    ("all chunks are listed", |store| chunks::listed(store).boxed()),
];

/// The promises that the store breaks, each with the way in which it does.
pub(crate) async fn broken_promises(name: &str, store: &Store) -> Vec<String> {
    let mut broken = Vec::new();
    for (promise, check) in PROMISES {
        if let Err(panic) = AssertUnwindSafe(check(Arc::clone(store))).catch_unwind().await {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            broken.push(format!("{name}: {promise}: {said}"));
        }
    }
    broken
}

fn cx() -> Context {
    Context { request_id: "request-1".into(), ..Context::default() }
}

pub(crate) fn named(id: &str, length: i64) -> VectorDb {
    VectorDb {
        identifier: id.to_owned(),
        provider_resource_id: id.to_owned(),
        provider_id: "store".to_owned(),
        tag: VectorDbTag::VectorDb,
        embedding_model: "embedder".to_owned(),
        embedding_dimension: length,
    }
}

/// A name that no other test has.
fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("db-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new database for vectors of three numbers.
async fn fresh(store: &Store) -> VectorDb {
    registered(store).await.expect("a database is made")
}

/// The same where it may fail.
pub(crate) async fn registered(store: &Store) -> Result<VectorDb, chaski_api::Error> {
    store.on_register(named(&fresh_name(), 3)).await
}

/// A chunk without metadata.
pub(crate) fn by_id(id: &str, text: &str) -> EmbeddedChunk {
    chunk(id, text, json!({}), [1.0, 0.0, 0.0])
}

fn chunk(id: &str, text: &str, metadata: Value, vector: [f32; 3]) -> EmbeddedChunk {
    let Value::Object(metadata) = metadata else { panic!("metadata is an object") };
    let content = text.to_owned().into();
    let chunk = StoredChunk { id: id.to_owned(), content, metadata, expires_at: None };
    EmbeddedChunk { chunk, vector: vector.to_vec() }
}

fn filter(value: Value) -> Filter {
    Filter::from_json(value).expect("a filter")
}

fn nearest(vector: [f32; 3], max: usize) -> VectorQuery {
    VectorQuery::nearest(vector.to_vec(), max)
}

pub(crate) fn by_words(text: &str, max: usize) -> VectorQuery {
    VectorQuery { mode: SearchMode::Keyword, text: text.to_owned(), ..nearest([0.0; 3], max) }
}

fn ids(found: &[ScoredChunk]) -> Vec<&str> {
    found.iter().map(|found| found.chunk.id.as_str()).collect()
}

/// A database with three chunks, `a`, `b` and `c`.
pub(crate) async fn database(store: &Store) -> VectorDb {
    let db = fresh(store).await;
    store.insert(&cx(), &db, three()).await.expect("an insert");
    db
}

/// All ids in the database, sorted.
pub(crate) async fn all(store: &Store, db: &VectorDb) -> Vec<String> {
    let page = store.list(&cx(), db, None, None, 1000).await.expect("chunks are listed");
    assert_eq!(page.next, None, "more than a thousand chunks");
    let mut ids: Vec<String> = page.chunks.into_iter().map(|one| one.chunk.id).collect();
    ids.sort_unstable();
    ids
}

/// Three chunks whose vectors are at different angles.
fn three() -> Vec<EmbeddedChunk> {
    vec![
        chunk("a", "red apple", json!({ "document_id": "one", "n": 1 }), [1.0, 0.0, 0.0]),
        chunk("b", "green pear", json!({ "document_id": "one", "n": 2 }), [0.8, 0.6, 0.0]),
        chunk("c", "blue plum", json!({ "document_id": "two", "n": 3 }), [0.0, 0.0, 2.0]),
    ]
}
