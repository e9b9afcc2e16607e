//! Inference in OpenAI's form. Each path also answers under `/v1/openai`.

use crate::{
    Api, EndpointSpec, Face,
    openai::{
        ChatChunk, ChatCompletion, ChatRequest, EmbeddingList, EmbeddingRequest, TextCompletion,
        TextCompletionRequest,
    },
};

/// What stands before an OpenAI path for clients of the older mount.
pub const OLDER_MOUNT: &str = "/v1/openai";

endpoints! {
    like EndpointSpec { face: Face::OpenAi, ..EndpointSpec::of(Api::Inference) };

    CreateChatCompletion(ChatRequest) -> ChatCompletion | ChatChunk =
        Post "/v1/chat/completions", "openai_chat_completion",
        "Generates the next message of a chat.";

    CreateCompletion(TextCompletionRequest) -> TextCompletion | TextCompletion =
        Post "/v1/completions", "openai_completion", "Continues a text.";

    CreateEmbeddings(EmbeddingRequest) -> EmbeddingList =
        Post "/v1/embeddings", "openai_embeddings", "Turns texts into vectors.";
}
