//! Classes and objects as Weaviate writes them.

use super::{CHUNK, CHUNK_ID, EXPIRES_AT, FACTS, TEXT};
use crate::{
    facts::Facts,
    payload::{self, point_id},
    rest::body,
};
use bytes::Bytes;
use chaski_api::Result;
use chaski_provider::{EmbeddedChunk, StoredChunk, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// What the description of a class of this server begins with; how long its vectors are follows.
const DESCRIPTION: &str = "chunks of Chaski with vectors of length ";

/// A new class, for vectors of that length.
pub(super) fn class(name: &str, length: i64, hnsw: &Value) -> Value {
    let property = |name: &str, kind: &str, tokens: &str, (filterable, searchable)| {
        json!({
            "name": name, "dataType": [kind], "tokenization": tokens,
            "indexFilterable": filterable, "indexSearchable": searchable,
        })
    };
    json!({
        "class": name,
        "description": format!("{DESCRIPTION}{}", length),
        "vectorizer": "none",
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": hnsw,
        "properties": [
            property(CHUNK_ID, "text", "field", (false, false)),
            property(CHUNK, "text", "field", (false, false)),
            property(TEXT, "text", "word", (false, true)),
            property(FACTS, "text[]", "field", (true, false)),
            { "name": EXPIRES_AT, "dataType": ["number"] },
        ],
    })
}

/// A class as Weaviate describes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    #[serde(default)]
    description: String,
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Property {
    name: String,
}

impl Description {
    pub(super) fn length(&self) -> Option<i64> {
        self.description.strip_prefix(DESCRIPTION)?.trim().parse().ok()
    }

    /// The properties with numbers, and others.
    pub(super) fn names(self) -> impl Iterator<Item = String> {
        self.properties.into_iter().map(|property| property.name)
    }
}

/// What Weaviate says about an object, in one of its two forms.
#[derive(Deserialize)]
pub(super) struct Object {
    pub(super) chunk_id: String,
    pub(super) chunk: String,
    pub(super) expires_at: Option<f64>,
    #[serde(default, rename = "_additional")]
    pub(super) additional: Additional,
}

#[derive(Deserialize, Default)]
pub(super) struct Additional {
    pub(super) vector: Option<Vec<f32>>,
    pub(super) distance: Option<f64>,
    /// A number, as a text.
    pub(super) score: Option<String>,
}

impl Object {
    pub(super) fn chunk(&self) -> Result<StoredChunk> {
        let mut chunk = payload::decode(&self.chunk_id, &self.chunk)?;
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers, at most 2^53")]
        let at = self.expires_at.map(|at| Timestamp(at as i64));
        chunk.expires_at = at.filter(|at| *at < Timestamp::MAX);
        Ok(chunk)
    }
}

/// An object in a list.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) properties: Object,
    pub(super) vector: Vec<f32>,
}

/// The body of an insert of `chunks`, and the properties with numbers that they have.
pub(super) fn batch(class: &str, chunks: &[EmbeddedChunk]) -> (Bytes, HashSet<String>) {
    let mut numbers = HashSet::new();
    let mut objects = Vec::with_capacity(chunks.len());
    for EmbeddedChunk { chunk, vector } in chunks {
        let facts = Facts::of(&chunk.metadata);
        let mut properties: Map<String, Value> = Map::new();
        properties.insert(CHUNK_ID.to_owned(), chunk.id.clone().into());
        properties.insert(CHUNK.to_owned(), payload::encode(chunk).into());
        properties.insert(TEXT.to_owned(), chunk.text().into());
        properties.insert(FACTS.to_owned(), facts.words.into());
        let expires_at = chunk.expires_at.unwrap_or(Timestamp::MAX);
        properties.insert(EXPIRES_AT.to_owned(), expires_at.0.into());
        for (key, number) in facts.numbers {
            properties.insert(key.clone(), number.into());
            numbers.insert(key);
        }
        objects.push(json!({
            "class": class, "id": point_id(&chunk.id), "vector": vector, "properties": properties,
        }));
    }
    (body(&json!({ "objects": objects })), numbers)
}
