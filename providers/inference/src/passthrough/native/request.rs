//! From OpenAI's requests to Llama Stack's.

use crate::passthrough::NAME;
use chaski_api::{
    Error, Result,
    openai::{Body, ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The body of `POST /v1/inference/chat-completion`.
///
/// # Errors
/// `InvalidRequest` with the place of what there is no form for, `Unsupported` for what the server
/// cannot do.
pub(super) fn chat(request: &ChatRequest) -> Result<Value> {
    let body = &request.body;
    let mut out = json!({
        "model_id": request.model(),
        "messages": messages(body.get("messages"))?,
        "stream": request.stream(),
    });
    common(body, &mut out)?;
    if body.get("logprobs").and_then(Value::as_bool) == Some(true) {
        let most = body.get("top_logprobs").and_then(Value::as_i64).filter(|most| *most > 0);
        out["logprobs"] = json!({ "top_k": most.unwrap_or(1) });
    }
    if let Some(tools) = body.get("tools").and_then(Value::as_array) {
        let tools: Result<Vec<Value>> = tools.iter().enumerate().map(tool).collect();
        out["tools"] = tools?.into();
    }
    let choice = body.get("tool_choice");
    let named = choice.and_then(|choice| choice.get("function")?.get("name"));
    if let Some(choice) = named.or(choice).and_then(Value::as_str) {
        out["tool_config"] = json!({ "tool_choice": choice });
    }
    Ok(out)
}

/// The body of `POST /v1/inference/completion`.
///
/// # Errors
/// As of [`chat`].
pub(super) fn completion(request: &TextCompletionRequest) -> Result<Value> {
    let body = &request.body;
    let prompt = match body.get("prompt") {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(Value::Array(texts)) if texts.len() == 1 => texts[0].as_str(),
        Some(_) | None => None,
    };
    let prompt = prompt.ok_or_else(|| {
        let message = "`prompt` must be one text; this server cannot pass on several, or tokens";
        Error::invalid(message).with_param("prompt")
    })?;
    let mut out = json!({
        "model_id": request.model(), "content": prompt, "stream": request.stream(),
    });
    common(body, &mut out)?;
    if let Some(most) = body.get("logprobs").and_then(Value::as_i64).filter(|most| *most > 0) {
        out["logprobs"] = json!({ "top_k": most });
    }
    Ok(out)
}

/// The body of `POST /v1/inference/embeddings`.
///
/// # Errors
/// As of [`chat`].
pub(super) fn embeddings(request: &EmbeddingRequest) -> Result<Value> {
    let texts = match request.body.get("input") {
        Some(Value::String(text)) => json!([text]),
        Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => json!(texts),
        Some(_) | None => {
            let message =
                "`input` must be a text or a list of texts; this server cannot pass on tokens";
            return Err(Error::invalid(message).with_param("input"));
        }
    };
    let mut out = json!({ "model_id": request.model(), "contents": texts });
    for (name, own) in [
        ("dimensions", "output_dimension"),
        ("task_type", "task_type"),
        ("text_truncation", "text_truncation"),
    ] {
        if let Some(value) = request.body.get(name).filter(|value| !value.is_null()) {
            out[own] = value.clone();
        }
    }
    Ok(out)
}

/// What chats and completions have in common.
fn common(body: &Body, out: &mut Value) -> Result<()> {
    if body.get("n").and_then(Value::as_i64).is_some_and(|n| n > 1) {
        let message = format!("{NAME} does not support several answers at once; leave out `n`");
        return Err(Error::unsupported(message).with_param("n"));
    }
    let sampling = sampling(body);
    if !sampling.is_empty() {
        out["sampling_params"] = sampling.into();
    }
    let format = body.get("response_format");
    match format.and_then(|format| format.get("type")?.as_str()) {
        None | Some("text") => Ok(()),
        Some("json_schema") => {
            let schema = format.and_then(|format| format.get("json_schema")?.get("schema"));
            let schema = schema.ok_or_else(|| {
                Error::invalid("`response_format` has no `json_schema.schema`")
                    .with_param("response_format")
            })?;
            out["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
            Ok(())
        }
        Some(other) => {
            let message =
                format!("{NAME} does not support the response format `{other}`; use `json_schema`");
            Err(Error::unsupported(message).with_param("response_format"))
        }
    }
}

fn sampling(body: &Body) -> Map<String, Value> {
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    let (temperature, top_p) = (given("temperature"), given("top_p"));
    let top_k = given("top_k").filter(|top_k| top_k.as_i64().is_some_and(|top_k| top_k > 0));
    let greedy = temperature.and_then(Value::as_f64).is_some_and(|temperature| temperature <= 0.0);
    let mut out = Map::new();
    // A server that is not told how to sample does as it likes.
    if let Some(top_k) = top_k {
        out.insert("strategy".to_owned(), json!({ "type": "top_k", "top_k": top_k }));
    } else if greedy {
        out.insert("strategy".to_owned(), json!({ "type": "greedy" }));
    } else if temperature.is_some() || top_p.is_some() {
        let top_p = top_p.cloned().unwrap_or_else(|| json!(1.0));
        let strategy = json!({ "type": "top_p", "temperature": temperature, "top_p": top_p });
        out.insert("strategy".to_owned(), strategy);
    }
    let limit = given("max_completion_tokens").or_else(|| given("max_tokens"));
    for (name, value) in
        [("max_tokens", limit), ("repetition_penalty", given("repetition_penalty"))]
    {
        if let Some(value) = value {
            out.insert(name.to_owned(), value.clone());
        }
    }
    match given("stop") {
        Some(Value::String(text)) => drop(out.insert("stop".to_owned(), json!([text]))),
        Some(texts) => drop(out.insert("stop".to_owned(), texts.clone())),
        None => {}
    }
    out
}

fn messages(given: Option<&Value>) -> Result<Vec<Value>> {
    // The answers of tools name the tool beside the call.
    let mut tools: HashMap<&str, &str> = HashMap::new();
    let mut out = Vec::new();
    for (index, message) in given.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let translated = self::message(message, &mut tools).map_err(|error| {
            let message = format!("`messages[{index}]` {}", error.message);
            Error { message, ..error }.with_param("messages")
        })?;
        out.push(translated);
    }
    Ok(out)
}

fn message<'a>(message: &'a Value, tools: &mut HashMap<&'a str, &'a str>) -> Result<Value> {
    let content = content(message.get("content"))?;
    match message.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Ok(json!({ "role": "system", "content": content })),
        Some("user") => Ok(json!({ "role": "user", "content": content })),
        Some("assistant") => {
            let given = message.get("tool_calls").and_then(Value::as_array);
            let mut calls = Vec::new();
            for call in given.into_iter().flatten() {
                calls.push(self::call(call, tools)?);
            }
            let reason = if calls.is_empty() { "end_of_turn" } else { "end_of_message" };
            Ok(json!({
                "role": "assistant", "content": content, "stop_reason": reason, "tool_calls": calls,
            }))
        }
        Some("tool") => {
            let id = message.get("tool_call_id").and_then(Value::as_str);
            let id = id.ok_or_else(|| Error::invalid("has no `tool_call_id`"))?;
            let tool = tools.get(id).copied().unwrap_or_default();
            Ok(json!({ "role": "tool", "call_id": id, "tool_name": tool, "content": content }))
        }
        Some(other) => {
            let accepted = "use `system`, `user`, `assistant` or `tool`";
            Err(Error::invalid(format!("has the role `{other}`; {accepted}")))
        }
        None => Err(Error::invalid("has no `role`")),
    }
}

fn call<'a>(call: &'a Value, tools: &mut HashMap<&'a str, &'a str>) -> Result<Value> {
    let function = call.get("function");
    let part = |key: &str| function.and_then(|function| function.get(key));
    let (id, name) = (call.get("id").and_then(Value::as_str), part("name").and_then(Value::as_str));
    let (Some(id), Some(name)) = (id, name) else {
        return Err(Error::invalid("has a tool call without `id` or `function.name`"));
    };
    tools.insert(id, name);
    let arguments = match part("arguments").and_then(Value::as_str).map(str::trim) {
        None | Some("") => Some(json!({})),
        Some(text) => serde_json::from_str(text).ok(),
    };
    let Some(arguments) = arguments.filter(Value::is_object) else {
        let message = format!("calls `{name}` with arguments that are not a JSON object");
        return Err(Error::invalid(message));
    };
    Ok(json!({ "call_id": id, "tool_name": name, "arguments": arguments }))
}

/// A text, or a list of texts and images.
fn content(content: Option<&Value>) -> Result<Value> {
    match content {
        None | Some(Value::Null) => Ok("".into()),
        Some(Value::String(text)) => Ok(text.as_str().into()),
        Some(Value::Array(parts)) => {
            parts.iter().map(item).collect::<Result<Vec<_>>>().map(Into::into)
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            Err(Error::invalid("has a `content` that is neither a text nor a list of parts"))
        }
    }
}

fn item(part: &Value) -> Result<Value> {
    let kind = part.get("type").and_then(Value::as_str);
    let text = part.get("text").and_then(Value::as_str);
    let url = part.get("image_url").and_then(|image| image.get("url")?.as_str());
    match (kind, text, url) {
        (Some("text") | None, Some(text), _) => Ok(json!({ "type": "text", "text": text })),
        (Some("image_url"), _, Some(url)) => {
            Ok(json!({ "type": "image", "image": { "url": { "uri": url } } }))
        }
        (kind, _, _) => {
            let kind = kind.unwrap_or("none");
            let message =
                format!("has a part of the type `{kind}`; {NAME} takes `text` and `image_url`");
            Err(Error::invalid(message))
        }
    }
}

/// A tool with its parameters one by one; what is inside of them has no form there.
fn tool((index, tool): (usize, &Value)) -> Result<Value> {
    let function = tool.get("function");
    let part = |key: &str| function.and_then(|function| function.get(key));
    let Some(name) = part("name").and_then(Value::as_str) else {
        let message = format!("`tools[{index}]` has no `function.name`");
        return Err(Error::invalid(message).with_param("tools"));
    };
    let schema = part("parameters");
    let required = schema.and_then(|schema| schema.get("required")?.as_array());
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let mut parameters = Map::new();
    for (name, property) in properties.into_iter().flatten() {
        let kind = property.get("type").and_then(Value::as_str).unwrap_or("string");
        let needed = required.is_some_and(|required| required.iter().any(|key| key == name));
        let mut parameter = json!({ "param_type": kind, "required": needed });
        for key in ["description", "default"] {
            if let Some(value) = property.get(key) {
                parameter[key] = value.clone();
            }
        }
        parameters.insert(name.clone(), parameter);
    }
    let mut out = json!({ "tool_name": name, "parameters": parameters });
    if let Some(description) = part("description").and_then(Value::as_str) {
        out["description"] = description.into();
    }
    Ok(out)
}
