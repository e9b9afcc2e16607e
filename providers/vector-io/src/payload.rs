//! Chunks as remote stores keep them: as JSON text, with what filters ask for beside it.

use chaski_api::{Error, ErrorKind, Result, Wire, retrieval::Chunk};
use chaski_provider::StoredChunk;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What our own keys begin with beside those of the metadata.
macro_rules! own {
    ($name:literal) => {
        concat!("chaski:", $name)
    };
}
pub(crate) use own;

/// The point of a chunk, for stores that take UUIDs.
pub(crate) fn point_id(chunk_id: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, chunk_id.as_bytes()).to_string()
}

/// The content and the metadata as JSON text, in the form that the reference writes.
pub(crate) fn encode(chunk: &StoredChunk) -> String {
    json!({ "content": chunk.content, "metadata": chunk.metadata }).to_string()
}

/// The chunk that [`encode`] has written.
///
/// # Errors
/// `Upstream` if it is none.
pub(crate) fn decode(id: &str, text: &str) -> Result<StoredChunk> {
    let value = serde_json::from_str::<Value>(text).ok();
    let chunk = value.and_then(|value| Chunk::from_json(value).ok()).ok_or_else(|| {
        let message = format!("the store has a chunk `{id}` that this server has not written");
        Error::new(ErrorKind::Upstream { status: None }, message)
    })?;
    Ok(StoredChunk {
        id: id.to_owned(),
        content: chunk.content,
        metadata: chunk.metadata,
        expires_at: None,
    })
}

/// The part of the metadata that filters can ask for. Numbers are all of one kind, because stores
/// tell whole numbers from others.
pub(crate) fn scalars(metadata: &Map<String, Value>) -> Map<String, Value> {
    let scalar = |value: &Value| match value {
        Value::String(_) | Value::Bool(_) => Some(value.clone()),
        Value::Number(number) => number.as_f64().map(Value::from),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    metadata.iter().filter_map(|(key, value)| Some((key.clone(), scalar(value)?))).collect()
}
