//! Vector stores: files that are searched by meaning and by words (OpenAI API, "Vector stores").

use super::files::ListOrder;
use crate::{
    retrieval::{Filter, Share},
    wire::{Above, Between, Reader, Schemas, Wire},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The most entries of attributes and metadata, the longest key and the longest text, in
/// characters.
const ENTRIES: usize = 16;
const KEY: usize = 64;
const TEXT: usize = 512;
/// The most files of a new vector store.
pub const MOST_FILES: usize = 500;
/// The most files of a batch.
pub const MOST_BATCHED: usize = 2000;

/// Up to 16 facts: texts, numbers and truth values by their names.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Attributes(pub Map<String, Value>);

impl Wire for Attributes {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let members = Map::<String, Value>::read(value, reader)?;
        if members.len() > ENTRIES {
            let message = format!("Input should have at most {ENTRIES} entries");
            return reader.issue("too_long", message);
        }
        let mark = reader.mark();
        for (key, value) in &members {
            reader.key(key.clone(), |reader| {
                if key.chars().count() > KEY {
                    let message = format!("Keys should have at most {KEY} characters");
                    reader.issue::<()>("string_too_long", message);
                }
                let problem = match value {
                    Value::String(text) if text.chars().count() > TEXT => {
                        format!("Input should have at most {TEXT} characters")
                    }
                    Value::String(_) | Value::Number(_) | Value::Bool(_) => return,
                    Value::Null | Value::Array(_) | Value::Object(_) => {
                        "Input should be a string, a number or a boolean".to_owned()
                    }
                };
                reader.issue::<()>("scalar_type", problem);
            });
        }
        (!reader.failed_since(mark)).then_some(Self(members))
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({
            "type": "object",
            "maxProperties": ENTRIES,
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        })
    }
}

/// One query or several.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Queries(pub Vec<String>);

impl Wire for Queries {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let queries = match value {
            Value::String(text) => vec![text],
            list @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => Vec::<String>::read(list, reader)?,
        };
        if queries.is_empty() || queries.len() > 16 {
            return reader.issue("too_long", "Input should be a text or a list of 1 to 16 texts");
        }
        if queries.iter().any(|query| query.trim().is_empty()) {
            return reader.issue("string_too_short", "Input should not be empty");
        }
        Some(Self(queries))
    }
    fn schema(_: &mut Schemas) -> Value {
        let text = json!({ "type": "string" });
        json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1, "maxItems": 16 }] })
    }
}

crate::wire! {
    /// What the life of a vector store is counted from.
    pub enum StoreAnchor {
        /// The last time that it was used.
        LastActiveAt = "last_active_at",
    }

    /// How long a vector store lives when nobody uses it.
    pub struct StoreExpiresAfter {
        /// What is counted from.
        pub anchor: StoreAnchor,
        /// The days.
        pub days: Between<1, 365>,
    }

    /// How far a vector store is.
    pub enum StoreStatus {
        /// Nobody used it for too long.
        Expired = "expired",
        /// Files are being read.
        InProgress = "in_progress",
        /// It can be searched for all its files.
        Completed = "completed",
    }

    /// How far a file in a vector store, or a batch of them, is.
    pub enum IngestStatus {
        /// It is being read.
        InProgress = "in_progress",
        /// It can be found.
        Completed = "completed",
        /// The caller gave it up.
        Cancelled = "cancelled",
        /// It could not be read; `last_error` says why.
        Failed = "failed",
    }

    /// Numbers of files, by how far they are.
    pub struct FileCounts {
        /// Being read.
        pub in_progress: i64 = 0,
        /// Can be found.
        pub completed: i64 = 0,
        /// Could not be read.
        pub failed: i64 = 0,
        /// Given up.
        pub cancelled: i64 = 0,
        /// All.
        pub total: i64 = 0,
    }

    /// A vector store (OpenAI API, "The vector store object").
    pub struct VectorStoreObject {
        /// Its id, `vs_...`.
        pub id: String,
        /// `vector_store`.
        pub object: String = "vector_store".to_owned(),
        /// When it was made, in seconds since 1970.
        pub created_at: i64,
        /// Its name.
        pub name: String = String::new(),
        /// What it is about.
        pub description: Option<String>,
        /// The bytes of the text that is kept.
        pub usage_bytes: i64 = 0,
        /// Its files.
        pub file_counts: FileCounts,
        /// How far it is.
        pub status: StoreStatus,
        /// How long it lives when nobody uses it.
        pub expires_after: Option<StoreExpiresAfter>,
        /// When it expires, in seconds since 1970.
        pub expires_at: Option<i64>,
        /// When it was used last, in seconds since 1970.
        pub last_active_at: Option<i64>,
        /// Facts of the caller.
        pub metadata: Option<Attributes>,
        /// The model that makes the vectors.
        pub embedding_model: Option<String>,
        /// The provider that keeps them.
        pub provider_id: Option<String>,
    }

    /// A page of vector stores.
    pub struct VectorStoreList {
        /// `list`.
        pub object: String = "list".to_owned(),
        /// The vector stores.
        pub data: Vec<VectorStoreObject>,
        /// The id of the first one.
        pub first_id: Option<String>,
        /// The id of the last one.
        pub last_id: Option<String>,
        /// Whether more follow.
        pub has_more: bool,
    }

    /// Chunking by the structure of the document, in the sizes that suit the server.
    pub struct AutoChunking {}

    /// The sizes of static chunking.
    pub struct StaticSizes {
        /// The most tokens of a chunk.
        pub max_chunk_size_tokens: Between<100, 4096> = Between(800),
        /// The tokens that it has in common with the one before; at most half of the chunk.
        pub chunk_overlap_tokens: Between<0, 2048> = Between(400),
    }

    /// Chunks of a fixed size.
    pub struct StaticChunking {
        /// The sizes.
        pub sizes as "static": StaticSizes,
    }

    /// How chunks get a sentence that says where they belong.
    pub struct ContextualSettings {
        /// The model that writes the sentences; the first registered chat model unless given.
        pub model_id: Option<String>,
        /// What the model is asked; `{{WHOLE_DOCUMENT}}` and `{{CHUNK_CONTENT}}` stand for the texts.
        pub context_prompt: Option<String>,
        /// The most tokens of a chunk.
        pub max_chunk_size_tokens: Between<100, 4096> = Between(700),
        /// The tokens that it has in common with the one before; at most half of the chunk.
        pub chunk_overlap_tokens: Between<0, 2048> = Between(350),
        /// How many sentences are written at one time.
        pub max_concurrency: Between<1, 16> = Between(3),
    }

    /// Chunks with a sentence of a model before them that says where they belong.
    pub struct ContextualChunking {
        /// How.
        pub contextual: ContextualSettings,
    }

    /// How files are cut into chunks.
    pub union ChunkingStrategy by "type" {
        Auto(AutoChunking) = "auto",
        Static(StaticChunking) = "static",
        Contextual(ContextualChunking) = "contextual",
    }

    /// A new vector store.
    pub struct CreateVectorStoreRequest {
        /// Its name.
        pub name: Option<String>,
        /// What it is about.
        pub description: Option<String>,
        /// Files to read into it, at most 500.
        pub file_ids: Option<Vec<String>>,
        /// How the files are cut; `auto` unless given.
        pub chunking_strategy: Option<ChunkingStrategy>,
        /// How long it lives when nobody uses it.
        pub expires_after: Option<StoreExpiresAfter>,
        /// Up to 16 facts.
        pub metadata: Option<Attributes>,
        /// The model that makes the vectors; the first registered embedding model unless given.
        pub embedding_model: Option<String>,
        /// The provider that keeps them; the first one unless given.
        pub provider_id: Option<String>,
    }

    /// Which vector store.
    pub struct VectorStoreRequest {
        /// The vector store's id.
        pub vector_store_id: String,
    }

    /// Which vector stores.
    pub struct ListVectorStoresRequest {
        /// The most of the page.
        pub limit: Between<1, 100> = Between(20),
        /// By the time of creation.
        pub order: ListOrder = ListOrder::Descending,
        /// The id that the page follows.
        pub after: Option<String>,
        /// The id that the page comes before.
        pub before: Option<String>,
    }

    /// Changes of a vector store. What is not given stays.
    pub struct UpdateVectorStoreRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// Its name.
        pub name: Option<String>,
        /// How long it lives when nobody uses it.
        pub expires_after: Option<StoreExpiresAfter>,
        /// Up to 16 facts, in place of all that it has.
        pub metadata: Option<Attributes>,
    }

    /// A vector store that is gone.
    pub struct DeletedVectorStore {
        /// Its id.
        pub id: String,
        /// `vector_store.deleted`.
        pub object: String = "vector_store.deleted".to_owned(),
        /// `true`.
        pub deleted: bool = true,
    }

    /// How the results of a search are ordered.
    pub enum StoreRanker {
        /// The best that there is.
        Auto = "auto",
        /// By vectors and words, without a model that ranks.
        None = "none",
        /// The same as `auto`.
        Default2024 = "default-2024-11-15",
        /// By the places in the lists of both searches.
        Rrf = "rrf",
        /// By both scores, weighted.
        Weighted = "weighted",
        /// By both scores, each brought to the same scale.
        Normalized = "normalized",
        /// By a rerank model.
        Neural = "neural",
    }

    /// How the results of a search are ordered.
    pub struct RankingOptions {
        /// How.
        pub ranker: StoreRanker = StoreRanker::Auto,
        /// The lowest score of a result.
        pub score_threshold: Share = Share(0.0),
        /// The weight of the vectors for `weighted`.
        pub alpha: Option<Share>,
        /// How little the first places weigh more than the next ones for `rrf`.
        pub impact_factor: Option<Above<0>>,
        /// The rerank model for `neural`; the first registered one unless given.
        pub model: Option<String>,
    }

    /// How a vector store is searched.
    pub enum StoreSearchMode {
        /// By meaning.
        Vector = "vector",
        /// By words.
        Keyword = "keyword",
        /// By both.
        Hybrid = "hybrid",
    }

    /// A search.
    pub struct SearchVectorStoreRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// What is looked for; of several, all.
        pub query: Queries,
        /// What the attributes of the files must say.
        pub filters: Option<Filter>,
        /// The most results.
        pub max_num_results: Between<1, 50> = Between(10),
        /// How the results are ordered.
        pub ranking_options: Option<RankingOptions>,
        /// Whether a chat model writes the query anew for the search.
        pub rewrite_query: bool = false,
        /// How it is searched; by both where the provider can, unless given.
        pub search_mode: Option<StoreSearchMode>,
    }

    /// A text of a result or of a file.
    pub struct StoreContent {
        /// `text`.
        pub kind as "type": String = "text".to_owned(),
        /// The text.
        pub text: String,
        /// Where it stands: `chunk_id`, and in the text of the file `start_byte` and `end_byte`; with
        /// `headings` and `pages` where the file has them.
        pub metadata: Option<Map<String, Value>>,
    }

    /// A result of a search.
    pub struct VectorStoreSearchResult {
        /// The file.
        pub file_id: String,
        /// Its name.
        pub filename: String,
        /// How well it fits, from 0 to 1.
        pub score: f64,
        /// The attributes of the file.
        pub attributes: Option<Attributes>,
        /// The text that was found.
        pub content: Vec<StoreContent>,
    }

    /// The results of a search, the best first.
    pub struct VectorStoreSearchResults {
        /// `vector_store.search_results.page`.
        pub object: String = "vector_store.search_results.page".to_owned(),
        /// What was looked for.
        pub search_query: Vec<String>,
        /// The results.
        pub data: Vec<VectorStoreSearchResult>,
        /// Whether more follow.
        pub has_more: bool = false,
        /// What to ask for the next page with.
        pub next_page: Option<String>,
    }
}
