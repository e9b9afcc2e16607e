//! Inference in Llama Stack's form.

use crate::{
    Api, EndpointSpec,
    inference::{
        ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk, CompletionRequest,
        CompletionResponse, CompletionStreamChunk, EmbeddingsRequest, EmbeddingsResponse,
    },
};

endpoints! {
    like EndpointSpec::of(Api::Inference);

    ChatCompletion(ChatCompletionRequest) -> ChatCompletionResponse | ChatStreamChunk =
        Post "/v1/inference/chat-completion", "chat_completion",
        "Generates the next message of a chat.";

    Completion(CompletionRequest) -> CompletionResponse | CompletionStreamChunk =
        Post "/v1/inference/completion", "completion", "Continues a text.";

    Embeddings(EmbeddingsRequest) -> EmbeddingsResponse =
        Post "/v1/inference/embeddings", "embeddings", "Turns texts into vectors.";
}
