//! Inference in OpenAI's form. Each path also answers under `/v1/openai`.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Face, Method,
    openai::{
        ChatChunk, ChatCompletion, ChatRequest, EmbeddingList, EmbeddingRequest, TextCompletion,
        TextCompletionRequest,
    },
};

/// What stands before an OpenAI path for clients of the older mount.
pub const OLDER_MOUNT: &str = "/v1/openai";

const fn post(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    streams: bool,
) -> EndpointSpec {
    let spec = EndpointSpec::new(Api::Inference, Method::Post, path, operation, summary);
    EndpointSpec { streams, face: Face::OpenAi, ..spec }
}

pub struct CreateChatCompletion;
impl Endpoint for CreateChatCompletion {
    type Request = ChatRequest;
    type Response = ChatCompletion;
    type Event = ChatChunk;
    const SPEC: EndpointSpec = post(
        "/v1/chat/completions",
        "openai_chat_completion",
        "Generates the next message of a chat.",
        true,
    );
}

pub struct CreateCompletion;
impl Endpoint for CreateCompletion {
    type Request = TextCompletionRequest;
    type Response = TextCompletion;
    type Event = TextCompletion;
    const SPEC: EndpointSpec =
        post("/v1/completions", "openai_completion", "Continues a text.", true);
}

pub struct CreateEmbeddings;
impl Endpoint for CreateEmbeddings {
    type Request = EmbeddingRequest;
    type Response = EmbeddingList;
    type Event = ();
    const SPEC: EndpointSpec =
        post("/v1/embeddings", "openai_embeddings", "Turns texts into vectors.", false);
}

pub const ALL: &[Described] = &[
    Described::of::<CreateChatCompletion>(),
    Described::of::<CreateCompletion>(),
    Described::of::<CreateEmbeddings>(),
];
