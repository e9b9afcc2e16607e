//! Embeddings.

use super::{
    body::{Field, Kind, open_body},
    tolerant,
};
use crate::{Error, ErrorKind, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
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
    pub struct EmbeddingUsage after tolerant::without_nulls {
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
    pub struct EmbeddingList after tolerant::answer {
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

impl Embedding {
    /// The numbers, whichever way they are written.
    ///
    /// # Errors
    /// `Upstream` if the value is neither a list of numbers nor 32-bit floats in base64.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        match &self.embedding {
            Value::String(text) => {
                let bytes = BASE64_STANDARD
                    .decode(text)
                    .map_err(|error| broken("a vector that is not base64").caused_by(error))?;
                let (floats, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(broken("a vector that is not made of 32-bit floats"));
                }
                let numbers: Vec<f64> =
                    floats.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
                if numbers.iter().all(|number| number.is_finite()) {
                    Ok(numbers)
                } else {
                    Err(broken("a vector with numbers that are not finite"))
                }
            }
            Value::Array(numbers) => numbers
                .iter()
                .map(|number| number.as_f64().ok_or_else(|| broken("a vector that is not numbers")))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                Err(broken("a vector that is not numbers"))
            }
        }
    }
}

impl EmbeddingList {
    /// The vectors of `count` texts, in the order of the texts.
    ///
    /// # Errors
    /// `Upstream` if there are more or fewer, or one of them is not numbers.
    pub fn vectors(mut self, count: usize) -> Result<Vec<Vec<f64>>> {
        // The order of the request is in the index; the order of the list is not promised.
        self.data.sort_by_key(|vector| vector.index);
        if self.data.len() != count {
            let found = self.data.len();
            return Err(broken(&format!("{found} vectors for {count} texts")));
        }
        self.data.iter().map(Embedding::numbers).collect()
    }
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("the upstream sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vectors_are_read_from_numbers_and_from_base64() {
        let numbers = |embedding: Value| {
            Embedding { object: "embedding".to_owned(), index: 0, embedding }.numbers()
        };
        assert_eq!(numbers(json!([0.5, 1])).unwrap(), [0.5, 1.0]);
        let bytes = [0.003_f32, -1.0].map(f32::to_le_bytes).concat();
        let text = BASE64_STANDARD.encode(bytes);
        assert_eq!(numbers(text.into()).unwrap(), [0.003_000_000_026_077_032, -1.0]);
        for broken in [json!("AAA="), json!("?"), json!(["x"]), json!(1), json!("AADAfw==")] {
            assert!(numbers(broken.clone()).is_err(), "{broken}");
        }
    }
}
