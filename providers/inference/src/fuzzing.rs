//! A door for the fuzz targets, open with the feature `fuzzing`: chats with upstreams that do not
//! speak OpenAI's API, whose answers are translated.

use crate::{
    anthropic, bedrock, ollama, passthrough,
    raw_prompt::{PromptFormat, rendered},
};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Result, Wire,
    models::Model,
    openai::{ChatRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, Hosts, Inference, InferenceProvider, Lifecycle, Payload, Reply, TextReply,
};
use chaski_upstream::fuzzing::answered;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_time().build().expect("it needs nothing but memory")
});

/// How many answers or events came, and the message of the error that ended them.
pub type Outcome = (usize, Option<String>);

/// Chats with Anthropic, which answers with these pieces.
pub fn anthropic_chat(request: &[u8], pieces: Vec<Bytes>) -> Outcome {
    let response = answered("text/event-stream", pieces);
    held(request, |request| anthropic::fuzzing::chat(request, response))
}

/// Chats with Bedrock, which answers with these pieces.
pub fn bedrock_chat(request: &[u8], pieces: Vec<Bytes>) -> Outcome {
    let response = answered(bedrock::fuzzing::MEDIA_TYPE, pieces);
    held(request, |request| bedrock::fuzzing::chat(request, response))
}

/// Chats with Ollama by its own API, which answers with these pieces.
pub fn ollama_chat(request: &[u8], pieces: Vec<Bytes>) -> Outcome {
    let response = answered("application/x-ndjson", pieces);
    held(request, |request| ollama::fuzzing::chat(request, response))
}

/// Chats with a Llama Stack server by its own routes, which answers with these pieces.
pub fn llama_stack_chat(request: &[u8], pieces: Vec<Bytes>) -> Outcome {
    let response = answered("text/event-stream", pieces);
    held(request, |request| passthrough::fuzzing::chat(request, response))
}

/// Chats with a server that only continues text, by prompts of Llama models. It answers with these
/// completions in OpenAI's form.
pub fn raw_prompt_chat(request: &[u8], completions: Vec<Bytes>) -> Outcome {
    let provider: Arc<dyn InferenceProvider> = Arc::new(Scripted(completions));
    let provider = rendered(provider, Some(PromptFormat::Llama), None);
    held(request, |request| async move { provider.chat(&Context::default(), request).await })
}

/// Continues texts with completions that were made before.
struct Scripted(Vec<Bytes>);

#[async_trait]
impl Inference for Scripted {
    async fn completion(&self, _: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        let texts = self.0.clone();
        Ok(if request.stream() {
            Reply::Stream(stream::iter(texts).map(Payload::Raw).map(Ok).boxed())
        } else {
            Reply::Full(Payload::Raw(texts.into_iter().next().unwrap_or_default()))
        })
    }
}

impl Hosts<Model> for Scripted {}
impl Lifecycle for Scripted {}

/// Puts the chat, if the request is one. What comes out is JSON objects, and nothing comes after an
/// error.
fn held<F: Future<Output = Result<ChatReply>>>(
    request: &[u8],
    chat: impl FnOnce(ChatRequest) -> F,
) -> Outcome {
    let request = serde_json::from_slice(request).ok().map(ChatRequest::from_json);
    let Some(Ok(request)) = request else { return (0, None) };
    RUNTIME.block_on(async {
        let mut events = match chat(request).await {
            Ok(Reply::Stream(events)) => events,
            Ok(Reply::Full(answer)) => {
                is_object(&answer.into_bytes());
                return (1, None);
            }
            Err(error) => return (0, Some(told(error))),
        };
        let mut count = 0;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => is_object(&event.into_bytes()),
                Err(error) => {
                    assert!(events.next().await.is_none(), "something comes after an error");
                    return (count, Some(told(error)));
                }
            }
            count += 1;
        }
        (count, None)
    })
}

fn is_object(text: &[u8]) {
    let object: serde_json::Result<Map<String, Value>> = serde_json::from_slice(text);
    assert!(object.is_ok(), "{:?}", String::from_utf8_lossy(text));
}

fn told(error: chaski_api::Error) -> String {
    assert!(!error.message.is_empty());
    error.message
}
