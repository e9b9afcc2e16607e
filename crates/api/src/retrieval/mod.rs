//! Vector databases, the chunks in them, and how they are asked.

mod filter;
mod rag;

pub use filter::{Comparison, Filter, Operator, Scalar};
pub use rag::{
    DefaultQueryGenerator, LlmQueryGenerator, QueryGenerator, RagDocument, RagQueryConfig,
    RagQueryResult, RagSource,
};

use crate::{
    inference::{ContentItem, InterleavedContent},
    wire::{Above, Between},
};
use serde_json::{Map, Value};

crate::wire! {
    /// The constant `type` of the record of a vector database.
    pub enum VectorDbTag { VectorDb = "vector_db" }

    /// A registered vector database, as it is stored and as it is answered.
    pub struct VectorDb {
        /// The id that requests use; unique in this stack.
        pub identifier: String,
        /// The id that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance that keeps the chunks.
        pub provider_id: String,
        /// Always `vector_db`.
        pub tag as "type": VectorDbTag = VectorDbTag::VectorDb,
        /// The registered embedding model.
        pub embedding_model: String,
        /// The length of its vectors.
        pub embedding_dimension: i64,
    }

    /// All registered vector databases.
    pub struct VectorDbList {
        /// The vector databases, in the order of registration.
        pub data: Vec<VectorDb>,
    }

    /// A piece of a document.
    pub struct Chunk {
        /// The text.
        pub content: InterleavedContent,
        /// Free-form facts; `document_id` says which document it is a piece of.
        pub metadata: Map<String, Value> = Map::new(),
    }

    /// A piece of a document to insert.
    pub struct NewChunk {
        /// The text.
        pub content: InterleavedContent,
        /// Free-form facts, which filters ask for; `document_id` is required.
        pub metadata: Map<String, Value> = Map::new(),
        /// Its id in the database, where a chunk with the same id is replaced. Made of the
        /// document's id and the text unless given, so that the same text is not kept twice.
        pub chunk_id: Option<String>,
        /// Its vector; made by the embedding model of the database unless given.
        pub embedding: Option<Vec<f64>>,
    }

    /// The chunks found, the best first, and how well each fits.
    pub struct QueryChunksResponse {
        /// The chunks.
        pub chunks: Vec<Chunk>,
        /// One for each chunk; the higher, the better.
        pub scores: Vec<f64>,
    }

    /// How chunks are searched.
    pub enum SearchMode {
        /// By the distance of the vectors.
        Vector = "vector",
        /// By the words of the text.
        Keyword = "keyword",
        /// By both.
        Hybrid = "hybrid",
    }

    /// Reciprocal rank fusion: only the places in both lists count.
    pub struct RrfRanker {
        /// How little the first places weigh more than the next ones.
        pub impact_factor: Above<0> = IMPACT,
    }

    /// Both scores, normalised and weighted.
    pub struct WeightedRanker {
        /// The weight of the vectors, from 0 to 1; the words have the rest.
        pub alpha: Share = ALPHA,
    }

    /// Both scores, normalised and added.
    pub struct NormalizedRanker {}

    /// How the two lists of a hybrid search become one.
    pub union Ranker by "type" {
        Rrf(RrfRanker) = "rrf",
        Weighted(WeightedRanker) = "weighted",
        Normalized(NormalizedRanker) = "normalized",
    }

    /// Ranking what was found anew, by a model that says how well a text answers a query.
    pub struct Rerank {
        /// The rerank model, or an embedding model; the first registered rerank model unless given.
        pub model: Option<String>,
        /// How many of the best are ranked; 30, or as many as are asked for if those are more,
        /// unless given.
        pub candidates: Option<Between<1, MOST_CHUNKS>>,
    }

    /// How a vector database is asked.
    pub struct QueryParams {
        /// How chunks are searched.
        pub mode: SearchMode = SearchMode::Vector,
        /// The most chunks.
        pub max_chunks: Between<1, MOST_CHUNKS> = Between(3),
        /// The lowest score of a chunk.
        pub score_threshold: Option<f64>,
        /// What the metadata of the chunks must say.
        pub filters: Option<Filter>,
        /// How the two lists of a hybrid search become one; `weighted` unless given.
        pub ranker: Option<Ranker>,
        /// Ranking what was found anew; scores, and `score_threshold`, are then those of the model.
        pub rerank: Option<Rerank>,
    }
}

/// The most chunks of an answer.
pub const MOST_CHUNKS: i64 = 1000;

/// The weight of the vectors that finds the most in the measurements of `bench`.
const ALPHA: Share = Share(0.6);
/// The factor of the paper on reciprocal rank fusion (Cormack and others, 2009).
const IMPACT: Above<0> = Above(60.0);

impl Default for RrfRanker {
    fn default() -> Self {
        Self { impact_factor: IMPACT }
    }
}

impl Default for WeightedRanker {
    fn default() -> Self {
        Self { alpha: ALPHA }
    }
}

impl Default for Ranker {
    fn default() -> Self {
        Self::Weighted(WeightedRanker::default())
    }
}

impl Default for QueryParams {
    fn default() -> Self {
        let (mode, max_chunks) = (SearchMode::Vector, Between(3));
        Self { mode, max_chunks, score_threshold: None, filters: None, ranker: None, rerank: None }
    }
}

/// The smallest squared distance that scores tell apart: below it is the noise of 32-bit numbers.
const NEAREST: f64 = 1e-6;

/// The score that Llama Stack's API gives to a chunk found by its vector, from the cosine of the
/// angle to the vector of the query: one divided by the square of the distance of both, brought to
/// length 1. From 0.25 for opposite vectors over 0.5 for unrelated ones to a million for equal ones.
pub fn score_of_cosine(cosine: f64) -> f64 {
    1.0 / (2.0 - 2.0 * cosine).max(NEAREST)
}

/// The lowest cosine whose score in Llama Stack's API is at least `score`; nothing if all are.
pub fn cosine_of_score(score: f64) -> Option<f64> {
    (score > 0.25).then(|| 1.0 - 0.5 / score)
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, serde::Serialize)]
#[serde(transparent)]
pub struct Share(pub f64);

impl crate::Wire for Share {
    fn read(value: Value, reader: &mut crate::Reader) -> Option<Self> {
        let number = f64::read(value, reader)?;
        if (0.0..=1.0).contains(&number) {
            Some(Self(number))
        } else {
            reader.issue("share", "Input should be from 0 to 1")
        }
    }
    fn schema(_: &mut crate::Schemas) -> Value {
        serde_json::json!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

impl InterleavedContent {
    /// The texts, joined by `separator`; nothing if there is an image among them.
    pub fn texts(&self, separator: &str) -> Option<String> {
        let text = |item: &ContentItem| match item {
            ContentItem::Text(text) => Some(text.text.clone()),
            ContentItem::Image(_) => None,
        };
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Item(item) => text(item),
            Self::Items(items) => {
                Some(items.iter().map(text).collect::<Option<Vec<String>>>()?.join(separator))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wire;
    use serde_json::json;

    #[test]
    fn the_parameters_of_a_query_have_defaults_and_bounds() {
        assert_eq!(QueryParams::from_json(json!({})).unwrap(), QueryParams::default());
        for (params, message) in [
            (json!({ "mode": "zzz" }), "mode: Input should be 'vector', 'keyword' or 'hybrid'"),
            (json!({ "max_chunks": 0 }), "max_chunks: Input should be greater than or equal to 1"),
            (
                json!({ "max_chunks": 1001 }),
                "max_chunks: Input should be less than or equal to 1000",
            ),
            (
                json!({ "ranker": { "type": "weighted", "alpha": 2 } }),
                "ranker.weighted.alpha: Input should be from 0 to 1",
            ),
            (
                json!({ "rerank": { "candidates": 0 } }),
                "rerank.candidates: Input should be greater than or equal to 1",
            ),
        ] {
            let issues = QueryParams::from_json(params.clone()).unwrap_err();
            assert_eq!(issues[0].to_string(), message, "{params}");
        }
    }

    #[test]
    fn scores_grow_with_the_cosine_and_end_somewhere() {
        for (cosine, score) in
            [(-1.0, 0.25), (0.0, 0.5), (0.5, 1.0), (1.0, 1e6), (1.000_000_1, 1e6)]
        {
            let found = score_of_cosine(cosine);
            assert!((found - score).abs() < 1e-6, "{cosine}: {found}");
        }
        assert_eq!(cosine_of_score(0.0), None);
        assert_eq!(cosine_of_score(1.0), Some(0.5));
        assert_eq!(cosine_of_score(0.5), Some(0.0));
    }

    #[test]
    fn texts_are_joined_and_images_have_none() {
        let content = |value| InterleavedContent::from_json(value).unwrap();
        let text = |text: &str| json!({ "type": "text", "text": text });
        assert_eq!(content(json!([text("a"), text("b")])).texts(" ").as_deref(), Some("a b"));
        assert_eq!(content(text("a")).texts(" ").as_deref(), Some("a"));
        let image = json!({ "type": "image", "image": { "data": "x" } });
        assert_eq!(content(json!([text("a"), image])).texts(" "), None);
    }
}
