//! Embeddings.

use super::content;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chaski_api::{
    Error, ErrorKind, Result,
    inference::{EmbeddingContents, EmbeddingsRequest, EmbeddingsResponse, TextTruncation},
    models::{Model, ModelType},
    openai::{Body, EmbeddingRequest},
};
use chaski_provider::{Context, Inference};
use serde_json::{Value, json};

/// Turns texts into vectors with `model`, the one that the request names.
///
/// # Errors
/// Those of the request, and those of the provider.
pub(super) async fn embeddings(
    inference: &dyn Inference,
    model: &Model,
    cx: &Context,
    request: EmbeddingsRequest,
) -> Result<EmbeddingsResponse> {
    if model.model_type == ModelType::Llm {
        return Err(Error::invalid(format!(
            "Model '{}' is an LLM model and does not support embeddings",
            model.identifier
        )));
    }
    let texts = texts(request.contents)?;
    if texts.is_empty() {
        return Ok(EmbeddingsResponse { embeddings: Vec::new() });
    }
    let asked = texts.len();
    let mut body = Body::default();
    body.insert("model".to_owned(), request.model_id.into());
    body.insert("input".to_owned(), json!(texts));
    // A third of the bytes of the same numbers in decimal, and no rounding.
    body.insert("encoding_format".to_owned(), "base64".into());
    if let Some(length) = dimensions(model, request.output_dimension) {
        body.insert("dimensions".to_owned(), length.into());
    }
    // OpenAI's API has no place for these: what speaks to an upstream translates them, or leaves
    // them out.
    if let Some(task) = request.task_type {
        body.insert("task_type".to_owned(), json!(task));
    }
    if let Some(end) = request.text_truncation.filter(|end| *end != TextTruncation::None) {
        body.insert("text_truncation".to_owned(), json!(end));
    }
    let reply = inference.embeddings(cx, EmbeddingRequest { body }).await?.into_value()?;
    let mut vectors = reply.data;
    // The order of the request is in the index; the order of the list is not promised.
    vectors.sort_by_key(|vector| vector.index);
    if vectors.len() != asked {
        let found = vectors.len();
        return Err(broken(&format!("{found} vectors for {asked} texts")));
    }
    let embeddings: Result<Vec<Vec<f64>>> =
        vectors.into_iter().map(|vector| numbers(vector.embedding)).collect();
    Ok(EmbeddingsResponse { embeddings: embeddings? })
}

fn texts(contents: EmbeddingContents) -> Result<Vec<String>> {
    match contents {
        EmbeddingContents::Texts(texts) => Ok(texts),
        EmbeddingContents::Items(items) => {
            items.iter().map(|item| content::item_text(item, "embedding models")).collect()
        }
    }
}

/// The length to ask for. Only models that can shorten their vectors, which `matryoshka: true` in
/// the metadata says, are asked for one: others refuse the parameter.
fn dimensions(model: &Model, wanted: Option<i64>) -> Option<i64> {
    let shortens = model.metadata.get("matryoshka").and_then(Value::as_bool).unwrap_or_default();
    shortens.then(|| wanted.or_else(|| model.embedding_dimension())).flatten()
}

/// The vector, from a list of numbers or from 32-bit floats in base64.
fn numbers(embedding: Value) -> Result<Vec<f64>> {
    match embedding {
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

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("the upstream sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;

    #[test]
    fn vectors_are_read_from_numbers_and_from_base64() {
        assert_eq!(numbers(json!([0.5, 1])).unwrap(), [0.5, 1.0]);
        let bytes = [0.003_f32, -1.0].map(f32::to_le_bytes).concat();
        let text = BASE64_STANDARD.encode(bytes);
        assert_eq!(numbers(text.into()).unwrap(), [0.003_000_000_026_077_032, -1.0]);
        for broken in [json!("AAA="), json!("?"), json!(["x"]), json!(1), json!("AADAfw==")] {
            assert!(numbers(broken.clone()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_length_is_asked_of_models_that_can_shorten_only() {
        let model = |metadata: Value| {
            Model::from_json(json!({
                "identifier": "m", "provider_resource_id": "m", "provider_id": "p",
                "model_type": "embedding", "metadata": metadata,
            }))
            .unwrap()
        };
        let fixed = model(json!({ "embedding_dimension": 384 }));
        assert_eq!(dimensions(&fixed, Some(32)), None);
        let shortens = model(json!({ "embedding_dimension": 384, "matryoshka": true }));
        assert_eq!(dimensions(&shortens, None), Some(384));
        assert_eq!(dimensions(&shortens, Some(32)), Some(32));
    }
}
