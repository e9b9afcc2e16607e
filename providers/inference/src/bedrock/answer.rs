//! From Converse's answers to OpenAI's.

use super::broken;
use chaski_api::{
    Result,
    openai::{
        ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatMessage, FunctionCall,
        FunctionToolCall, Usage,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::SystemTime;
use uuid::Uuid;

/// The answer of Converse.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    output: Output,
    #[serde(default)]
    stop_reason: String,
    #[serde(default)]
    usage: TokenUsage,
}

#[derive(Debug, Deserialize)]
struct Output {
    message: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Block>,
}

/// A block of content; those of kinds that OpenAI's form has no place for are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Block {
    text: Option<String>,
    tool_use: Option<ToolUse>,
    reasoning_content: Option<Reasoning>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    #[serde(rename = "toolUseId")]
    id: String,
    name: String,
    #[serde(default)]
    input: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reasoning {
    reasoning_text: Option<ReasoningText>,
}

#[derive(Debug, Deserialize)]
struct ReasoningText {
    text: String,
}

/// The tokens, those of a cached part of the prompt apart.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct TokenUsage {
    #[serde(rename = "inputTokens")]
    input: i64,
    #[serde(rename = "outputTokens")]
    output: i64,
    #[serde(rename = "cacheReadInputTokens")]
    read_from_cache: i64,
    #[serde(rename = "cacheWriteInputTokens")]
    written_to_cache: i64,
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        let prompt_tokens = usage.input + usage.read_from_cache + usage.written_to_cache;
        Self {
            prompt_tokens,
            completion_tokens: usage.output,
            total_tokens: prompt_tokens + usage.output,
        }
    }
}

/// What all events of an answer have in common.
pub(super) struct Head {
    id: String,
    created: i64,
    model: String,
}

impl Head {
    pub(super) fn new(model: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            created: i64::try_from(now.as_secs()).unwrap_or_default(),
            model: model.to_owned(),
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// `Upstream` if the answer is none: the model wrote something that Bedrock cannot read.
    pub(super) fn completion(self, answer: Answer) -> Result<ChatCompletion> {
        let (mut texts, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for block in answer.output.message.content {
            texts.extend(block.text);
            let thought = block.reasoning_content.and_then(|reasoning| reasoning.reasoning_text);
            thoughts.extend(thought.map(|thought| thought.text));
            calls.extend(block.tool_use.map(|call| FunctionToolCall {
                index: None,
                id: Some(call.id),
                kind: Some("function".to_owned()),
                function: FunctionCall {
                    name: Some(call.name),
                    arguments: Some(Value::Object(call.input).to_string()),
                },
            }));
        }
        let finish_reason = Some(finish_reason(&answer.stop_reason, !calls.is_empty())?);
        let message = ChatMessage {
            role: Some("assistant".to_owned()),
            content: (!texts.is_empty() || calls.is_empty()).then(|| texts.concat()),
            refusal: None,
            reasoning_content: (!thoughts.is_empty()).then(|| thoughts.concat()),
            tool_calls: (!calls.is_empty()).then_some(calls),
        };
        Ok(ChatCompletion {
            id: self.id,
            object: "chat.completion".to_owned(),
            created: self.created,
            model: self.model,
            choices: vec![ChatChoice { index: 0, message, logprobs: None, finish_reason }],
            usage: Some(answer.usage.into()),
        })
    }

    /// An event with an addition to the message, or its end.
    pub(super) fn addition(&self, delta: ChatMessage, finish_reason: Option<String>) -> ChatChunk {
        let choice = ChatChunkChoice { index: 0, delta, logprobs: None, finish_reason };
        self.event(vec![choice], None)
    }

    /// The event with the tokens of the whole answer.
    pub(super) fn usage(&self, usage: TokenUsage) -> ChatChunk {
        self.event(Vec::new(), Some(usage.into()))
    }

    fn event(&self, choices: Vec<ChatChunkChoice>, usage: Option<Usage>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }
}

/// OpenAI's word for why an answer ended.
///
/// # Errors
/// `Upstream` if it ended with something that Bedrock could not read.
pub(super) fn finish_reason(stop_reason: &str, called: bool) -> Result<String> {
    let reason = match stop_reason {
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(broken(&format!("could not read what the model wrote: `{stop_reason}`")));
        }
        "max_tokens" | "model_context_window_exceeded" => "length",
        "guardrail_intervened" | "content_filtered" => "content_filter",
        "tool_use" => "tool_calls",
        _ if called => "tool_calls",
        _ => "stop",
    };
    Ok(reason.to_owned())
}
