//! A door for the fuzz targets, open with the feature `fuzzing`.

use crate::{
    faces::{anthropic_messages, llama_stack_chat as chat},
    json,
};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Result, Wire,
    anthropic::MessagesRequest,
    inference::ChatCompletionRequest,
    models::{Model, ModelTag, ModelType},
    openai::ChatRequest,
};
use chaski_provider::{ChatReply, Context, Inference, Payload, Reply};
use futures_util::{StreamExt, stream};
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("it needs nothing but memory"));

/// Answers with texts that were made before.
struct Scripted(Vec<Bytes>);

#[async_trait]
impl Inference for Scripted {
    async fn chat(&self, _: &Context, request: ChatRequest) -> Result<ChatReply> {
        let texts = self.0.clone();
        Ok(if request.stream() {
            Reply::Stream(stream::iter(texts).map(Payload::Raw).map(Ok).boxed())
        } else {
            Reply::Full(Payload::Raw(texts.into_iter().next().unwrap_or_default()))
        })
    }
}

/// Asks for a chat by Llama Stack's face; the upstream answers with `texts`. What comes out is JSON,
/// and nothing comes after an error.
pub fn llama_stack_chat(request: &[u8], texts: Vec<Bytes>) {
    let request = json::parse(request, 64).ok().map(ChatCompletionRequest::from_json);
    let Some(Ok(request)) = request else { return };
    let model = Model {
        identifier: "m".to_owned(),
        provider_resource_id: "m".to_owned(),
        provider_id: "p".to_owned(),
        tag: ModelTag::Model,
        metadata: serde_json::Map::new(),
        model_type: ModelType::Llm,
    };
    let (upstream, cx) = (Scripted(texts), Context::default());
    RUNTIME.block_on(async { hold(chat(&upstream, &model, &cx, request).await).await });
}

/// Asks for a message by Anthropic's face, as [`llama_stack_chat`] does by Llama Stack's.
pub fn anthropic_message(request: &[u8], texts: Vec<Bytes>) {
    let request = json::parse(request, 64).ok().map(MessagesRequest::from_json);
    let Some(Ok(request)) = request else { return };
    let (upstream, cx) = (Scripted(texts), Context::default());
    RUNTIME.block_on(async { hold(anthropic_messages(&upstream, &cx, request).await).await });
}

/// Writes the whole answer.
async fn hold<T: Wire, E: Wire>(reply: Result<Reply<T, E>>) {
    match reply {
        Err(error) => assert!(!error.message.is_empty()),
        Ok(Reply::Full(answer)) => drop(answer.into_bytes()),
        Ok(Reply::Stream(events)) => {
            let events: Vec<_> = events.collect().await;
            let failed = events.iter().position(Result::is_err);
            assert!(failed.is_none_or(|at| at + 1 == events.len()));
            events.into_iter().flatten().for_each(|event| drop(event.into_bytes()));
        }
    }
}
