//! Requests.

use super::content::{InputMessage, TextInput, TextOr};
use crate::{
    openai::body::{Field, Kind, open_body},
    wire::{AtLeast, Between},
};
use serde_json::{Map, Value};

/// The most messages, tools or blocks of a list.
const MANY: usize = 100_000;

open_body! {
    /// The next message of a chat is wanted (Anthropic API, "Create a Message").
    MessagesRequest as MessagesBody, &[
        Field::required("model", Kind::Text, ""),
        Field::required("messages", Kind::List(MANY), ""),
        Field::required("max_tokens", Kind::Integer(1, 10_000_000), ""),
        Field::optional("stream", Kind::Bool, ""),
        Field::optional("temperature", Kind::Number(0.0, 1.0), ""),
        Field::optional("top_p", Kind::Number(0.0, 1.0), ""),
        Field::optional("top_k", Kind::Integer(0, 1_000_000), ""),
        Field::optional("stop_sequences", Kind::List(MANY), ""),
        Field::optional("tools", Kind::List(MANY), ""),
    ]
}

open_body! {
    /// The tokens of a request are to be counted (Anthropic API, "Count tokens in a Message").
    CountTokensRequest as CountTokensBody, &[
        Field::required("model", Kind::Text, ""),
        Field::required("messages", Kind::List(MANY), ""),
        Field::optional("tools", Kind::List(MANY), ""),
    ]
}

impl CountTokensRequest {
    /// The request whose tokens are to be counted; the limit of its answer means nothing.
    pub fn into_messages(mut self) -> MessagesRequest {
        self.body.insert("max_tokens".to_owned(), 1.into());
        MessagesRequest { body: self.body }
    }
}

crate::wire! {
    /// A tool that the model may call.
    pub struct MessagesTool {
        /// Its name.
        pub name: String,
        /// What it does.
        pub description: Option<String>,
        /// Its parameters, as a JSON schema. The tools of Anthropic's own models have none, and only
        /// these models know them.
        pub input_schema: Option<Map<String, Value>>,
        /// `custom`, or the kind of a tool of Anthropic's own models.
        pub kind as "type": Option<String>,
        /// Whether the arguments must follow the schema.
        pub strict: Option<bool>,
    }

    /// The model decides whether it calls tools.
    pub struct AutoChoice {
        /// Whether at most one call may come.
        pub disable_parallel_tool_use: Option<bool>,
    }

    /// One tool must be called.
    pub struct NamedChoice {
        /// Its name.
        pub name: String,
        /// Whether at most one call may come.
        pub disable_parallel_tool_use: Option<bool>,
    }

    /// No tool may be called.
    pub struct NoneChoice {}

    /// Whether the model calls tools.
    pub union MessagesToolChoice by "type" {
        Auto(AutoChoice) = "auto",
        Any(AutoChoice) = "any",
        Tool(NamedChoice) = "tool",
        None(NoneChoice) = "none",
    }

    /// The model thinks first, and the thoughts are shown.
    pub struct ThinkingEnabled {
        /// The most tokens of the thoughts; models outside of Anthropic set their own limit.
        pub budget_tokens: AtLeast<1024>,
        /// `omitted` leaves the text of the thoughts out.
        pub display: Option<String>,
    }

    /// The model decides how much it thinks.
    pub struct ThinkingAdaptive {
        /// `omitted` leaves the text of the thoughts out.
        pub display: Option<String>,
    }

    /// No thoughts are shown.
    pub struct ThinkingDisabled {}

    /// Whether thoughts come before the answer.
    pub union Thinking by "type" {
        Enabled(ThinkingEnabled) = "enabled",
        Adaptive(ThinkingAdaptive) = "adaptive",
        Disabled(ThinkingDisabled) = "disabled",
    }

    /// The answer follows a JSON schema.
    pub struct JsonSchemaOutput {
        /// The schema.
        pub schema: Map<String, Value>,
    }

    /// The form of the answer.
    pub union OutputFormat by "type" {
        JsonSchema(JsonSchemaOutput) = "json_schema",
    }

    /// How thoroughly the model works.
    pub enum Effort {
        /// As fast as it can.
        Low = "low",
        /// In between.
        Medium = "medium",
        /// Thoroughly.
        High = "high",
        /// More thoroughly, where the model can.
        XHigh = "xhigh",
        /// As thoroughly as it can.
        Max = "max",
    }

    /// How the answer is made.
    pub struct OutputConfig {
        /// How thoroughly the model works.
        pub effort: Option<Effort>,
        /// The form of the answer.
        pub format: Option<OutputFormat>,
    }

    /// About the request.
    pub struct MessagesMetadata {
        /// The end user, for the upstream's abuse detection.
        pub user_id: Option<String>,
    }

    /// The body of a request for a message. A model of Anthropic takes more than that.
    pub struct MessagesBody {
        /// The registered model.
        pub model: String,
        /// The chat so far.
        pub messages: Vec<InputMessage>,
        /// The most tokens to generate.
        pub max_tokens: Between<1, 10_000_000>,
        /// What the model is told before the chat.
        pub system: Option<TextOr<TextInput>>,
        /// Whether the answer comes as a stream of events.
        pub stream: Option<bool>,
        /// 0 always takes the most likely token; 1 is the most.
        pub temperature: Option<f64>,
        /// Only the most likely tokens with this total probability.
        pub top_p: Option<f64>,
        /// Only so many of the most likely tokens.
        pub top_k: Option<AtLeast<0>>,
        /// Texts that end the generation.
        pub stop_sequences: Option<Vec<String>>,
        /// The tools that the model may call.
        pub tools: Option<Vec<MessagesTool>>,
        /// Whether the model calls tools.
        pub tool_choice: Option<MessagesToolChoice>,
        /// Whether thoughts come before the answer.
        pub thinking: Option<Thinking>,
        /// How the answer is made.
        pub output_config: Option<OutputConfig>,
        /// The older name of `output_config.format`.
        pub output_format: Option<OutputFormat>,
        /// About the request.
        pub metadata: Option<MessagesMetadata>,
        /// A container of Anthropic's, for models of Anthropic only.
        pub container: Option<Value>,
        /// Tool servers that Anthropic calls, for models of Anthropic only.
        pub mcp_servers: Option<Vec<Value>>,
    }

    /// The body of a request for a count of tokens.
    pub struct CountTokensBody {
        /// The registered model.
        pub model: String,
        /// The chat so far.
        pub messages: Vec<InputMessage>,
        /// What the model is told before the chat.
        pub system: Option<TextOr<TextInput>>,
        /// The tools that the model may call.
        pub tools: Option<Vec<MessagesTool>>,
        /// Whether the model calls tools.
        pub tool_choice: Option<MessagesToolChoice>,
        /// Whether thoughts come before the answer.
        pub thinking: Option<Thinking>,
    }

    /// The tokens of a request.
    pub struct TokenCount {
        /// How many the prompt has.
        pub input_tokens: i64,
    }
}
