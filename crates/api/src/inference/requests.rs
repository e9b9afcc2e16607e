//! The requests and answers of inference.

use super::{
    CompletionMessage, EmbeddingContents, InterleavedContent, LogProbConfig, Message,
    ResponseFormat, SamplingParams, StopReason, ToolCallParseStatus, ToolChoice, ToolConfig,
    ToolDefinition, ToolPromptFormat,
};
use serde_json::{Number, Value};
use std::collections::BTreeMap;

crate::wire! {
    /// A chat with a model.
    pub struct ChatCompletionRequest {
        /// The registered model.
        pub model_id: String,
        /// The chat so far.
        pub messages: Vec<Message>,
        /// How text is generated.
        pub sampling_params: Option<SamplingParams>,
        /// The form that the answer must have.
        pub response_format: Option<ResponseFormat>,
        /// The tools that the model may call.
        pub tools: Option<Vec<ToolDefinition>>,
        /// Whether the model calls tools; `tool_config` is the newer form.
        pub tool_choice: Option<ToolChoice>,
        /// How tool calls are written in a prompt; `tool_config` is the newer form.
        pub tool_prompt_format: Option<ToolPromptFormat>,
        /// Whether the answer comes as a stream of events.
        pub stream: Option<bool> = Some(false),
        /// Asks for the probabilities of the tokens.
        pub logprobs: Option<LogProbConfig>,
        /// How tools are used.
        pub tool_config: Option<ToolConfig>,
    }

    /// A continuation of a text by a model.
    pub struct CompletionRequest {
        /// The registered model.
        pub model_id: String,
        /// The text to continue.
        pub content: InterleavedContent,
        /// How text is generated.
        pub sampling_params: Option<SamplingParams>,
        /// The form that the answer must have.
        pub response_format: Option<ResponseFormat>,
        /// Whether the answer comes as a stream of events.
        pub stream: Option<bool> = Some(false),
        /// Asks for the probabilities of the tokens.
        pub logprobs: Option<LogProbConfig>,
    }

    /// What to do with a text that is too long for the model.
    pub enum TextTruncation {
        /// Refuse it.
        None = "none",
        /// Cut its start.
        Start = "start",
        /// Cut its end.
        End = "end",
    }

    /// What the vectors are for.
    pub enum EmbeddingTaskType {
        /// To search with.
        Query = "query",
        /// To be found.
        Document = "document",
    }

    /// Vectors of texts.
    pub struct EmbeddingsRequest {
        /// The registered model.
        pub model_id: String,
        /// The texts.
        pub contents: EmbeddingContents,
        /// What to do with a text that is too long for the model.
        pub text_truncation: Option<TextTruncation> = Some(TextTruncation::None),
        /// The length of the vectors, for models that can shorten them.
        pub output_dimension: Option<i64>,
        /// What the vectors are for, for models that tell the two apart.
        pub task_type: Option<EmbeddingTaskType>,
    }

    /// A vector per text, in the order of the request.
    pub struct EmbeddingsResponse {
        /// The vectors.
        pub embeddings: Vec<Vec<f64>>,
    }

    /// A number about the request, such as its tokens.
    pub struct MetricInResponse {
        /// `prompt_tokens`, `completion_tokens`, `total_tokens`, or `cost` for models that have
        /// one.
        pub metric: String,
        /// The number.
        pub value: Number,
        /// Its unit.
        pub unit: Option<String>,
    }

    /// The log probabilities of the likely tokens at one position.
    pub struct TokenLogProbs {
        /// By the text of the token.
        pub logprobs_by_token: BTreeMap<String, f64>,
    }

    /// The constant `role` of an answer.
    pub enum AssistantTag { Assistant = "assistant" }

    /// The message of an answer.
    pub struct AnswerMessage {
        /// Always `assistant`.
        pub role: AssistantTag = AssistantTag::Assistant,
        /// What the model says.
        pub content: InterleavedContent,
        /// Why generation ended.
        pub stop_reason: StopReason,
        /// The tools that the model calls.
        pub tool_calls: Option<Vec<super::ToolCall>> = Some(Vec::new()),
    }

    /// The answer of a chat.
    pub struct ChatCompletionResponse {
        /// The tokens used.
        pub metrics: Option<Vec<MetricInResponse>>,
        /// The message of the model.
        pub completion_message: AnswerMessage,
        /// Log probabilities by position, if asked for.
        pub logprobs: Option<Vec<TokenLogProbs>>,
    }

    /// What an event of a chat stream is.
    pub enum ChatEventType {
        /// The first.
        Start = "start",
        /// The last.
        Complete = "complete",
        /// In between.
        Progress = "progress",
    }

    /// More text.
    pub struct TextDelta {
        /// The text.
        pub text: String,
    }

    /// More of a tool call.
    pub struct ToolCallDelta {
        /// A text while the call is under way, the whole call once it is complete.
        pub tool_call: Value,
        /// How far it is.
        pub parse_status: ToolCallParseStatus,
    }

    /// What an event adds.
    pub union ContentDelta by "type" {
        Text(TextDelta) = "text",
        ToolCall(ToolCallDelta) = "tool_call",
    }

    /// The payload of an event of a chat stream.
    pub struct ChatEvent {
        /// What the event is.
        pub event_type: ChatEventType,
        /// What it adds.
        pub delta: ContentDelta,
        /// Log probabilities by position, if asked for.
        pub logprobs: Option<Vec<TokenLogProbs>>,
        /// Why generation ended, once it has.
        pub stop_reason: Option<StopReason>,
    }

    /// An event of a chat stream.
    pub struct ChatStreamChunk {
        /// The tokens used, with the last event.
        pub metrics: Option<Vec<MetricInResponse>>,
        /// The payload.
        pub event: ChatEvent,
    }

    /// The answer of a completion.
    pub struct CompletionResponse {
        /// The tokens used.
        pub metrics: Option<Vec<MetricInResponse>>,
        /// The continuation.
        pub content: String,
        /// Why generation ended.
        pub stop_reason: StopReason,
        /// Log probabilities by position, if asked for.
        pub logprobs: Option<Vec<TokenLogProbs>>,
    }

    /// An event of a completion stream.
    pub struct CompletionStreamChunk {
        /// The tokens used, with the last event.
        pub metrics: Option<Vec<MetricInResponse>>,
        /// More text.
        pub delta: String,
        /// Why generation ended, once it has.
        pub stop_reason: Option<StopReason>,
        /// Log probabilities by position, if asked for.
        pub logprobs: Option<Vec<TokenLogProbs>>,
    }
}

impl From<AnswerMessage> for CompletionMessage {
    fn from(answer: AnswerMessage) -> Self {
        Self {
            content: answer.content,
            stop_reason: answer.stop_reason,
            tool_calls: answer.tool_calls,
        }
    }
}
