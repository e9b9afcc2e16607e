//! Answers: from Anthropic's form to OpenAI's.

use super::{api::broken, request::Form};
use crate::head::now;
use bytes::Bytes;
use chaski_api::{
    Result,
    openai::{STOP_REASON, THINKING_BLOCKS, Thought},
};
use serde_json::{Map, Value, json};

/// Anthropic's name for the stop text that ended an answer.
pub(super) const STOP_SEQUENCE: &str = "stop_sequence";

/// The answer as the JSON text of a chat completion.
///
/// # Errors
/// `Upstream` if it is no message.
pub(super) fn completion(answer: &[u8], form: Form) -> Result<Bytes> {
    let unclear = || broken("sent an answer that cannot be understood");
    let mut answer: Value =
        serde_json::from_slice(answer).map_err(|error| unclear().caused_by(error))?;
    let Some(Value::Array(blocks)) = answer.get_mut("content").map(Value::take) else {
        return Err(unclear());
    };
    let (mut text, mut thoughts, mut calls) = (String::new(), String::new(), Vec::new());
    let signed: Vec<Thought> = blocks.iter().filter_map(Thought::read).collect();
    for block in &blocks {
        let said = |key: &str| block[key].as_str().unwrap_or_default();
        match said("type") {
            "text" if !form.forced => text.push_str(said("text")),
            "thinking" => thoughts.push_str(said("thinking")),
            "tool_use" if form.forced => text.push_str(&input(block)),
            "tool_use" => calls.push(json!({
                "id": said("id"),
                "type": "function",
                "function": { "name": said("name"), "arguments": input(block) },
            })),
            // What tools of Anthropic's own did.
            _ => {}
        }
    }
    let refusal = answer["stop_details"]["explanation"].clone();
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    let silent = text.is_empty() && !calls.is_empty();
    message.insert("content".to_owned(), if silent { Value::Null } else { text.into() });
    message.insert("refusal".to_owned(), if refusal.is_string() { refusal } else { Value::Null });
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), thoughts.into());
    }
    if !signed.is_empty() {
        message.insert(THINKING_BLOCKS.to_owned(), Thought::member(&signed));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    let finish = finish_reason(answer["stop_reason"].as_str(), form.forced);
    let mut completion = json!({
        "id": text_of(&answer["id"]),
        "object": "chat.completion",
        "created": now(),
        "model": text_of(&answer["model"]),
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }],
        "usage": usage(&answer["usage"]),
    });
    if let Some(stop) = answer[STOP_SEQUENCE].as_str() {
        completion["choices"][0][STOP_REASON] = stop.into();
    }
    Ok(completion.to_string().into())
}

/// The text, or none at all.
pub(super) fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The arguments of a call as JSON text.
pub(super) fn input(block: &Value) -> String {
    let input = &block["input"];
    if input.is_null() { "{}".to_owned() } else { input.to_string() }
}

/// OpenAI's word for the end; `forced` as in [`Form`].
pub(super) fn finish_reason(stop_reason: Option<&str>, forced: bool) -> &'static str {
    match stop_reason.unwrap_or_default() {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "refusal" => "content_filter",
        "tool_use" if !forced => "tool_calls",
        _ => "stop",
    }
}

/// The usage in OpenAI's form, which counts cached tokens as part of the prompt.
pub(super) fn usage(usage: &Value) -> Value {
    let count = |key: &str| usage[key].as_i64().unwrap_or(0).max(0);
    let cached = count("cache_read_input_tokens");
    let prompt = count("input_tokens")
        .saturating_add(cached)
        .saturating_add(count("cache_creation_input_tokens"));
    let completion = count("output_tokens");
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt.saturating_add(completion),
        "prompt_tokens_details": { "cached_tokens": cached },
    })
}
