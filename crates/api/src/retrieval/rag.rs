//! Documents that are cut into chunks, and the context that is put together from chunks.

use super::{Filter, Ranker, Rerank, SearchMode};
use crate::{
    inference::{InterleavedContent, Url},
    wire::{Between, Reader, Schemas, Wire},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a document contains, or where it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RagSource {
    /// The text itself. A text that is an `http:`, `https:` or `data:` address is one.
    Content(InterleavedContent),
    Url(Url),
}

impl Wire for RagSource {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let names_place = value.get("uri").is_some() && value.get("type").is_none();
        if names_place {
            Url::read(value, reader).map(Self::Url)
        } else {
            InterleavedContent::read(value, reader).map(Self::Content)
        }
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [InterleavedContent::schema(schemas), Url::schema(schemas)] })
    }
}

crate::wire! {
    /// A document to insert.
    pub struct RagDocument {
        /// Its id; a document with the same id is replaced.
        pub document_id: String,
        /// What it contains, or where it is.
        pub content: RagSource,
        /// Its media type, where the address does not say it.
        pub mime_type: Option<String>,
        /// Free-form facts, which its chunks get.
        pub metadata: Map<String, Value> = Map::new(),
    }

    /// The texts of the question, joined.
    pub struct DefaultQueryGenerator {
        /// What stands between the texts.
        pub separator: String = " ".to_owned(),
    }

    /// What a model makes of the question.
    pub struct LlmQueryGenerator {
        /// The registered model that is asked.
        pub model: String,
        /// What it is asked; `{{ messages }}` stands for the texts of the question.
        pub template: String,
    }

    /// How a question becomes what is searched for.
    pub union QueryGenerator by "type" {
        Default(DefaultQueryGenerator) = "default",
        Llm(LlmQueryGenerator) = "llm",
    }

    /// How a context is put together.
    pub struct RagQueryConfig {
        /// How the question becomes what is searched for.
        pub query_generator_config: QueryGenerator = QueryGenerator::default(),
        /// The most tokens of all chunks together.
        pub max_tokens_in_context: Between<1, { i64::MAX }> = Between(4096),
        /// The most chunks.
        pub max_chunks: Between<1, { super::MOST_CHUNKS }> = Between(5),
        /// How chunks are searched; `vector` unless given.
        pub mode: Option<SearchMode>,
        /// The lowest score of a chunk.
        pub score_threshold: Option<f64>,
        /// What the metadata of the chunks must say.
        pub filters: Option<Filter>,
        /// How the two lists of a hybrid search become one; `weighted` unless given.
        pub ranker: Option<Ranker>,
        /// Ranking what was found anew; `score_threshold` then counts in the scores of the model.
        pub rerank: Option<Rerank>,
    }

    /// A context for a model.
    pub struct RagQueryResult {
        /// The texts; nothing if nothing was found.
        pub content: Option<InterleavedContent>,
        /// Which documents the chunks are from, in `document_ids`.
        pub metadata: Map<String, Value> = Map::new(),
    }
}

impl Default for QueryGenerator {
    fn default() -> Self {
        Self::Default(DefaultQueryGenerator { separator: " ".to_owned() })
    }
}

impl Default for RagQueryConfig {
    fn default() -> Self {
        Self {
            query_generator_config: QueryGenerator::default(),
            max_tokens_in_context: Between(4096),
            max_chunks: Between(5),
            mode: None,
            score_threshold: None,
            filters: None,
            ranker: None,
            rerank: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_text_content_or_an_address() {
        let source = |value| RagSource::from_json(value).unwrap();
        assert!(matches!(source(json!("text")), RagSource::Content(InterleavedContent::Text(_))));
        assert!(matches!(source(json!({ "uri": "http://h/" })), RagSource::Url(_)));
        let item = json!({ "type": "text", "text": "x" });
        assert!(matches!(source(item), RagSource::Content(InterleavedContent::Item(_))));
        assert!(RagSource::from_json(json!(5)).is_err());
    }

    #[test]
    fn nothing_given_means_the_defaults() {
        assert_eq!(RagQueryConfig::from_json(json!({})).unwrap(), RagQueryConfig::default());
    }
}
