//! From Converse's answers to OpenAI's.

use super::{broken, request::ADDITIONAL_ANSWER};
use crate::{head::Head, more::More};
use chaski_api::{
    Result,
    openai::{
        ChatChoice, ChatCompletion, ChatMessage, FunctionCall, FunctionToolCall, Thought, Usage,
    },
};
use chaski_provider::Payload;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The answer of Converse.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    output: Output,
    #[serde(default)]
    stop_reason: String,
    /// What only some models say, where the request asks for it ([`ADDITIONAL_ANSWER`]).
    #[serde(default, rename = "additionalModelResponseFields")]
    additional: Value,
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
    /// Encrypted, in base64.
    redacted_content: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ReasoningText {
    text: String,
    /// Some models sign their thoughts, and want them back so.
    #[serde(default)]
    signature: Option<String>,
}

impl Reasoning {
    /// What is to be read of it, and what the model wants back.
    fn read(self) -> (Option<String>, Option<Thought>) {
        let encrypted = self.redacted_content.map(|data| Thought::Encrypted { data });
        match self.reasoning_text {
            None => (None, encrypted),
            Some(ReasoningText { text, signature }) => {
                let signature = signature.filter(|signature| !signature.is_empty());
                let thinking = text.clone();
                (Some(text), signature.map(|signature| Thought::Signed { thinking, signature }))
            }
        }
    }
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
        Self::of(usage.input + usage.read_from_cache + usage.written_to_cache, usage.output)
    }
}

/// The whole answer to a request with these stop texts.
///
/// # Errors
/// `Upstream` if the answer is none: the model wrote something that Bedrock cannot read.
pub(super) fn completion(
    head: Head,
    answer: Answer,
    stops: &[String],
) -> Result<Payload<ChatCompletion>> {
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    let (mut thoughts, mut signed) = (Vec::new(), Vec::new());
    for block in answer.output.message.content {
        texts.extend(block.text);
        if let Some(reasoning) = block.reasoning_content {
            let (thought, wanted_back) = reasoning.read();
            thoughts.extend(thought);
            signed.extend(wanted_back);
        }
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
    let stop = stopped_by(&answer.stop_reason, &answer.additional, stops);
    let message = ChatMessage {
        role: Some("assistant".to_owned()),
        content: (!texts.is_empty() || calls.is_empty()).then(|| texts.concat()),
        refusal: None,
        reasoning_content: (!thoughts.is_empty()).then(|| thoughts.concat()),
        tool_calls: (!calls.is_empty()).then_some(calls),
    };
    let choice = ChatChoice { index: 0, message, logprobs: None, finish_reason };
    let more = More { thoughts: signed, stops: vec![stop] };
    more.with(head.chat(vec![choice], Some(answer.usage.into())))
}

/// Which of the stop texts ended the answer, if one did and the model says which.
pub(super) fn stopped_by(
    stop_reason: &str,
    additional: &Value,
    stops: &[String],
) -> Option<String> {
    if stop_reason != "stop_sequence" {
        return None;
    }
    let (_, path) = ADDITIONAL_ANSWER;
    let only = if let [only] = stops { Some(only.as_str()) } else { None };
    additional.pointer(path).and_then(Value::as_str).or(only).map(str::to_owned)
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
