//! Chats for upstreams that only continue text: the conversation is rendered as the prompt of a
//! Llama model, and what the model writes is read for calls of tools.
//!
//! A decorator for any provider with completions. Everything but chats goes through it unchanged.

mod answer;
mod request;
mod stream;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chaski_api::{
    Result,
    inspect::ProviderHealth,
    models::Model,
    openai::{ChatRequest, EmbeddingRequest, RerankRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, EmbeddingReply, Hosts, Inference, InferenceProvider, Lifecycle, Payload,
    Reply, RerankReply, TextReply,
};
use std::sync::Arc;

/// The limit of an answer where neither the request nor the configuration has one: completions
/// have a default of 16 tokens.
const MAX_TOKENS: i64 = 4096;

chaski_api::wire! {
    /// How chats are turned into prompts before they are sent.
    pub enum PromptFormat {
        /// The prompt format of Meta's Llama models.
        Llama = "llama",
    }
}

/// The provider, with its chats turned into prompts if `format` says how.
pub(crate) fn rendered(
    provider: Arc<dyn InferenceProvider>,
    format: Option<PromptFormat>,
    max_tokens: Option<i64>,
) -> Arc<dyn InferenceProvider> {
    match format {
        None => provider,
        Some(PromptFormat::Llama) => {
            Arc::new(RawPrompt { provider, max_tokens: max_tokens.unwrap_or(MAX_TOKENS) })
        }
    }
}

struct RawPrompt {
    provider: Arc<dyn InferenceProvider>,
    max_tokens: i64,
}

#[async_trait]
impl Inference for RawPrompt {
    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        let rendered = request::render(request, self.max_tokens, &request::today())?;
        let reading = rendered.reading;
        match self.provider.completion(cx, rendered.request).await? {
            Reply::Full(completion) => {
                let completion = answer::whole(completion.into_value()?, &reading);
                Ok(Reply::Full(Payload::Value(completion)))
            }
            Reply::Stream(events) => Ok(Reply::Stream(stream::chunks(events, reading))),
        }
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        self.provider.completion(cx, request).await
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        self.provider.embeddings(cx, request).await
    }

    async fn rerank(&self, cx: &Context, request: RerankRequest) -> Result<RerankReply> {
        self.provider.rerank(cx, request).await
    }
}

#[async_trait]
impl Hosts<Model> for RawPrompt {
    async fn on_register(&self, model: Model) -> Result<Model> {
        self.provider.on_register(model).await
    }

    async fn on_unregister(&self, model: &Model) -> Result<()> {
        self.provider.on_unregister(model).await
    }

    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        self.provider.offered().await
    }
}

#[async_trait]
impl Lifecycle for RawPrompt {
    async fn check(&self) -> Result<()> {
        self.provider.check().await
    }

    fn health(&self) -> ProviderHealth {
        self.provider.health()
    }

    async fn shutdown(&self) {
        self.provider.shutdown().await;
    }
}
