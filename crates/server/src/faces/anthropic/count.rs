//! What is counted where nobody counts the tokens of a prompt, or of an answer.

use crate::faces::tokens;
use chaski_api::openai::{ChatRequest, FunctionCall};
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

/// So much of an answer is kept to be counted. The rest is taken to be like it.
const KEPT: usize = 1024 * 1024;

/// What a model has said, thought and called, to be counted where the upstream does not count it:
/// the same for an answer at once and for its pieces.
#[derive(Debug, Default)]
pub(super) struct Answered {
    text: String,
    /// The bytes of all that was said.
    bytes: usize,
}

impl Answered {
    pub(super) fn add(&mut self, piece: &str) {
        self.bytes += piece.len();
        let room = KEPT.saturating_sub(self.text.len());
        self.text.push_str(&piece[..piece.floor_char_boundary(room)]);
    }

    pub(super) fn add_call(&mut self, call: &FunctionCall) {
        for text in [&call.name, &call.arguments].into_iter().flatten() {
            self.add(text);
        }
    }

    /// The tokens of it.
    pub(super) async fn tokens(self) -> i64 {
        let Self { text, bytes } = self;
        let work = move || tokens::of_text(&text).saturating_mul(bytes) / text.len().max(1);
        i64::try_from(tokens::of_answer(bytes, work).await).unwrap_or(i64::MAX)
    }
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
