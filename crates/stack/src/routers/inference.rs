//! Inference: the registered model says which provider generates.

use crate::{Routed, RoutingTable};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    models::{Model, ModelType},
    openai::{ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, EmbeddingReply, Inference, Reply, TextReply, until_error,
};
use std::sync::Arc;

/// Hands each request to the provider of its model, under the provider's name for it.
pub(crate) struct InferenceRouter {
    models: Arc<RoutingTable<Model>>,
}

impl InferenceRouter {
    pub(crate) fn new(models: Arc<RoutingTable<Model>>) -> Self {
        Self { models }
    }

    async fn route(&self, id: &str, wanted: ModelType) -> Result<Routed<Model>> {
        let model = self.models.get(id).await?;
        let wrong = match (wanted, model.model_type) {
            (ModelType::Llm, ModelType::Embedding) => {
                "an embedding model and does not support chat completions"
            }
            (ModelType::Embedding, ModelType::Llm) => {
                "an LLM model and does not support embeddings"
            }
            (ModelType::Llm, ModelType::Llm) | (ModelType::Embedding, ModelType::Embedding) => {
                return self.models.route_to(model).await;
            }
        };
        Err(Error::invalid(format!("Model '{id}' is {wrong}")).with_param("model"))
    }
}

fn guarded<F, E: Send + 'static>(reply: Reply<F, E>) -> Reply<F, E> {
    match reply {
        Reply::Stream(events) => Reply::Stream(until_error(events)),
        Reply::Full(answer) => Reply::Full(answer),
    }
}

#[async_trait]
impl Inference for InferenceRouter {
    async fn chat(&self, cx: &Context, mut request: ChatRequest) -> Result<ChatReply> {
        let routed = self.route(request.model(), ModelType::Llm).await?;
        request.set_model(&routed.resource.provider_resource_id);
        routed.provider.chat(&routed.context(cx), request).await.map(guarded)
    }

    async fn completion(
        &self,
        cx: &Context,
        mut request: TextCompletionRequest,
    ) -> Result<TextReply> {
        let routed = self.route(request.model(), ModelType::Llm).await?;
        request.set_model(&routed.resource.provider_resource_id);
        routed.provider.completion(&routed.context(cx), request).await.map(guarded)
    }

    async fn embeddings(
        &self,
        cx: &Context,
        mut request: EmbeddingRequest,
    ) -> Result<EmbeddingReply> {
        let routed = self.route(request.model(), ModelType::Embedding).await?;
        request.set_model(&routed.resource.provider_resource_id);
        routed.provider.embeddings(&routed.context(cx), request).await
    }
}
