//! The contract of inference.

use crate::{Context, Hosts, Lifecycle, Payload, Reply, TokenCounter};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    anthropic::{CountTokensRequest, MessagesEvent, MessagesRequest, MessagesResponse},
    models::Model,
    openai::{
        ChatChunk, ChatCompletion, ChatRequest, EmbeddingList, EmbeddingRequest, RerankList,
        RerankRequest, TextCompletion, TextCompletionRequest,
    },
};

pub type ChatReply = Reply<ChatCompletion, ChatChunk>;
pub type TextReply = Reply<TextCompletion, TextCompletion>;
pub type EmbeddingReply = Payload<EmbeddingList>;
pub type RerankReply = Payload<RerankList>;
pub type MessagesReply = Reply<MessagesResponse, MessagesEvent>;

/// Generating text and vectors, and ranking, in OpenAI's shapes. Providers, routers and decorators are alike.
///
/// A request for a stream (`"stream": true`) is answered with `Reply::Stream`, any other with
/// `Reply::Full`. The events of a stream do not include `[DONE]`. In a stream, `usage` comes in a
/// last event of its own, with empty `choices`, if the request asks for it. The numbers in the
/// vectors are written as `encoding_format` says. Dropping a reply or a stream cancels the work.
#[async_trait]
pub trait Inference: Send + Sync {
    /// What this decorates: it does everything that is not done here.
    fn inner(&self) -> Option<&dyn Inference> {
        None
    }

    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        match self.inner() {
            Some(inner) => inner.chat(cx, request).await,
            None => Err(lacking("chat completions")),
        }
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        match self.inner() {
            Some(inner) => inner.completion(cx, request).await,
            None => Err(lacking("completions")),
        }
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        match self.inner() {
            Some(inner) => inner.embeddings(cx, request).await,
            None => Err(lacking("embeddings")),
        }
    }

    /// Scores documents. Of the request a provider sees `documents` as texts and no
    /// `return_documents`; of its answer the scores and the usage count. It may answer in any order,
    /// and with all documents or with the `top_n` best. The router does the rest for all providers,
    /// and answers for embedding models.
    async fn rerank(&self, cx: &Context, request: RerankRequest) -> Result<RerankReply> {
        match self.inner() {
            Some(inner) => inner.rerank(cx, request).await,
            None => Err(lacking("rerank")),
        }
    }

    /// Whether `messages` answers requests: the upstream speaks Anthropic's Messages API itself.
    fn speaks_messages(&self) -> bool {
        self.inner().is_some_and(Inference::speaks_messages)
    }

    /// The answer of an upstream that speaks Anthropic's Messages API itself, as it came. Nothing
    /// from the others: the request is then translated, and asked for by `chat`.
    ///
    /// `model` is the name of the model, in place of the one in the request.
    async fn messages(
        &self,
        cx: &Context,
        model: &str,
        request: &MessagesRequest,
    ) -> Result<Option<MessagesReply>> {
        match self.inner() {
            Some(inner) => inner.messages(cx, model, request).await,
            None => Ok(None),
        }
    }

    /// How many tokens the prompt of a request in Anthropic's form has, where the upstream counts
    /// them itself. `model` is as in `messages`.
    async fn message_tokens(
        &self,
        cx: &Context,
        model: &str,
        request: &CountTokensRequest,
    ) -> Result<Option<i64>> {
        match self.inner() {
            Some(inner) => inner.message_tokens(cx, model, request).await,
            None => Ok(None),
        }
    }

    /// How many tokens the prompt of a chat has, where the provider can tell without answering it.
    async fn chat_tokens(&self, cx: &Context, request: &ChatRequest) -> Result<Option<i64>> {
        match self.inner() {
            Some(inner) => inner.chat_tokens(cx, request).await,
            None => Ok(None),
        }
    }

    /// What counts the tokens of texts as the embedding model `model` reads them, where the provider
    /// has its vocabulary.
    async fn token_counter(&self, cx: &Context, model: &str) -> Result<Option<TokenCounter>> {
        match self.inner() {
            Some(inner) => inner.token_counter(cx, model).await,
            None => Ok(None),
        }
    }
}

fn lacking(what: &str) -> Error {
    Error::unsupported(format!("this provider does not support {what}"))
}

/// What an inference provider must be.
pub trait InferenceProvider: Inference + Hosts<Model> + Lifecycle {}
impl<T: Inference + Hosts<Model> + Lifecycle> InferenceProvider for T {}
