//! The Llama Stack face of inference: requests become OpenAI's, answers and events come back in
//! Llama Stack's form, with the token counts that its clients expect.

mod answer;
mod calls;
mod chat;
mod completion;
mod content;
mod embeddings;
mod events;
mod python_tag;
mod rerank;
mod retrieval;
mod sampling;
mod shared;
mod stream;
mod tools;

#[cfg(test)]
mod tests;

#[cfg(feature = "fuzzing")]
pub(crate) use chat::chat_completion as chat_over;

pub(crate) use shared::StackChat;

use super::no_choice;
use chaski_api::{
    Error, Result,
    endpoints::vector_io::{InsertChunksRequest, QueryChunksRequest},
    inference::{
        ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk, CompletionRequest,
        CompletionResponse, CompletionStreamChunk, EmbeddingsRequest, EmbeddingsResponse,
        RerankItemsRequest, RerankResponse,
    },
    models::{Model, ModelType},
    retrieval::QueryChunksResponse,
};
use chaski_provider::{Context, Reply};
use chaski_stack::Stack;

/// `POST /v1/inference/chat-completion`.
///
/// # Errors
/// Those of the request, the registry and the provider.
pub(crate) async fn chat_completion(
    stack: &Stack,
    cx: &Context,
    request: ChatCompletionRequest,
) -> Result<Reply<ChatCompletionResponse, ChatStreamChunk>> {
    let model = stack.models.get(&request.model_id).await?;
    chat::chat_completion(stack.inference.as_ref(), &model, cx, request).await
}

/// `POST /v1/inference/completion`.
///
/// # Errors
/// Those of the request, the registry and the provider.
pub(crate) async fn completion(
    stack: &Stack,
    cx: &Context,
    request: CompletionRequest,
) -> Result<Reply<CompletionResponse, CompletionStreamChunk>> {
    let model = stack.models.get(&request.model_id).await?;
    completion::completion(stack.inference.as_ref(), &model, cx, request).await
}

/// `POST /v1/inference/embeddings`.
///
/// # Errors
/// Those of the request, the registry and the provider.
pub(crate) async fn embeddings(
    stack: &Stack,
    cx: &Context,
    request: EmbeddingsRequest,
) -> Result<EmbeddingsResponse> {
    let model = stack.models.get(&request.model_id).await?;
    embeddings::embeddings(stack.inference.as_ref(), &model, cx, request).await
}

/// `POST /v1alpha/inference/rerank`.
///
/// # Errors
/// Those of the request, the registry and the provider.
pub(crate) async fn rerank(
    stack: &Stack,
    cx: &Context,
    request: RerankItemsRequest,
) -> Result<RerankResponse> {
    rerank::rerank(stack.inference.as_ref(), cx, request).await
}

/// `POST /v1/vector-io/insert`.
///
/// # Errors
/// Those of the request, the embedding and the store.
pub(crate) async fn insert_chunks(
    stack: &Stack,
    cx: &Context,
    request: InsertChunksRequest,
) -> Result<()> {
    retrieval::insert(stack.retrieval.as_ref(), cx, request).await
}

/// `POST /v1/vector-io/query`.
///
/// # Errors
/// Those of the request, the embedding and the store.
pub(crate) async fn query_chunks(
    stack: &Stack,
    cx: &Context,
    request: QueryChunksRequest,
) -> Result<QueryChunksResponse> {
    retrieval::query(stack.retrieval.as_ref(), cx, request).await
}

/// Refuses models that do not generate. The message speaks of chats for completions too, as clients know it.
fn check_generates_text(model: &Model) -> Result<()> {
    let kind = match model.model_type {
        ModelType::Llm => return Ok(()),
        ModelType::Embedding => "an embedding model",
        ModelType::Rerank => "a rerank model",
    };
    Err(Error::invalid(format!(
        "Model '{}' is {kind} and does not support chat completions",
        model.identifier
    )))
}
