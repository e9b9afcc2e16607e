//! The messages of a chat: from OpenAI's form to Anthropic's.
//!
//! What the system says stands apart there, results of tools are said by the user, and turns of one
//! role that follow each other are one turn.

use super::tools::wrong;
use chaski_api::{Error, Result, openai::Thought};
use serde_json::{Map, Value, json};

/// The kinds of images that Anthropic takes, as part of their media type.
const IMAGES: &[&str] = &["jpeg", "png", "gif", "webp"];
const PDF: &str = "application/pdf";

/// A chat in Anthropic's form.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// What the system says.
    pub(super) system: Vec<String>,
    pub(super) messages: Vec<Value>,
}

impl Turns {
    /// # Errors
    /// `InvalidRequest` with the place of what cannot be said in Anthropic's form.
    pub(super) fn read(messages: Vec<Value>) -> Result<Self> {
        let mut turns = Self::default();
        for (index, message) in messages.into_iter().enumerate() {
            turns.add(index, message)?;
        }
        turns.trim();
        Ok(turns)
    }

    /// Whether the chat ends with results of tools that the model called without thoughts, or with
    /// thoughts that are not there.
    pub(super) fn lacks_thoughts(&self) -> bool {
        let [.., called, last] = self.messages.as_slice() else { return false };
        let thinks = |block: &Value| {
            matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
        };
        content(last).iter().any(|block| block["type"] == "tool_result")
            && !content(called).first().is_some_and(thinks)
    }

    fn add(&mut self, index: usize, mut message: Value) -> Result<()> {
        let content = message.get_mut("content").map(Value::take).unwrap_or_default();
        let role = message["role"].as_str().unwrap_or_default().to_owned();
        match role.as_str() {
            "system" | "developer" => {
                let texts = blocks(index, content)?.into_iter().map(|block| {
                    let text = block["text"].as_str().map(str::to_owned);
                    text.ok_or_else(|| at(index, "content", "must be text for the system"))
                });
                self.system.extend(texts.collect::<Result<Vec<_>>>()?);
            }
            "user" => self.say("user", blocks(index, content)?),
            "assistant" => {
                let mut said = blocks(index, content)?;
                if let Some(refusal) = message["refusal"].as_str().filter(|text| !text.is_empty()) {
                    said.push(text(refusal));
                }
                if let Some(Value::Array(calls)) = message.get_mut("tool_calls").map(Value::take) {
                    for (number, call) in calls.iter().enumerate() {
                        said.push(tool_use(index, number, call)?);
                    }
                }
                // Thoughts alone are no answer.
                if !said.is_empty() {
                    let thoughts = Thought::of_message(&message);
                    said.splice(..0, thoughts.iter().map(Thought::block));
                }
                self.say("assistant", said);
            }
            "tool" => {
                let id = tool_id(message["tool_call_id"].as_str().unwrap_or_default());
                let mut result = json!({ "type": "tool_result", "tool_use_id": id });
                let content = blocks(index, content)?;
                if !content.is_empty() {
                    result["content"] = content.into();
                }
                self.say("user", vec![result]);
            }
            other => {
                let known = "use `system`, `developer`, `user`, `assistant` or `tool`";
                return Err(at(index, "role", &format!("cannot be `{other}`: {known}")));
            }
        }
        Ok(())
    }

    /// Adds blocks to the turn of `role`, or begins one.
    fn say(&mut self, role: &str, mut blocks: Vec<Value>) {
        if blocks.is_empty() {
            return;
        }
        if let Some(last) = self.messages.last_mut().filter(|last| last["role"] == role)
            && let Some(before) = last["content"].as_array_mut()
        {
            before.append(&mut blocks);
            return;
        }
        self.messages.push(json!({ "role": role, "content": blocks }));
    }

    /// Anthropic refuses an answer to be continued that ends with white space.
    fn trim(&mut self) {
        let last = self.messages.last_mut().filter(|last| last["role"] == "assistant");
        let Some(blocks) = last.and_then(|last| last["content"].as_array_mut()) else { return };
        let Some(block) = blocks.last_mut().filter(|block| block["type"] == "text") else { return };
        let trimmed = block["text"].as_str().unwrap_or_default().trim_end().to_owned();
        if trimmed.is_empty() {
            blocks.pop();
        } else {
            block["text"] = trimmed.into();
        }
        if self.messages.last().is_some_and(|last| last["content"] == json!([])) {
            self.messages.pop();
        }
    }
}

/// The blocks of a message in Anthropic's form.
fn content(message: &Value) -> &[Value] {
    message["content"].as_array().map_or(&[], Vec::as_slice)
}

fn at(index: usize, field: &str, problem: &str) -> Error {
    wrong("messages", format!("`messages[{index}].{field}` {problem}"))
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// The blocks of a message's content. Anthropic refuses empty texts, which say nothing.
fn blocks(index: usize, content: Value) -> Result<Vec<Value>> {
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(said) if said.is_empty() => Ok(Vec::new()),
        Value::String(said) => Ok(vec![text(&said)]),
        Value::Array(parts) => {
            let is_empty = |part: &Value| part["type"] == "text" && part["text"] == "";
            let numbered = parts.into_iter().enumerate().filter(|(_, part)| !is_empty(part));
            numbered
                .map(|(number, part)| {
                    block(&part).map_err(|why| at(index, &format!("content[{number}]"), &why))
                })
                .collect()
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err(at(index, "content", "must be a text or a list of parts"))
        }
    }
}

/// A part as a block, or why it is none.
fn block(part: &Value) -> Result<Value, String> {
    match part["type"].as_str().unwrap_or_default() {
        "text" => match part["text"].as_str() {
            Some(said) => Ok(text(said)),
            None => Err("has no `text`".to_owned()),
        },
        "refusal" => Ok(text(part["refusal"].as_str().unwrap_or_default())),
        "image_url" => {
            let url = part["image_url"]["url"].as_str().or_else(|| part["image_url"].as_str());
            let url = url.ok_or("has no `image_url.url`")?;
            Ok(json!({ "type": "image", "source": image(url)? }))
        }
        "file" => {
            let file = &part["file"];
            let data = file["file_data"].as_str().ok_or("has no `file.file_data`")?;
            let (media_type, data) = base64(data).ok_or("must be a `data:` URL in base64")?;
            if media_type != PDF {
                return Err(format!("has the media type `{media_type}`; use `{PDF}`"));
            }
            let source = json!({ "type": "base64", "media_type": PDF, "data": data });
            let mut document = json!({ "type": "document", "source": source });
            if let Some(name) = file["filename"].as_str().filter(|name| !name.is_empty()) {
                document["title"] = name.into();
            }
            Ok(document)
        }
        other => Err(format!(
            "is of type `{other}`, which Anthropic does not take; use `text`, `image_url` or `file`"
        )),
    }
}

/// Where an image is, or why it cannot be sent.
fn image(url: &str) -> Result<Value, String> {
    let scheme = url.split(':').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") {
        return Ok(json!({ "type": "url", "url": url }));
    }
    let (media_type, data) = base64(url)
        .ok_or("has an image that is neither a web address nor a `data:` URL in base64")?;
    let kind = media_type.strip_prefix("image/").unwrap_or_default();
    let kind = if kind == "jpg" { "jpeg" } else { kind };
    if !IMAGES.contains(&kind) {
        return Err(format!("has an image of the type `{media_type}`; use JPEG, PNG, GIF or WebP"));
    }
    Ok(json!({ "type": "base64", "media_type": format!("image/{kind}"), "data": data }))
}

/// The media type and the data of a `data:` URL in base64.
fn base64(url: &str) -> Option<(String, &str)> {
    let scheme = url.get(..5)?;
    let (head, data) = url[5..].split_once(',')?;
    let head = head.to_ascii_lowercase();
    let head = head.strip_suffix(";base64")?;
    let media_type = head.split(';').next().unwrap_or_default().trim().to_owned();
    scheme.eq_ignore_ascii_case("data:").then_some((media_type, data))
}

fn tool_use(index: usize, number: usize, call: &Value) -> Result<Value> {
    let field = |name: &str| format!("tool_calls[{number}].{name}");
    let function = &call["function"];
    let Some(name) = function["name"].as_str().filter(|name| !name.is_empty()) else {
        return Err(at(index, &field("function.name"), "is missing"));
    };
    let arguments = match &function["arguments"] {
        Value::Null => Some(Map::new()),
        Value::String(text) if text.trim().is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Object(arguments) => Some(arguments.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    let Some(input) = arguments else {
        return Err(at(index, &field("function.arguments"), "is not a JSON object in a string"));
    };
    let id = tool_id(call["id"].as_str().unwrap_or_default());
    Ok(json!({ "type": "tool_use", "id": id, "name": name, "input": input }))
}

/// The id of a call with the characters that Anthropic takes. The same id gives the same.
fn tool_id(id: &str) -> String {
    if id.is_empty() {
        return "call".to_owned();
    }
    let fit = |character: char| {
        if character.is_ascii_alphanumeric() || "-_".contains(character) { character } else { '_' }
    };
    id.chars().map(fit).collect()
}
