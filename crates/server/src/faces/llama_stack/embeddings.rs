//! Embeddings.

use super::content;
use chaski_api::{
    Error, Result,
    inference::{EmbeddingContents, EmbeddingsRequest, EmbeddingsResponse, TextTruncation},
    models::{Model, ModelType},
    openai::{Body, EmbeddingRequest},
};
use chaski_provider::{Context, Inference};
use serde_json::json;

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
    let kind = match model.model_type {
        ModelType::Embedding => None,
        ModelType::Llm => Some("an LLM model"),
        ModelType::Rerank => Some("a rerank model"),
    };
    if let Some(kind) = kind {
        return Err(Error::invalid(format!(
            "Model '{}' is {kind} and does not support embeddings",
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
    if let Some(length) = model.length_to_ask_for(request.output_dimension) {
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
    Ok(EmbeddingsResponse { embeddings: reply.vectors(asked)? })
}

fn texts(contents: EmbeddingContents) -> Result<Vec<String>> {
    match contents {
        EmbeddingContents::Texts(texts) => Ok(texts),
        EmbeddingContents::Items(items) => {
            items.iter().map(|item| content::item_text(item, "embedding models")).collect()
        }
    }
}
