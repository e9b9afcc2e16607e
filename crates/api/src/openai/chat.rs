//! Chat completions.

use super::{
    Body,
    body::{Field, Kind, open_body},
    tolerant,
};
use serde_json::Value;

/// The member of a request that says in Anthropic's form how the model thinks. Not part of OpenAI's
/// API.
pub const THINKING: &str = "thinking";
/// The member of a request that says how calls of tools are written in a prompt, as Llama Stack's
/// `tool_config` says it. Not part of OpenAI's API.
pub const TOOL_PROMPT_FORMAT: &str = "tool_prompt_format";
/// The member of a request that says what the system message is to the instructions for tools, as
/// Llama Stack's `tool_config` says it. Not part of OpenAI's API.
pub const SYSTEM_MESSAGE_BEHAVIOR: &str = "system_message_behavior";
/// What other faces add to requests for the providers that know it.
pub const ADDED: &[&str] = &[THINKING, TOOL_PROMPT_FORMAT, SYSTEM_MESSAGE_BEHAVIOR];
/// The member of a message with the thoughts that a model wants back as it gave them: Anthropic's
/// blocks `thinking`, with their `signature`, and `redacted_thinking`. In a stream a block comes as
/// a whole, at its end. Not part of OpenAI's API.
pub const THINKING_BLOCKS: &str = "thinking_blocks";
/// The member of a choice with the text that ended the answer, as vLLM calls it: one of the `stop` of
/// the request. Not part of OpenAI's API.
pub const STOP_REASON: &str = "stop_reason";

open_body! {
    /// A chat with a model (OpenAI API, "Create chat completion").
    ChatRequest, &[
        Field::required("model", Kind::Text, "The registered model."),
        Field::required("messages", Kind::List(100_000), "The chat so far."),
        Field::optional("stream", Kind::Bool, "Whether the answer comes as a stream of events."),
        Field::optional("stream_options", Kind::Object, "`include_usage` asks for the token counts."),
        Field::optional("max_tokens", Kind::Integer(1, 10_000_000), "The most tokens to generate."),
        Field::optional("max_completion_tokens", Kind::Integer(1, 10_000_000), "The newer name of `max_tokens`."),
        Field::optional("temperature", Kind::Number(0.0, 2.0), "0 always takes the most likely token."),
        Field::optional("top_p", Kind::Number(0.0, 1.0), "Only the most likely tokens with this total probability."),
        Field::optional("top_k", Kind::Integer(-1, 1_000_000), "Only so many of the most likely tokens."),
        Field::optional("min_p", Kind::Number(0.0, 1.0), "Only tokens with this share of the best one's probability."),
        Field::optional("n", Kind::Integer(1, 128), "How many answers."),
        Field::optional("stop", Kind::TextOrList(64), "Texts that end the generation."),
        Field::optional("seed", Kind::Integer(i64::MIN, i64::MAX), "The same seed gives the same answer."),
        Field::optional("presence_penalty", Kind::Number(-2.0, 2.0), "Above 0 makes new topics more likely."),
        Field::optional("frequency_penalty", Kind::Number(-2.0, 2.0), "Above 0 makes repetition less likely."),
        Field::optional("logit_bias", Kind::Object, "A bias by token id."),
        Field::optional("logprobs", Kind::Bool, "Asks for the log probabilities of the tokens."),
        Field::optional("top_logprobs", Kind::Integer(0, 20), "How many likely tokens per position."),
        Field::optional("tools", Kind::List(1_000), "The functions that the model may call."),
        Field::optional("tool_choice", Kind::Any, "`auto`, `none`, `required`, or one function."),
        Field::optional("parallel_tool_calls", Kind::Bool, "Whether several calls may come at once."),
        Field::optional("response_format", Kind::Object, "`text`, `json_object` or `json_schema`."),
        Field::optional("user", Kind::Text, "The end user, for the upstream's abuse detection."),
    ]
}

crate::wire! {
    /// The tokens of a request.
    pub struct Usage after tolerant::without_nulls {
        /// Tokens of the prompt.
        pub prompt_tokens: i64 = 0,
        /// Tokens generated.
        pub completion_tokens: i64 = 0,
        /// Both together.
        pub total_tokens: i64 = 0,
    }

    /// The function of a tool call. In a stream the parts come in pieces.
    pub struct FunctionCall after tolerant::call {
        /// The name.
        pub name: Option<String>,
        /// The arguments, as JSON in a string.
        pub arguments: Option<String>,
    }

    /// A call of a function by the model. In a stream the parts come in pieces.
    pub struct FunctionToolCall {
        /// Which call of the answer a piece belongs to, in a stream.
        pub index: Option<i64>,
        /// The id that the answer of the tool refers to.
        pub id: Option<String>,
        /// Always `function`.
        pub kind as "type": Option<String>,
        /// The function and its arguments.
        pub function: FunctionCall,
    }

    /// The log probability of a token.
    pub struct TopLogprob {
        /// The text of the token.
        pub token: String,
        /// Its natural log probability.
        pub logprob: f64,
        /// Its bytes, since a token may be part of a character.
        pub bytes: Option<Vec<i64>>,
    }

    /// The log probability of the chosen token, and of the likely ones at its place.
    pub struct TokenLogprob {
        /// The text of the token.
        pub token: String,
        /// Its natural log probability.
        pub logprob: f64,
        /// Its bytes, since a token may be part of a character.
        pub bytes: Option<Vec<i64>>,
        /// The likely tokens, the best first.
        pub top_logprobs: Vec<TopLogprob> = Vec::new(),
    }

    /// The log probabilities of an answer.
    pub struct ChoiceLogprobs {
        /// By position.
        pub content: Option<Vec<TokenLogprob>>,
    }

    /// The message of an answer, or in a stream what is added to it.
    pub struct ChatMessage after tolerant::message {
        /// `assistant`; in a stream only in the first event.
        pub role: Option<String>,
        /// What the model says.
        pub content: Option<String>,
        /// Why the model refuses, if it does.
        pub refusal: Option<String>,
        /// What the model thought before, from upstreams that say it.
        pub reasoning_content: Option<String>,
        /// The functions that the model calls.
        pub tool_calls: Option<Vec<FunctionToolCall>>,
    }

    /// One answer.
    pub struct ChatChoice after tolerant::without_nulls {
        /// Which answer, from 0.
        pub index: i64 = 0,
        /// The message.
        pub message: ChatMessage,
        /// The log probabilities, if asked for.
        pub logprobs: Option<ChoiceLogprobs>,
        /// `stop`, `length`, `tool_calls` or `content_filter`.
        pub finish_reason: Option<String>,
    }

    /// The answers of a chat.
    pub struct ChatCompletion after tolerant::answer {
        /// An id, unique to the request.
        pub id: String,
        /// `chat.completion`.
        pub object: String = "chat.completion".to_owned(),
        /// In seconds since 1970.
        pub created: i64 = 0,
        /// The model that answered.
        pub model: String = String::new(),
        /// One entry per answer.
        pub choices: Vec<ChatChoice>,
        /// The tokens used.
        pub usage: Option<Usage>,
    }

    /// What an event adds to one answer.
    pub struct ChatChunkChoice after tolerant::without_nulls {
        /// Which answer, from 0.
        pub index: i64 = 0,
        /// What is added.
        pub delta: ChatMessage,
        /// The log probabilities of what is added, if asked for.
        pub logprobs: Option<ChoiceLogprobs>,
        /// Why the answer ended, once it has.
        pub finish_reason: Option<String>,
    }

    /// An event of a chat stream.
    pub struct ChatChunk after tolerant::answer {
        /// An id, the same in all events of a stream.
        pub id: String = String::new(),
        /// `chat.completion.chunk`.
        pub object: String = "chat.completion.chunk".to_owned(),
        /// In seconds since 1970.
        pub created: i64 = 0,
        /// The model that answers.
        pub model: String = String::new(),
        /// Empty in the last event, which carries `usage`.
        pub choices: Vec<ChatChunkChoice> = Vec::new(),
        /// The tokens used, in the last event, if asked for.
        pub usage: Option<Usage>,
    }
}

impl ChatRequest {
    /// A request for `model` with `messages` in OpenAI's form.
    pub fn new(model: &str, messages: Vec<Value>) -> Self {
        let mut body = Body::default();
        body.insert("model".to_owned(), model.into());
        body.insert("messages".to_owned(), messages.into());
        Self { body }
    }
}

impl Usage {
    pub const fn of(prompt_tokens: i64, completion_tokens: i64) -> Self {
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens }
    }
}

impl ChatMessage {
    /// A message, or an addition to one, that says nothing.
    pub fn empty() -> Self {
        Self { role: None, content: None, refusal: None, reasoning_content: None, tool_calls: None }
    }

    pub fn text(content: impl Into<String>) -> Self {
        Self { content: Some(content.into()), ..Self::empty() }
    }
}
