//! The OpenAI face of inference. The inside speaks the same shapes, so a request goes on as it
//! came, and what an upstream sends is relayed without decoding.

use chaski_api::{
    Result,
    openai::{ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{ChatReply, Context, EmbeddingReply, Inference, TextReply};

/// Generates the next message of a chat.
///
/// # Errors
/// Those of the router and of the provider.
pub(crate) async fn chat(
    inference: &dyn Inference,
    cx: &Context,
    request: ChatRequest,
) -> Result<ChatReply> {
    inference.chat(cx, request).await
}

/// Continues a text.
///
/// # Errors
/// Those of the router and of the provider.
pub(crate) async fn completion(
    inference: &dyn Inference,
    cx: &Context,
    request: TextCompletionRequest,
) -> Result<TextReply> {
    inference.completion(cx, request).await
}

/// Turns texts into vectors.
///
/// # Errors
/// Those of the router and of the provider.
pub(crate) async fn embeddings(
    inference: &dyn Inference,
    cx: &Context,
    request: EmbeddingRequest,
) -> Result<EmbeddingReply> {
    inference.embeddings(cx, request).await
}
