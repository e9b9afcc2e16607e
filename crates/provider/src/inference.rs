//! The contract of inference.

use crate::{Context, Hosts, Lifecycle, Payload, Reply};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    models::Model,
    openai::{
        ChatChunk, ChatCompletion, ChatRequest, EmbeddingList, EmbeddingRequest, TextCompletion,
        TextCompletionRequest,
    },
};

pub type ChatReply = Reply<ChatCompletion, ChatChunk>;
pub type TextReply = Reply<TextCompletion, TextCompletion>;
pub type EmbeddingReply = Payload<EmbeddingList>;

/// Generating text and vectors, in OpenAI's shapes. Providers, routers and decorators are alike.
///
/// A request for a stream (`"stream": true`) is answered with `Reply::Stream`, any other with
/// `Reply::Full`. The events of a stream do not include `[DONE]`. In a stream, `usage` comes in a
/// last event of its own, with empty `choices`, if the request asks for it. The numbers in the
/// vectors are written as `encoding_format` says. Dropping a reply or a stream cancels the work.
#[async_trait]
pub trait Inference: Send + Sync {
    async fn chat(&self, _cx: &Context, _request: ChatRequest) -> Result<ChatReply> {
        Err(Error::unsupported("this provider does not support chat completions"))
    }

    async fn completion(
        &self,
        _cx: &Context,
        _request: TextCompletionRequest,
    ) -> Result<TextReply> {
        Err(Error::unsupported("this provider does not support completions"))
    }

    async fn embeddings(
        &self,
        _cx: &Context,
        _request: EmbeddingRequest,
    ) -> Result<EmbeddingReply> {
        Err(Error::unsupported("this provider does not support embeddings"))
    }
}

/// What an inference provider must be.
pub trait InferenceProvider: Inference + Hosts<Model> + Lifecycle {}
impl<T: Inference + Hosts<Model> + Lifecycle> InferenceProvider for T {}
