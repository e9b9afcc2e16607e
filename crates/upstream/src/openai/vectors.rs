//! Vectors as little-endian 32-bit floats in base64, as OpenAI writes them.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;

/// The same list of embeddings with its vectors in base64.
pub(super) fn in_base64(list: &[u8]) -> Result<Bytes, serde_json::Error> {
    let mut list: Value = serde_json::from_slice(list)?;
    let entries = list.get_mut("data").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        let Some(vector) = entry.get_mut("embedding").filter(|vector| vector.is_array()) else {
            continue;
        };
        let numbers: Vec<f32> = serde_json::from_value(vector.take())?;
        let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
        *vector = STANDARD.encode(bytes).into();
    }
    serde_json::to_vec(&list).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_become_little_endian_floats_in_base64() {
        let list = json!({ "object": "list", "data": [
            { "index": 0, "embedding": [1.0, -2.5] },
            { "index": 1, "embedding": "AACAPw==" },
        ]});
        let expected = json!({ "object": "list", "data": [
            { "index": 0, "embedding": "AACAPwAAIMA=" },
            { "index": 1, "embedding": "AACAPw==" },
        ]});
        let made = in_base64(list.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&made).unwrap(), expected);
        assert!(in_base64(b"{\"data\": [{\"embedding\": [\"a\"]}]}").is_err());
    }
}
