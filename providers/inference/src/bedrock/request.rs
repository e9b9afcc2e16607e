//! From OpenAI's request to Converse's (Bedrock runtime API, "Converse").

use super::{NAME, tools};
use chaski_api::{
    Error, Result,
    openai::{Body, ChatRequest, THINKING, Thought},
};
use serde_json::{Map, Value, json};

/// Fields of requests that go into `inferenceConfig`, with Converse's names; the first that is given
/// counts where two have the same name.
const INFERENCE: &[(&str, &str)] = &[
    ("max_completion_tokens", "maxTokens"),
    ("max_tokens", "maxTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
];
/// What the ids of models contain that take `top_k`, with the path to their own name for it.
const TOP_K: &[(&str, &[&str])] = &[
    (ANTHROPIC, &["top_k"]),
    ("mistral.", &["top_k"]),
    ("cohere.", &["k"]),
    ("amazon.nova", &["inferenceConfig", "topK"]),
];
/// The formats of images that Bedrock reads, with the media types that name them.
const IMAGES: &[(&str, &str)] = &[
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];
/// What the ids of the models contain that are told how to think by the field `thinking`, and want
/// their thoughts back.
const ANTHROPIC: &str = "anthropic.";
/// Converse's own field for what only one model has; taken from requests as it is.
const ADDITIONAL: &str = "additionalModelRequestFields";
/// What a model may say of an answer besides, with the path to it: which stop text ended it. Bedrock
/// passes over what the model does not say.
pub(super) const ADDITIONAL_ANSWER: (&str, &str) =
    ("additionalModelResponseFieldPaths", "/stop_sequence");

/// The body for Converse. Images must be in it already.
///
/// # Errors
/// `InvalidRequest` with the place of what Bedrock has no form for.
pub(super) fn translate(request: &ChatRequest) -> Result<Value> {
    let body = &request.body;
    refuse(body)?;
    let empty = Vec::new();
    let messages = body.get("messages").and_then(Value::as_array).unwrap_or(&empty);
    let chat = Chat::read(messages, request.model().contains(ANTHROPIC))?;
    let turns: Vec<Value> = chat
        .turns
        .into_iter()
        .map(|turn| json!({ "role": turn.role, "content": turn.content }))
        .collect();
    let mut out = json!({ "messages": turns });
    if !chat.system.is_empty() {
        out["system"] = chat.system.into();
    }
    let inference = inference(body);
    if !inference.is_empty() {
        out["inferenceConfig"] = inference.into();
    }
    if !stops(body).is_empty() {
        let (name, path) = ADDITIONAL_ANSWER;
        out[name] = json!([path]);
    }
    if let Some(config) = tools::config(body, &chat.called)? {
        out["toolConfig"] = config;
    }
    if let Some(format) = format(body)? {
        out["outputConfig"] = json!({ "textFormat": format });
    }
    let additional = additional(body, request.model());
    if !additional.is_empty() {
        out[ADDITIONAL] = additional.into();
    }
    Ok(out)
}

/// Refuses what would change the form of the answer and cannot be had.
fn refuse(body: &Body) -> Result<()> {
    let several = body.get("n").and_then(Value::as_i64).is_some_and(|n| n > 1);
    let logprobs = body.get("logprobs").and_then(Value::as_bool).unwrap_or_default();
    let (param, what) = match (several, logprobs) {
        (true, _) => ("n", "several answers at once"),
        (false, true) => ("logprobs", "log probabilities"),
        (false, false) => return Ok(()),
    };
    Err(Error::unsupported(format!("{NAME} does not support {what}; leave out `{param}`"))
        .with_param(param))
}

fn inference(body: &Body) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, own) in INFERENCE {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            out.entry(*own).or_insert_with(|| value.clone());
        }
    }
    let stops = stops(body);
    if !stops.is_empty() {
        out.insert("stopSequences".to_owned(), stops.into());
    }
    out
}

/// The texts that end the answer.
pub(super) fn stops(body: &Body) -> Vec<String> {
    match body.get("stop") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) => {
            texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Vec::new()
        }
    }
}

fn additional(body: &Body, model: &str) -> Map<String, Value> {
    let mut out = body.get(ADDITIONAL).and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(thinking) = body.get(THINKING).filter(|thinking| !thinking.is_null())
        && model.contains(ANTHROPIC)
    {
        out.entry(THINKING).or_insert_with(|| thinking.clone());
    }
    let top_k = body.get("top_k").and_then(Value::as_i64).filter(|top_k| *top_k > 0);
    let place = TOP_K.iter().find(|(part, _)| model.contains(part)).map(|(_, path)| *path);
    match (top_k, place) {
        (Some(top_k), Some([name])) => {
            out.entry(*name).or_insert_with(|| top_k.into());
        }
        (Some(top_k), Some([group, name])) => {
            let group = out.entry(*group).or_insert_with(|| json!({}));
            if let Some(group) = group.as_object_mut() {
                group.entry(*name).or_insert_with(|| top_k.into());
            }
        }
        (Some(_) | None, _) => {}
    }
    out
}

fn format(body: &Body) -> Result<Option<Value>> {
    let Some(format) = body.get("response_format") else { return Ok(None) };
    let given = format.get("json_schema");
    match format.get("type").and_then(Value::as_str) {
        None | Some("text") => Ok(None),
        Some("json_schema") => {
            let part = |key: &str| given.and_then(|given| given.get(key));
            let schema = part("schema").ok_or_else(|| {
                Error::invalid("`response_format` has no `json_schema.schema`")
                    .with_param("response_format")
            })?;
            let mut definition = json!({ "schema": schema.to_string() });
            for key in ["name", "description"] {
                if let Some(text) = part(key).and_then(Value::as_str) {
                    definition[key] = text.into();
                }
            }
            Ok(Some(json!({ "type": "json_schema", "structure": { "jsonSchema": definition } })))
        }
        Some(other) => {
            let message =
                format!("{NAME} does not support the response format `{other}`; use `json_schema`");
            Err(Error::unsupported(message).with_param("response_format"))
        }
    }
}

/// The messages by turns: Converse wants user and assistant one after the other.
#[derive(Debug, Default)]
struct Chat {
    system: Vec<Value>,
    turns: Vec<Turn>,
    /// The names of the tools that were called, each once.
    called: Vec<String>,
    /// Whether the model is told its thoughts.
    tells_thoughts: bool,
}

#[derive(Debug)]
struct Turn {
    role: &'static str,
    content: Vec<Value>,
}

impl Chat {
    fn read(messages: &[Value], tells_thoughts: bool) -> Result<Self> {
        let mut chat = Self { tells_thoughts, ..Self::default() };
        for (index, message) in messages.iter().enumerate() {
            chat.add(message).map_err(|error| {
                let message = format!("`messages[{index}]` {}", error.message);
                Error { message, ..error }.with_param("messages")
            })?;
        }
        if chat.turns.is_empty() {
            let message =
                "`messages` must hold at least one message with content beside the system's";
            return Err(Error::invalid(message).with_param("messages"));
        }
        Ok(chat)
    }

    fn add(&mut self, message: &Value) -> Result<()> {
        let content = message.get("content");
        match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => self.system.extend(blocks(content)?),
            Some("user") => self.turn("user", blocks(content)?),
            Some("assistant") => {
                let mut said = blocks(content)?;
                said.extend(message.get("refusal").and_then(text));
                let calls = message.get("tool_calls").and_then(Value::as_array);
                for call in calls.into_iter().flatten() {
                    said.push(self.call(call)?);
                }
                // Thoughts alone are no answer.
                if self.tells_thoughts && !said.is_empty() {
                    let thoughts = Thought::of_message(message).into_iter().map(reasoning);
                    said.splice(..0, thoughts);
                }
                self.turn("assistant", said);
            }
            Some("tool" | "function") => {
                let id = message.get("tool_call_id").and_then(Value::as_str);
                let id = id.ok_or_else(|| Error::invalid("has no `tool_call_id`"))?;
                let result = json!({ "toolUseId": id, "content": blocks(content)? });
                self.turn("user", vec![json!({ "toolResult": result })]);
            }
            Some(other) => {
                let accepted = "use `system`, `user`, `assistant` or `tool`";
                return Err(Error::invalid(format!("has the role `{other}`; {accepted}")));
            }
            None => return Err(Error::invalid("has no `role`")),
        }
        Ok(())
    }

    /// Adds to the last turn if it is of the same role.
    fn turn(&mut self, role: &'static str, content: Vec<Value>) {
        match self.turns.last_mut().filter(|turn| turn.role == role) {
            _ if content.is_empty() => {}
            Some(turn) => turn.content.extend(content),
            None => self.turns.push(Turn { role, content }),
        }
    }

    fn call(&mut self, call: &Value) -> Result<Value> {
        let function = call.get("function");
        let part = |key: &str| function.and_then(|function| function.get(key));
        let id = call.get("id").and_then(Value::as_str);
        let name = part("name").and_then(Value::as_str);
        let (Some(id), Some(name)) = (id, name) else {
            return Err(Error::invalid("has a tool call without `id` or `function.name`"));
        };
        let input = match part("arguments") {
            Some(Value::String(text)) if !text.trim().is_empty() => serde_json::from_str(text).ok(),
            Some(Value::String(_) | Value::Null) | None => Some(json!({})),
            Some(value) => Some(value.clone()),
        };
        let Some(input) = input.filter(Value::is_object) else {
            let message = format!("calls `{name}` with arguments that are not a JSON object");
            return Err(Error::invalid(message));
        };
        if !self.called.iter().any(|called| called == name) {
            self.called.push(name.to_owned());
        }
        Ok(json!({ "toolUse": { "toolUseId": id, "name": name, "input": input } }))
    }
}

/// The content of a message as blocks. Blank texts are left out: Bedrock refuses them.
fn blocks(content: Option<&Value>) -> Result<Vec<Value>> {
    match content {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(text @ Value::String(_)) => Ok(self::text(text).into_iter().collect()),
        Some(Value::Array(parts)) => {
            let blocks: Result<Vec<Option<Value>>> = parts.iter().map(block).collect();
            Ok(blocks?.into_iter().flatten().collect())
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            Err(Error::invalid("has a `content` that is neither a text nor a list of parts"))
        }
    }
}

/// Thoughts of the model as it gave them.
fn reasoning(thought: Thought) -> Value {
    let content = match thought {
        Thought::Signed { thinking, signature } => {
            json!({ "reasoningText": { "text": thinking, "signature": signature } })
        }
        Thought::Encrypted { data } => json!({ "redactedContent": data }),
    };
    json!({ "reasoningContent": content })
}

fn text(text: &Value) -> Option<Value> {
    let text = text.as_str().filter(|text| !text.trim().is_empty())?;
    Some(json!({ "text": text }))
}

fn block(part: &Value) -> Result<Option<Value>> {
    match part.get("type").and_then(Value::as_str) {
        Some("text") | None if part.get("text").is_some() => Ok(text(&part["text"])),
        Some("refusal") => Ok(part.get("refusal").and_then(text)),
        Some("image_url") => {
            let url = part.get("image_url").and_then(|image| image.get("url")?.as_str());
            image(url.unwrap_or_default()).map(Some)
        }
        other => {
            let kind = other.unwrap_or("none");
            let message =
                format!("has a part of the type `{kind}`; {NAME} takes `text` and `image_url`");
            Err(Error::invalid(message))
        }
    }
}

fn image(url: &str) -> Result<Value> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let Some((media_type, data)) = data else {
        let message = "has an image that is neither a web address nor a `data:` URL in base64";
        return Err(Error::invalid(message));
    };
    let format = IMAGES.iter().find(|(name, _)| name.eq_ignore_ascii_case(media_type));
    let Some((_, format)) = format else {
        let message = format!(
            "has an image of the type `{media_type}`; {NAME} reads PNG, JPEG, GIF and WebP"
        );
        return Err(Error::invalid(message));
    };
    Ok(json!({ "image": { "format": format, "source": { "bytes": data } } }))
}
