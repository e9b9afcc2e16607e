//! Vector stores on a real index: they expire, and workers come late.

use super::{
    VectorStores, chunks,
    ingest::{FORGET, Ingest},
    records::{StoredStore, StoredStoreFile, key},
};
use crate::{
    Catalog, Data, Stack, StackOptions,
    config::RunConfig,
    data::now,
    files::NewFile,
    jobs::{Job, Task, Work},
    testing,
};
use async_trait::async_trait;
use chaski_api::{
    Api, ErrorKind, Result, Wire,
    endpoints::vector_dbs::RegisterVectorDbRequest,
    models::Model,
    openai::{
        CreateVectorStoreFileRequest, CreateVectorStoreRequest, EmbeddingList, EmbeddingRequest,
        FilePurpose, IngestStatus, SearchVectorStoreRequest, StoreStatus, UpdateVectorStoreRequest,
    },
};
use chaski_documents::{Chunking, Document, Limits, chunk};
use chaski_provider::{
    ChunkToInsert, Context, Deps, EmbeddingReply, Entry, Hosts, Inference, InferenceProvider,
    Lifecycle, Payload, Provider, ProviderConfig, SESSION_VECTOR_DB, Spec, StoredChunk,
    TokenCounter,
};
use chaski_store::{Batch, Condition, Database, Memory, Owner, Scope};
use chaski_testkit::{PATIENCE, eventually_some};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tempfile::TempDir;

/// Makes the same vector of every text, whose letters are its tokens.
struct Same;

chaski_api::wire! {
    /// No settings.
    pub struct SameConfig {}
}

impl ProviderConfig for SameConfig {
    fn sample(_: &str) -> Value {
        json!({})
    }
}

impl Provider for Same {
    type Api = dyn InferenceProvider;
    type Config = SameConfig;
    const SPEC: Spec = Spec::new(Api::Inference, "remote::vllm", "Makes one vector.");

    async fn build(_: SameConfig, _: Deps) -> Result<Arc<dyn InferenceProvider>> {
        Ok(Arc::new(Self))
    }
}

#[async_trait]
impl Inference for Same {
    async fn embeddings(&self, _: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        let body: Value = request.body.into();
        let count = body["input"].as_array().map_or(1, Vec::len);
        let vector = |index| json!({ "object": "embedding", "index": index, "embedding": [1, 2] });
        let list = json!({ "object": "list", "data": (0..count).map(vector).collect::<Vec<_>>() });
        Ok(Payload::Value(EmbeddingList::from_json(list).unwrap()))
    }

    async fn token_counter(&self, _: &Context, _: &str) -> Result<Option<TokenCounter>> {
        Ok(Some(TokenCounter::new(str::len)))
    }
}

#[async_trait]
impl Hosts<Model> for Same {}

#[async_trait]
impl Lifecycle for Same {}

const SAME: &[Entry<dyn InferenceProvider>] = &[Entry::of::<Same>()];

/// A stack with a vector store, and a file that was read into it.
struct Read {
    stack: Arc<Stack>,
    _folder: TempDir,
    store: String,
    file: String,
}

fn me() -> Context {
    Context::default()
}

async fn read() -> Read {
    read_text(b"A text.").await
}

async fn read_text(text: &[u8]) -> Read {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "version": "2", "image_name": "t",
        "providers": {
            "inference": [{ "provider_id": "same", "provider_type": "remote::vllm", "config": {} }],
            "vector_io": [{ "provider_id": "index", "provider_type": "inline::index",
                            "config": { "path": folder.path().join("index") } }],
        },
        "models": [{ "model_id": "e", "provider_id": "same", "model_type": "embedding",
                     "metadata": { "embedding_dimension": 2 } }],
    });
    let stack = Stack::start(StackOptions {
        config: RunConfig::from_json(config).unwrap(),
        raw: Value::Null,
        catalog: Catalog {
            inference: SAME,
            vector_io: chaski_providers_vector_io::ALL,
            ..Catalog::default()
        },
        deps: testing::deps(),
        store: Arc::new(Memory::default()),
        data: Data::in_memory(&folder.path().join("files")).unwrap(),
    })
    .await
    .unwrap();
    let mut incoming = stack.files.incoming().await.unwrap();
    incoming.write(text).await.unwrap();
    let new = NewFile {
        filename: "a.txt".to_owned(),
        purpose: FilePurpose::Assistants,
        expires_after: None,
    };
    let file = stack.files.create(&me(), incoming, new).await.unwrap().id;
    let expires = json!({ "expires_after": { "anchor": "last_active_at", "days": 1 } });
    let request = CreateVectorStoreRequest::from_json(expires).unwrap();
    let store = stack.vector_stores.create(&me(), request).await.unwrap().id;
    let request = json!({ "vector_store_id": store, "file_id": file });
    let request = CreateVectorStoreFileRequest::from_json(request).unwrap();
    stack.vector_stores.add_file(&me(), request).await.unwrap();
    let read = Read { stack, _folder: folder, store, file };
    eventually_some(PATIENCE, "the file to be read", async || {
        (read.row().await.status() == IngestStatus::Completed).then_some(())
    })
    .await;
    read
}

impl Read {
    fn stores(&self) -> &VectorStores {
        &self.stack.vector_stores
    }

    fn database(&self) -> &Database {
        self.stores().database()
    }

    async fn row(&self) -> StoredStoreFile {
        let key = key(&self.store, &self.file);
        let row = self.database().get::<StoredStoreFile>(&Owner::default(), &key).await;
        row.unwrap().unwrap().record
    }

    /// Waits until nothing is left to remove, and says how many chunks of a job there are then.
    async fn chunks_left(&self, job: &str) -> usize {
        eventually_some(PATIENCE, "the end of removing", async || {
            let jobs = Database::query::<Job>(Scope::Upkeep)
                .with(Condition::is("kind", FORGET))
                .limit(100);
            let jobs = self.database().list(jobs).await.unwrap().records;
            jobs.iter().all(|job| job.record.ended.is_some()).then_some(())
        })
        .await;
        let store = self.database().get::<StoredStore>(&Owner::default(), &self.store).await;
        let db = store.unwrap().unwrap().record.vector_db;
        let filter = chunks::of_job(job);
        let page = self.stores().0.backend.list(&me(), &db, &filter, None, 10).await.unwrap();
        page.chunks.len()
    }

    async fn search(&self) -> Result<usize> {
        let request = json!({ "vector_store_id": self.store, "query": "text" });
        let request = SearchVectorStoreRequest::from_json(request).unwrap();
        Ok(self.stores().search(&me(), request).await?.data.len())
    }
}

#[tokio::test]
async fn a_vector_store_that_nobody_uses_loses_its_chunks_and_stays_lost() {
    let read = read().await;
    let job = read.row().await.job_id;
    assert_eq!((read.search().await.unwrap(), read.chunks_left(&job).await), (1, 1));
    // As if nobody had used it for two days.
    let held = read.database().get::<StoredStore>(&Owner::default(), &read.store).await;
    let held = held.unwrap().unwrap();
    let old = StoredStore { last_active_at: now() - 2 * 24 * 3600, ..held.record.clone() };
    read.database().replace(&held, &old).await.unwrap();
    assert_eq!(read.search().await.unwrap_err().kind, ErrorKind::InvalidRequest);
    read.stores().sweep(now()).await.unwrap();
    assert_eq!(read.chunks_left(&job).await, 0);
    let shown = read.stores().get(&me(), &read.store).await.unwrap();
    assert_eq!((shown.status, shown.file_counts.total), (StoreStatus::Expired, 0));
    let renamed = json!({ "vector_store_id": read.store, "name": "n" });
    let renamed = UpdateVectorStoreRequest::from_json(renamed).unwrap();
    let refused = read.stores().update(&me(), renamed).await.unwrap_err();
    assert!(refused.message.contains("has expired"), "{}", refused.message);
    assert!(read.stores().delete(&me(), &read.store).await.unwrap().deleted);
    // The file is not the vector store's.
    assert_eq!(read.stack.files.get(&me(), &read.file).await.unwrap().id, read.file);
}

#[tokio::test]
async fn a_worker_that_comes_late_removes_only_what_nobody_wants() {
    let read = read().await;
    let row = read.row().await;
    let job = read.database().get::<Job>(&Owner::default(), &row.job_id).await.unwrap().unwrap();
    let late = Task::of(&job);
    let ingest = Ingest(Arc::downgrade(&read.stores().0));
    // Another worker has completed the same job: these chunks are wanted.
    ingest.taken(&late).await;
    assert_eq!(read.chunks_left(&row.job_id).await, 1);
    // The file was taken out, and then the late worker put chunks in.
    read.stores().remove_file(&me(), &read.store, &read.file).await.unwrap();
    assert_eq!(read.chunks_left(&row.job_id).await, 0);
    let store = read.database().get::<StoredStore>(&Owner::default(), &read.store).await;
    let db = store.unwrap().unwrap().record.vector_db;
    let sizes = Chunking::Static { max_chunk_size_tokens: 100, chunk_overlap_tokens: 0 };
    let counter = |text: &str| text.len();
    let pieces = chunk(&Document::plain("A text."), &sizes, &counter, &Limits::default()).unwrap();
    let chunk = chunks::stored(&row, 0, &pieces[0], None);
    read.stores().0.backend.insert(&me(), &db, vec![chunk]).await.unwrap();
    assert_eq!(read.chunks_left(&row.job_id).await, 1);
    ingest.taken(&late).await;
    assert_eq!(read.chunks_left(&row.job_id).await, 0);
}

#[tokio::test]
async fn chunks_are_measured_in_the_tokens_of_the_embedding_model() {
    let read = read_text(&b"abc ".repeat(300)).await;
    let job = read.row().await.job_id;
    // 1199 letters in chunks of 220 of them; with another vocabulary there would be two.
    let chunks = read.chunks_left(&job).await;
    assert!((6..10).contains(&chunks), "{chunks}");
}

#[tokio::test]
async fn a_file_can_be_removed_although_its_vector_store_is_gone() {
    let read = read().await;
    let mut row = read.row().await;
    row.object.vector_store_id = "vs_gone".to_owned();
    row.key = key("vs_gone", &read.file);
    let batch = Batch::default().insert(&Owner::default(), &row);
    read.database().apply(batch).await.unwrap();
    assert!(read.stack.files.delete(&me(), &read.file).await.unwrap().deleted);
    let left = Database::query::<StoredStoreFile>(Scope::Upkeep);
    assert!(read.database().list(left).await.unwrap().records.is_empty());
}

#[tokio::test]
async fn the_best_chunk_of_a_hybrid_search_passes_a_threshold() {
    let read = read().await;
    // Of equal scores, `normalized` makes a half.
    for (ranker, least) in [("auto", 0.99), ("weighted", 0.99), ("normalized", 0.5), ("rrf", 0.99)]
    {
        let request = json!({
            "vector_store_id": read.store, "query": "text",
            "ranking_options": { "ranker": ranker, "score_threshold": least },
        });
        let request = SearchVectorStoreRequest::from_json(request).unwrap();
        let found = read.stores().search(&me(), request).await.unwrap();
        assert_eq!(found.data.len(), 1, "{ranker}");
    }
}

#[tokio::test]
async fn a_session_has_a_database_that_no_other_one_leads_to() {
    let read = read().await;
    let (stack, id) = (&read.stack, format!("{SESSION_VECTOR_DB}5b1e"));
    for _ in 0..2 {
        stack.retrieval.ensure(&me(), &id, "e").await.unwrap();
    }
    let chunk = StoredChunk {
        id: "1".to_owned(),
        content: "A text.".to_owned().into(),
        metadata: Map::new(),
        expires_at: None,
    };
    stack.retrieval.insert(&me(), &id, vec![ChunkToInsert { chunk, vector: None }]).await.unwrap();
    let kept = stack.retrieval.list(&me(), &id, None, None, 9).await.unwrap();
    assert_eq!(kept.chunks.len(), 1);
    for own in [&id, &id.to_uppercase(), &read.store] {
        let request = json!({
            "vector_db_id": "mine", "provider_vector_db_id": own, "embedding_model": "e",
        });
        let request = RegisterVectorDbRequest::from_json(request).unwrap();
        let refused = stack.vector_dbs.register_vector_db(&stack.models, request).await;
        assert_eq!(refused.unwrap_err().param.as_deref(), Some("provider_vector_db_id"), "{own}");
    }
}
