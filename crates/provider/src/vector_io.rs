//! The contract of vector databases.

use crate::{Context, Hosts, Lifecycle};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    inference::InterleavedContent,
    retrieval::{Filter, Ranker, Rerank, SearchMode, VectorDb},
};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The key of the metadata of a chunk that says which document it is a piece of. The files of
/// `OpenAI`'s vector stores are documents.
pub const DOCUMENT_ID: &str = "document_id";

/// What the id of the vector database of an agent's session begins with; the id of the session follows.
pub const SESSION_VECTOR_DB: &str = "vector_db_";

/// A chunk as a store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChunk {
    /// Unique in its database.
    pub id: String,
    pub content: InterleavedContent,
    /// Facts, which filters ask for. They come back as they were inserted.
    pub metadata: Map<String, Value>,
    /// When it is gone; never unless given.
    pub expires_at: Option<Timestamp>,
}

impl StoredChunk {
    /// The text that words are looked for in.
    pub fn text(&self) -> String {
        self.content.texts(" ").unwrap_or_default()
    }

    /// The document that it is a piece of; empty if it does not say.
    pub fn document_id(&self) -> &str {
        self.metadata.get(DOCUMENT_ID).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A point in time, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The latest one: exact as a 64-bit float too, as some stores keep it.
    pub const MAX: Self = Self(1 << 53);

    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(Self::MAX.0))
    }

    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        let pause = i64::try_from(pause.as_secs()).unwrap_or(Self::MAX.0);
        Self(self.0.saturating_add(pause).min(Self::MAX.0))
    }
}

/// A chunk with its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedChunk {
    pub chunk: StoredChunk,
    /// As long as the database has it, finite, and not zero.
    pub vector: Vec<f32>,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorQuery {
    pub mode: SearchMode,
    /// What vectors are compared with; empty in a search by words alone.
    pub vector: Vec<f32>,
    /// The words; empty in a search by vectors alone.
    pub text: String,
    /// The most chunks.
    pub max: usize,
    /// The lowest score, in the scale of the mode.
    pub min_score: Option<f64>,
    pub filter: Option<Filter>,
    /// How the lists of a hybrid search become one.
    pub ranker: Ranker,
}

impl VectorQuery {
    /// The chunks whose vectors are nearest to `vector`.
    pub fn nearest(vector: Vec<f32>, max: usize) -> Self {
        Self {
            mode: SearchMode::Vector,
            vector,
            text: String::new(),
            max,
            min_score: None,
            filter: None,
            ranker: Ranker::default(),
        }
    }
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredChunk {
    pub chunk: StoredChunk,
    /// The higher, the better. By vectors: the cosine of the angle between them. By words: at
    /// least 0, in the store's own scale. By both: what the ranker makes of them.
    pub score: f64,
}

/// Which chunks.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    Ids(Vec<String>),
    Where(Filter),
}

impl Selection {
    /// All chunks of a document.
    pub fn document(id: &str) -> Self {
        Self::Where(Filter::eq(DOCUMENT_ID, id))
    }
}

/// A part of the chunks of a database.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkPage {
    pub chunks: Vec<EmbeddedChunk>,
    /// What to ask for the next part with; nothing if this is the last.
    pub next: Option<String>,
}

/// Keeping chunks and finding them again. Of a database that the store hosts, whose id there is
/// `provider_resource_id`.
///
/// What an insert has answered is found by every later query. Chunks that have expired are never
/// found or listed, and are removed at some time. Asking for more than there is, and removing what
/// is not there, is no failure.
#[async_trait]
pub trait VectorIo: Send + Sync {
    /// The modes of search that the store has.
    fn modes(&self) -> &'static [SearchMode];

    /// Inserts chunks, in place of those with the same ids.
    ///
    /// # Errors
    /// The database is not there, or the store cannot be reached. Some of the chunks may have been
    /// inserted then; inserting all again is safe.
    async fn insert(&self, cx: &Context, db: &VectorDb, chunks: Vec<EmbeddedChunk>) -> Result<()>;

    /// The chunks that fit best, the best first.
    ///
    /// # Errors
    /// `Unsupported` for a mode that the store does not have.
    async fn query(
        &self,
        cx: &Context,
        db: &VectorDb,
        query: &VectorQuery,
    ) -> Result<Vec<ScoredChunk>>;

    /// Removes chunks.
    async fn delete(&self, cx: &Context, db: &VectorDb, which: &Selection) -> Result<()>;

    /// The chunks that a filter holds for, or all, in the store's own order: at most `limit` of
    /// them, behind those of the page that `after` comes from.
    async fn list(
        &self,
        cx: &Context,
        db: &VectorDb,
        filter: Option<&Filter>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage>;
}

/// What a vector store must be. Registering a database makes it there unless it is there already;
/// unregistering it drops it with all chunks.
pub trait VectorIoProvider: VectorIo + Hosts<VectorDb> + Lifecycle {}
impl<T: VectorIo + Hosts<VectorDb> + Lifecycle> VectorIoProvider for T {}

/// What is looked for, before it has a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    pub mode: SearchMode,
    pub text: String,
    /// The most chunks.
    pub max: usize,
    /// The lowest score, in the scale of [`ScoredChunk::score`], or of the rerank model.
    pub min_score: Option<f64>,
    pub filter: Option<Filter>,
    pub ranker: Ranker,
    /// Ranking what was found anew. Scores are then those of the model.
    pub rerank: Option<Rerank>,
}

/// All vector databases of the stack by their ids, with the embedding that belongs to each.
#[async_trait]
pub trait Retrieval: Send + Sync {
    /// Registers a database with this embedding model, at the first provider, unless there is one of
    /// this id.
    async fn ensure(&self, cx: &Context, vector_db_id: &str, embedding_model: &str) -> Result<()>;

    /// Removes a database with its chunks, if there is one of this id.
    async fn remove(&self, cx: &Context, vector_db_id: &str) -> Result<()>;

    /// Inserts chunks, in place of those with the same ids. Those without a vector get one.
    async fn insert(
        &self,
        cx: &Context,
        vector_db_id: &str,
        chunks: Vec<ChunkToInsert>,
    ) -> Result<()>;

    /// The chunks that fit best, the best first.
    async fn search(
        &self,
        cx: &Context,
        vector_db_id: &str,
        search: Search,
    ) -> Result<Vec<ScoredChunk>>;

    /// Removes chunks.
    async fn delete(&self, cx: &Context, vector_db_id: &str, which: &Selection) -> Result<()>;

    /// A part of the chunks; see [`VectorIo::list`].
    async fn list(
        &self,
        cx: &Context,
        vector_db_id: &str,
        filter: Option<&Filter>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChunkPage>;
}

/// A chunk, and its vector if the caller has one.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkToInsert {
    pub chunk: StoredChunk,
    pub vector: Option<Vec<f32>>,
}

/// Says that a store does not search in a mode.
pub fn no_mode(mode: SearchMode, has: &[SearchMode]) -> Error {
    let has: Vec<String> = has.iter().map(|mode| format!("`{mode}`")).collect();
    Error::unsupported(format!(
        "the provider of this vector database does not search by the mode `{mode}`; use {}",
        has.join(" or ")
    ))
}
