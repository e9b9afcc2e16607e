//! Answers, and the events of a stream.

use serde_json::{Map, Value};

crate::wire! {
    /// A text of the model.
    pub struct TextBlock {
        /// The text.
        pub text: String,
    }

    /// What the model thought before.
    pub struct ThinkingBlock {
        /// The thoughts.
        pub thinking: String,
        /// Anthropic's signature; empty with other models.
        pub signature: String,
    }

    /// Encrypted thoughts.
    pub struct RedactedThinkingBlock {
        /// The encrypted thoughts.
        pub data: String,
    }

    /// A call of a tool by the model.
    pub struct ToolUseBlock {
        /// The id that the result of the tool refers to.
        pub id: String,
        /// The tool.
        pub name: String,
        /// The arguments by name.
        pub input: Map<String, Value>,
    }

    /// A part of an answer.
    pub union ContentBlock by "type" {
        Text(TextBlock) = "text",
        Thinking(ThinkingBlock) = "thinking",
        RedactedThinking(RedactedThinkingBlock) = "redacted_thinking",
        ToolUse(ToolUseBlock) = "tool_use",
    }

    /// Why an answer ended.
    pub enum MessagesStopReason {
        /// The model was done.
        EndTurn = "end_turn",
        /// The limit of tokens was reached.
        MaxTokens = "max_tokens",
        /// One of the texts came that end the generation.
        StopSequence = "stop_sequence",
        /// The model calls tools.
        ToolUse = "tool_use",
        /// The upstream pauses a long turn.
        PauseTurn = "pause_turn",
        /// The model refuses.
        Refusal = "refusal",
    }

    /// The tokens of a request.
    pub struct MessagesUsage {
        /// Tokens of the prompt, without those that a cache held.
        pub input_tokens: i64 = 0,
        /// Tokens that were put into a cache.
        pub cache_creation_input_tokens: Option<i64>,
        /// Tokens that a cache held.
        pub cache_read_input_tokens: Option<i64>,
        /// Tokens generated.
        pub output_tokens: i64 = 0,
    }

    /// What an answer is.
    pub enum MessageTag {
        /// A message.
        Message = "message",
    }

    /// Whose message it is.
    pub enum MessageRole {
        /// The model's.
        Assistant = "assistant",
    }

    /// A message of the model.
    pub struct MessagesResponse {
        /// An id, unique to the request.
        pub id: String,
        /// What it is.
        pub kind as "type": MessageTag = MessageTag::Message,
        /// Whose it is.
        pub role: MessageRole = MessageRole::Assistant,
        /// The model that the request named.
        pub model: String,
        /// Its parts.
        pub content: Vec<ContentBlock>,
        /// Why it ended.
        pub stop_reason: Option<MessagesStopReason>,
        /// The text that ended it, if one did and the upstream says which.
        pub stop_sequence: Option<String>,
        /// The tokens used.
        pub usage: MessagesUsage,
    }

    /// The message begins.
    pub struct MessageStart {
        /// The message, without its parts.
        pub message: MessagesResponse,
    }

    /// A part of the message begins.
    pub struct ContentBlockStart {
        /// Which part, from 0.
        pub index: i64,
        /// The part, empty.
        pub content_block: ContentBlock,
    }

    /// More of a text.
    pub struct TextBlockDelta {
        /// What is added.
        pub text: String,
    }

    /// More of the thoughts.
    pub struct ThinkingBlockDelta {
        /// What is added.
        pub thinking: String,
    }

    /// The signature of the thoughts.
    pub struct SignatureDelta {
        /// What is added.
        pub signature: String,
    }

    /// More of the arguments of a call.
    pub struct InputJsonDelta {
        /// A piece of JSON text.
        pub partial_json: String,
    }

    /// What is added to a part.
    pub union BlockDelta by "type" {
        Text(TextBlockDelta) = "text_delta",
        Thinking(ThinkingBlockDelta) = "thinking_delta",
        Signature(SignatureDelta) = "signature_delta",
        InputJson(InputJsonDelta) = "input_json_delta",
    }

    /// A part of the message goes on.
    pub struct ContentBlockDelta {
        /// Which part, from 0.
        pub index: i64,
        /// What is added.
        pub delta: BlockDelta,
    }

    /// A part of the message is complete.
    pub struct ContentBlockStop {
        /// Which part, from 0.
        pub index: i64,
    }

    /// How the message ended.
    pub struct MessageEnd {
        /// Why it ended.
        pub stop_reason: Option<MessagesStopReason>,
        /// The text that ended it, if one did and the upstream says which.
        pub stop_sequence: Option<String>,
    }

    /// The message has all its parts.
    pub struct MessageDelta {
        /// How it ended.
        pub delta: MessageEnd,
        /// The tokens used, in all.
        pub usage: MessagesUsage,
    }

    /// The message is complete.
    pub struct MessageStop {}

    /// Nothing has happened.
    pub struct Ping {}

    /// An event of a message that comes as a stream.
    pub union MessagesEvent by "type" {
        MessageStart(MessageStart) = "message_start",
        ContentBlockStart(ContentBlockStart) = "content_block_start",
        ContentBlockDelta(ContentBlockDelta) = "content_block_delta",
        ContentBlockStop(ContentBlockStop) = "content_block_stop",
        MessageDelta(MessageDelta) = "message_delta",
        MessageStop(MessageStop) = "message_stop",
        Ping(Ping) = "ping",
    }
}
