//! Embeddings.

use super::body::{Field, Kind, open_body};
use serde_json::Value;

open_body! {
    /// Vectors of texts (OpenAI API, "Create embeddings").
    EmbeddingRequest, &[
        Field::required("model", Kind::Text, "The registered embedding model."),
        Field::required("input", Kind::Any, "A text, a list of texts, or token ids."),
        Field::optional("encoding_format", Kind::OneOf(&["float", "base64"]), "How the vectors are written."),
        Field::optional("dimensions", Kind::Integer(1, 1_000_000), "The length of the vectors, for models that can shorten them."),
        Field::optional("user", Kind::Text, "The end user, for the upstream's abuse detection."),
    ]
}

crate::wire! {
    /// The tokens of an embedding request.
    pub struct EmbeddingUsage {
        /// Tokens of the texts.
        pub prompt_tokens: i64 = 0,
        /// The same.
        pub total_tokens: i64 = 0,
    }

    /// One vector.
    pub struct Embedding {
        /// `embedding`.
        pub object: String = "embedding".to_owned(),
        /// Which text, from 0.
        pub index: i64 = 0,
        /// Numbers, or the same as little-endian 32-bit floats in base64.
        pub embedding: Value,
    }

    /// A vector per text, in the order of the request.
    pub struct EmbeddingList {
        /// `list`.
        pub object: String = "list".to_owned(),
        /// The vectors.
        pub data: Vec<Embedding>,
        /// The model that answered.
        pub model: String = String::new(),
        /// The tokens used.
        pub usage: Option<EmbeddingUsage>,
    }
}
