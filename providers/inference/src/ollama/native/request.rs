//! From OpenAI's request to Ollama's.

use chaski_api::{Error, Result, openai::ChatRequest};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Parameters with Ollama's names for them; the first ones only its own API has.
const OWN: &[(&str, &str)] = &[
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("repetition_penalty", "repeat_penalty"),
    ("repeat_penalty", "repeat_penalty"),
    ("num_ctx", "num_ctx"),
];
const SHARED: &[(&str, &str)] = &[
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("seed", "seed"),
    ("stop", "stop"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("max_tokens", "num_predict"),
    ("max_completion_tokens", "num_predict"),
];

/// Whether the request has parameters that would be lost in the OpenAI-compatible API, and none
/// that only that one has.
pub(in super::super) fn is_needed(request: &ChatRequest) -> bool {
    let given = |name: &str| request.body.get(name).is_some_and(|value| !value.is_null());
    let several = request.body.get("n").and_then(Value::as_i64).is_some_and(|n| n > 1);
    OWN.iter().any(|(name, _)| given(name)) && !several && !given("logprobs")
}

pub(super) fn translate(request: &ChatRequest) -> Result<Value> {
    let body = &request.body;
    let mut options = Map::new();
    for (name, own) in OWN.iter().chain(SHARED) {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            options.insert((*own).to_owned(), value.clone());
        }
    }
    let mut out = json!({
        "model": request.model(),
        "messages": messages(body.get("messages"))?,
        "stream": request.stream(),
        "options": options,
    });
    let tools = body.get("tools").filter(|tools| tools.is_array());
    if let Some(tools) = tools.filter(|_| body.get("tool_choice") != Some(&json!("none"))) {
        out["tools"] = tools.clone();
    }
    let format = body.get("response_format");
    match format.and_then(|format| format.get("type")?.as_str()) {
        Some("json_object") => out["format"] = "json".into(),
        Some("json_schema") => {
            let schema = format.and_then(|format| format.get("json_schema")?.get("schema"));
            out["format"] = schema.cloned().unwrap_or_else(|| "json".into());
        }
        Some(_) | None => {}
    }
    Ok(out)
}

fn messages(given: Option<&Value>) -> Result<Vec<Value>> {
    // Ollama tells the answers of tools apart by the names of the tools.
    let mut tools = HashMap::new();
    let mut out = Vec::new();
    for message in given.and_then(Value::as_array).into_iter().flatten() {
        let role = match message.get("role").and_then(Value::as_str) {
            Some("developer") => "system",
            Some(role) => role,
            None => "user",
        };
        let (text, images) = content(message.get("content"))?;
        let mut translated = json!({ "role": role, "content": text });
        if !images.is_empty() {
            translated["images"] = images.into();
        }
        let calls = message.get("tool_calls").and_then(Value::as_array);
        if let Some(calls) = calls.filter(|calls| !calls.is_empty()) {
            let calls = calls.iter().map(|call| {
                if let (Some(id), Some(name)) =
                    (call.get("id"), call.get("function").and_then(|f| f.get("name")))
                {
                    tools.insert(id.to_string(), name.clone());
                }
                self::call(call)
            });
            translated["tool_calls"] = calls.collect();
        }
        if let Some(name) = message.get("tool_call_id").and_then(|id| tools.get(&id.to_string())) {
            translated["tool_name"] = name.clone();
        }
        out.push(translated);
    }
    Ok(out)
}

/// A call with its arguments as a value.
fn call(call: &Value) -> Value {
    let function = call.get("function");
    let arguments = function.and_then(|function| function.get("arguments"));
    let arguments = match arguments {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| json!({})),
        Some(value) => value.clone(),
        None => json!({}),
    };
    let name = function.and_then(|function| function.get("name"));
    json!({ "function": { "name": name, "arguments": arguments } })
}

/// The text of a message, and its images in base64.
fn content(content: Option<&Value>) -> Result<(String, Vec<Value>)> {
    let parts = match content {
        Some(Value::String(text)) => return Ok((text.clone(), Vec::new())),
        Some(Value::Array(parts)) => parts,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            return Ok((String::new(), Vec::new()));
        }
    };
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in parts {
        if let Some(text) = part.get("text").and_then(Value::as_str) {
            texts.push(text);
        } else if let Some(url) = part.get("image_url").and_then(|image| image.get("url")?.as_str())
        {
            let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
            let (_, data) = data.ok_or_else(|| {
                Error::invalid("an image is neither a web address nor a `data:` URL in base64")
                    .with_param("messages")
            })?;
            images.push(data.into());
        }
    }
    Ok((texts.join("\n"), images))
}
