//! The OpenAI face of inference. The inside speaks the same shapes, so a request goes on as it
//! came, and what an upstream sends is relayed without decoding.

mod counted;
mod moderations;

pub(crate) use moderations::moderation;

use chaski_api::{
    Result,
    openai::{ChatRequest, EmbeddingRequest, RerankRequest, TextCompletionRequest},
};
use chaski_provider::{ChatReply, Context, EmbeddingReply, RerankReply, TextReply};
use chaski_stack::Stack;

/// `POST /v1/chat/completions`.
///
/// # Errors
/// Those of the router and of the provider.
pub(crate) async fn chat(
    stack: &Stack,
    cx: &Context,
    mut request: ChatRequest,
) -> Result<ChatReply> {
    let paid = request.stream() && stack.models.has_cost(request.model());
    let hides = paid && counted::ask(&mut request.body);
    let reply = stack.inference.chat(cx, request).await?;
    Ok(if hides { counted::hidden(reply) } else { reply })
}

/// `POST /v1/completions`.
///
/// # Errors
/// Those of the router and of the provider.
pub(crate) async fn completion(
    stack: &Stack,
    cx: &Context,
    mut request: TextCompletionRequest,
) -> Result<TextReply> {
    let paid = request.stream() && stack.models.has_cost(request.model());
    let hides = paid && counted::ask(&mut request.body);
    let reply = stack.inference.completion(cx, request).await?;
    Ok(if hides { counted::hidden(reply) } else { reply })
}

/// `POST /v1/embeddings`.
///
/// # Errors
/// Those of the router and of the provider.
pub(crate) async fn embeddings(
    stack: &Stack,
    cx: &Context,
    request: EmbeddingRequest,
) -> Result<EmbeddingReply> {
    stack.inference.embeddings(cx, request).await
}

/// `POST /v1/rerank` and `POST /v2/rerank`.
///
/// # Errors
/// Those of the router and of the provider.
pub(crate) async fn rerank(
    stack: &Stack,
    cx: &Context,
    request: RerankRequest,
) -> Result<RerankReply> {
    stack.inference.rerank(cx, request).await
}
