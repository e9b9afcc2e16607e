//! What is counted where nobody counts the tokens of a prompt.

use chaski_api::openai::ChatRequest;
use serde_json::Value;

/// The text of a chat: all that is said, and the tools. An image counts as nothing, since its tokens
/// depend on the model.
pub(super) fn text(chat: &ChatRequest) -> String {
    let mut text = String::new();
    for message in list(chat.body.get("messages")) {
        for key in ["role", "content", "tool_calls"] {
            add(message.get(key), &mut text);
        }
    }
    for tool in list(chat.body.get("tools")) {
        text.push_str(&tool.to_string());
        text.push('\n');
    }
    text
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn add(value: Option<&Value>, text: &mut String) {
    match value {
        Some(Value::String(said)) => {
            text.push_str(said);
            text.push('\n');
        }
        Some(Value::Array(parts)) => {
            for part in parts {
                add(part.get("text"), text);
                if let Some(function) = part.get("function") {
                    add(function.get("name"), text);
                    add(function.get("arguments"), text);
                }
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {}
    }
}
