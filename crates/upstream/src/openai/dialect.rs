//! How an upstream differs from OpenAI, as data.

use super::Rerank;

/// How an upstream differs from OpenAI's own API.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The name in messages.
    pub name: &'static str,
    /// The header that carries the key, in lower case, and what stands before the key in it.
    pub key_header: (&'static str, &'static str),
    /// The key of the provider-data header that carries the caller's own key, if one does.
    pub provider_data: Option<&'static str>,
    /// Whether the configured key is sent although the caller has one.
    pub configured_key_first: bool,
    /// Where chats go, after the base URL; `{model}` in it stands for the id of the model. Nothing
    /// if the upstream has no chats.
    pub chat_path: Option<&'static str>,
    /// The same for completions.
    pub completions_path: Option<&'static str>,
    /// The same for embeddings.
    pub embeddings_path: Option<&'static str>,
    /// Where the upstream lists its models, after the base URL; nothing if it does not.
    pub models_path: Option<&'static str>,
    /// Models whose chats go to an address of their own.
    pub model_urls: &'static [(&'static str, &'static str)],
    /// What ids of models begin with in this stack but not at the upstream.
    pub model_prefix: Option<&'static str>,
    /// What the ids of the models begin with whose chats take `max_completion_tokens` only.
    pub completion_tokens_models: &'static [&'static str],
    /// Fields of requests with the names that the upstream uses for them.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Fields of requests that the upstream refuses and that are left out.
    pub left_out: &'static [&'static str],
    /// An object of the request, and the fields that the upstream takes inside of it.
    pub extension: Option<(&'static str, &'static [&'static str])>,
    /// How the upstream is told the JSON schema of an answer.
    pub json_schema: JsonSchema,
    /// How the upstream is asked for log probabilities of a chat.
    pub logprobs: Logprobs,
    /// The lowest temperature that the upstream takes; lower ones are raised to it.
    pub lowest_temperature: f64,
    /// What the upstream calls `required` as the choice of a tool.
    pub required_tool: &'static str,
    /// What a text to embed is for, if the upstream can be told: a question or a passage.
    pub embedding_task: Option<Translated>,
    /// Which end of a long text is cut off, if the upstream can be told.
    pub embedding_truncation: Option<Translated>,
    /// Whether the vendor's own service takes no addresses of images. Any other upstream is sent none
    /// in any case, so that it needs no way to the network and cannot be led to internal addresses.
    pub inline_images: bool,
    /// Whether the upstream writes vectors as numbers only; base64 is made of them here.
    pub float_vectors: bool,
    /// The header in which the upstream takes an id of the request.
    pub request_id: Option<&'static str>,
    /// How the upstream ranks documents; nothing if it does not.
    pub rerank: Option<Rerank>,
}

/// How an upstream is told the JSON schema of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonSchema {
    /// As OpenAI: `{"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}`.
    Standard,
    /// As `{"type": "json_object", "schema": ...}`.
    InJsonObject,
    /// As Text Generation Inference: `{"type": "json", "value": ...}`.
    Grammar,
    /// As a field of its own, in place of `response_format`.
    Field(&'static str),
}

/// How an upstream is asked for log probabilities of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logprobs {
    /// As OpenAI: `logprobs` switches them on, `top_logprobs` says how many.
    Standard,
    /// `logprobs` says how many.
    Count,
}

/// A field of requests that has another name and other values at the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Translated {
    pub field: &'static str,
    /// Values with those that the upstream uses for them; others are left out.
    pub values: &'static [(&'static str, &'static str)],
}

impl Dialect {
    /// OpenAI's API without additions.
    pub const OPENAI: Self = Self {
        name: "OpenAI",
        key_header: ("authorization", "Bearer "),
        provider_data: None,
        configured_key_first: false,
        chat_path: Some("/chat/completions"),
        completions_path: Some("/completions"),
        embeddings_path: Some("/embeddings"),
        models_path: Some("/models"),
        model_urls: &[],
        model_prefix: None,
        completion_tokens_models: &[],
        renamed: &[],
        left_out: &[],
        extension: None,
        json_schema: JsonSchema::Standard,
        logprobs: Logprobs::Standard,
        lowest_temperature: 0.0,
        required_tool: "required",
        embedding_task: None,
        embedding_truncation: None,
        inline_images: false,
        float_vectors: false,
        request_id: None,
        rerank: None,
    };
}
