//! Inference in Llama Stack's form.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Method,
    inference::{
        ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk, CompletionRequest,
        CompletionResponse, CompletionStreamChunk, EmbeddingsRequest, EmbeddingsResponse,
    },
};

const fn post(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    streams: bool,
) -> EndpointSpec {
    let spec = EndpointSpec::new(Api::Inference, Method::Post, path, operation, summary);
    EndpointSpec { streams, ..spec }
}

pub struct ChatCompletion;
impl Endpoint for ChatCompletion {
    type Request = ChatCompletionRequest;
    type Response = ChatCompletionResponse;
    type Event = ChatStreamChunk;
    const SPEC: EndpointSpec = post(
        "/v1/inference/chat-completion",
        "chat_completion",
        "Generates the next message of a chat.",
        true,
    );
}

pub struct Completion;
impl Endpoint for Completion {
    type Request = CompletionRequest;
    type Response = CompletionResponse;
    type Event = CompletionStreamChunk;
    const SPEC: EndpointSpec =
        post("/v1/inference/completion", "completion", "Continues a text.", true);
}

pub struct Embeddings;
impl Endpoint for Embeddings {
    type Request = EmbeddingsRequest;
    type Response = EmbeddingsResponse;
    type Event = ();
    const SPEC: EndpointSpec =
        post("/v1/inference/embeddings", "embeddings", "Turns texts into vectors.", false);
}

pub const ALL: &[Described] = &[
    Described::of::<ChatCompletion>(),
    Described::of::<Completion>(),
    Described::of::<Embeddings>(),
];
