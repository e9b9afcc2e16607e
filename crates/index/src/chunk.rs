//! A chunk: what is stored and found.

use crate::{Error, Metric, Result, Settings};
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest id, in bytes.
pub const MAX_ID: usize = 512;
/// The longest text, in bytes.
pub const MAX_TEXT: usize = 16 << 20;
/// The most metadata of a chunk, in bytes of JSON.
pub const MAX_METADATA: usize = 64 << 10;
/// The most chunks of one call.
pub const MAX_BATCH: usize = 200_000;

/// A piece of text with its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Unique in its index; a chunk with the id of another replaces it.
    pub id: String,
    pub text: String,
    /// As many numbers as the index has dimensions.
    pub vector: Vec<f32>,
    /// Fields for filters: texts, numbers, booleans and lists of them. Other values are kept, and
    /// match no filter.
    pub metadata: Map<String, Value>,
    /// From this time on the chunk counts as absent, in seconds since 1970.
    pub expires: Option<u64>,
}

impl Chunk {
    /// A chunk without metadata that does not expire.
    pub fn new(id: impl Into<String>, text: impl Into<String>, vector: Vec<f32>) -> Self {
        let (id, text) = (id.into(), text.into());
        Self { id, text, vector, metadata: Map::new(), expires: None }
    }

    /// With one more field of metadata.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Whether an index with these settings can hold the chunk; answers its metadata as JSON.
    pub(crate) fn check(&self, settings: &Settings) -> Result<String> {
        let Self { id, text, vector, metadata, expires } = self;
        check_id(id)?;
        let refused = |problem: String| Error::invalid(format!("the chunk `{id}` {problem}"));
        if text.len() > MAX_TEXT {
            let length = text.len();
            return Err(refused(format!(
                "has a text of {length} bytes; divide it, the most is {MAX_TEXT}"
            )));
        }
        check_vector(vector, settings).map_err(|problem| refused(format!("has {problem}")))?;
        if expires.is_some_and(|time| i64::try_from(time).is_err()) {
            return Err(refused("expires too late; leave `expires` out instead".to_owned()));
        }
        let json = serde_json::to_string(metadata).map_err(|cause| {
            refused(format!("has metadata that cannot be written as JSON: {cause}"))
        })?;
        if json.len() > MAX_METADATA {
            let length = json.len();
            return Err(refused(format!(
                "has {length} bytes of metadata; leave some out, the most is {MAX_METADATA}"
            )));
        }
        Ok(json)
    }
}

pub(crate) fn check_id(id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid("the id of a chunk is empty; give each chunk an id"));
    }
    if id.len() > MAX_ID {
        let (length, start) = (id.len(), id.chars().take(40).collect::<String>());
        return Err(Error::invalid(format!(
            "the id that begins with `{start}` has {length} bytes; the most is {MAX_ID}"
        )));
    }
    Ok(())
}

/// What is wrong with a vector, if anything.
pub(crate) fn check_vector(vector: &[f32], settings: &Settings) -> Result<(), String> {
    if vector.len() != settings.dimension {
        return Err(format!(
            "a vector of {} numbers; this index has {}",
            vector.len(),
            settings.dimension
        ));
    }
    if let Some(position) = vector.iter().position(|number| !number.is_finite()) {
        return Err(format!(
            "a vector with `{}` at position {position}; all numbers must be finite",
            vector[position]
        ));
    }
    let squares: f32 = vector.iter().map(|number| number * number).sum();
    if !squares.is_finite() {
        return Err("a vector whose length is too great for 32-bit numbers".to_owned());
    }
    if settings.metric == Metric::Cosine && squares < f32::MIN_POSITIVE {
        return Err("a vector of length zero, which has no cosine".to_owned());
    }
    Ok(())
}

/// The time of the clock, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(chunk: &Chunk, part: &str) {
        let error = chunk.check(&Settings::new(2)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    fn with(vector: &[f32]) -> Chunk {
        Chunk::new("a", "text", vector.to_vec())
    }

    #[test]
    fn vectors_that_cannot_be_compared_are_refused() {
        assert!(with(&[1.0, 0.0]).check(&Settings::new(2)).is_ok());
        refused(&with(&[1.0]), "a vector of 1 numbers; this index has 2");
        refused(&with(&[1.0, f32::NAN]), "`NaN` at position 1");
        refused(&with(&[f32::INFINITY, 0.0]), "`inf` at position 0");
        refused(&with(&[f32::MAX, f32::MAX]), "too great");
        refused(&with(&[0.0, 0.0]), "length zero");
        let dot = Settings { metric: Metric::Dot, ..Settings::new(2) };
        assert!(with(&[0.0, 0.0]).check(&dot).is_ok());
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let good = with(&[1.0, 0.0]);
        refused(&Chunk { id: String::new(), ..good.clone() }, "is empty");
        refused(&Chunk { id: "x".repeat(MAX_ID + 1), ..good.clone() }, "has 513 bytes");
        refused(&Chunk { text: "x".repeat(MAX_TEXT + 1), ..good.clone() }, "divide it");
        refused(&good.clone().with("k", "x".repeat(MAX_METADATA)), "bytes of metadata");
        refused(&Chunk { expires: Some(u64::MAX), ..good }, "expires too late");
    }
}
