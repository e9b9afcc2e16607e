//! The turns of a chat: from Anthropic's form to OpenAI's.
//!
//! Turns of one role that follow each other are one turn, as with Anthropic. Results of tools stand
//! in messages of their own, right after the calls; images in them follow in the user's turn.

use super::documents::{self, Part};
use chaski_api::{
    Reader,
    anthropic::{
        InputBlock, InputMessage, InputRole, RedactedThinkingInput, ResultPart, TextInput, TextOr,
        ThinkingInput, ToolResultInput, ToolUseBlock,
    },
    openai::{THINKING_BLOCKS, Thought},
};
use serde_json::{Map, Value, json};

/// What stands before the result of a tool that failed.
const FAILED: &str = "Error: ";

/// The turn that is being put together.
enum Turn {
    User(Vec<Part>),
    Assistant(Said),
}

/// What the model said.
#[derive(Default)]
struct Said {
    texts: Vec<String>,
    calls: Vec<Value>,
    /// Those that show where they come from, for models that want them back.
    thoughts: Vec<Thought>,
}

/// The messages in OpenAI's form, the system's first.
pub(super) fn messages(
    system: Option<TextOr<TextInput>>,
    messages: Vec<InputMessage>,
    reader: &mut Reader,
) -> Option<Vec<Value>> {
    if messages.is_empty() {
        return reader.issue("too_short", "at least one message is required");
    }
    let mark = reader.mark();
    let mut out = Vec::with_capacity(messages.len() + 1);
    let system = system.map(text_of).unwrap_or_default();
    if !system.is_empty() {
        out.push(json!({ "role": "system", "content": system }));
    }
    let before = out.len();
    let mut turn = None;
    for (index, message) in messages.into_iter().enumerate() {
        reader.index(index, |reader| match message.role {
            InputRole::User => user(message.content, &mut turn, &mut out, reader),
            InputRole::Assistant => assistant(message.content, &mut turn, &mut out, reader),
            InputRole::System => later_system(message.content, &mut turn, &mut out, reader),
        });
    }
    end(turn, &mut out);
    if reader.failed_since(mark) {
        return None;
    }
    if out.len() == before {
        return reader.issue("too_short", "at least one message must say something");
    }
    Some(out)
}

fn text_of(text: TextOr<TextInput>) -> String {
    match text {
        TextOr::Text(text) => text,
        TextOr::Parts(parts) => {
            parts.into_iter().map(|part| part.text).collect::<Vec<_>>().join("\n")
        }
    }
}

fn user(
    content: TextOr<InputBlock>,
    turn: &mut Option<Turn>,
    out: &mut Vec<Value>,
    reader: &mut Reader,
) {
    let (mut results, mut parts) = (Vec::new(), Vec::new());
    match content {
        TextOr::Text(text) => parts.push(Part::Text(text)),
        TextOr::Parts(blocks) => reader.key("content", |reader| {
            if blocks.is_empty() {
                reader.issue::<()>("too_short", "a `user` message needs at least one block");
            }
            for (index, block) in blocks.into_iter().enumerate() {
                reader.index(index, |reader| match block {
                    InputBlock::Text(text) => parts.push(Part::Text(text.text)),
                    InputBlock::Image(image) => parts.extend(documents::image(image, reader)),
                    InputBlock::Document(document) => {
                        parts.extend(documents::document(document, reader));
                    }
                    InputBlock::SearchResult(found) => parts.push(documents::search_result(found)),
                    InputBlock::ToolResult(result) => {
                        results.push(tool_result(result, &mut parts, reader));
                    }
                    InputBlock::ToolUse(_) => misplaced("tool_use", "assistant", reader),
                    InputBlock::Thinking(_) => misplaced("thinking", "assistant", reader),
                    InputBlock::RedactedThinking(_) => {
                        misplaced("redacted_thinking", "assistant", reader);
                    }
                });
            }
        }),
    }
    if !results.is_empty() {
        end(turn.take(), out);
        out.append(&mut results);
    }
    match turn {
        Some(Turn::User(before)) => before.append(&mut parts),
        Some(Turn::Assistant(_)) | None => end(turn.replace(Turn::User(parts)), out),
    }
}

fn assistant(
    content: TextOr<InputBlock>,
    turn: &mut Option<Turn>,
    out: &mut Vec<Value>,
    reader: &mut Reader,
) {
    let mut said = Said::default();
    match content {
        TextOr::Text(text) => said.texts.push(text),
        TextOr::Parts(blocks) => reader.key("content", |reader| {
            for (index, block) in blocks.into_iter().enumerate() {
                reader.index(index, |reader| match block {
                    InputBlock::Text(text) => said.texts.push(text.text),
                    InputBlock::ToolUse(call) => said.calls.push(tool_call(call)),
                    // No model takes back what it cannot recognise.
                    InputBlock::Thinking(thought) if thought.signature.is_empty() => {}
                    InputBlock::Thinking(ThinkingInput { thinking, signature }) => {
                        said.thoughts.push(Thought::Signed { thinking, signature });
                    }
                    InputBlock::RedactedThinking(RedactedThinkingInput { data }) => {
                        said.thoughts.push(Thought::Encrypted { data });
                    }
                    InputBlock::Image(_) => misplaced("image", "user", reader),
                    InputBlock::Document(_) => misplaced("document", "user", reader),
                    InputBlock::SearchResult(_) => misplaced("search_result", "user", reader),
                    InputBlock::ToolResult(_) => misplaced("tool_result", "user", reader),
                });
            }
        }),
    }
    match turn {
        Some(Turn::Assistant(before)) => {
            before.texts.append(&mut said.texts);
            before.calls.append(&mut said.calls);
            before.thoughts.append(&mut said.thoughts);
        }
        Some(Turn::User(_)) | None => end(turn.replace(Turn::Assistant(said)), out),
    }
}

/// Orders in the middle of the chat.
fn later_system(
    content: TextOr<InputBlock>,
    turn: &mut Option<Turn>,
    out: &mut Vec<Value>,
    reader: &mut Reader,
) {
    let mut texts = Vec::new();
    match content {
        TextOr::Text(text) => texts.push(text),
        TextOr::Parts(blocks) => reader.key("content", |reader| {
            for (index, block) in blocks.into_iter().enumerate() {
                if let InputBlock::Text(text) = block {
                    texts.push(text.text);
                } else {
                    let message = "`system` messages consist of `text` blocks only";
                    reader.index(index, |reader| reader.issue::<()>("misplaced", message));
                }
            }
        }),
    }
    end(turn.take(), out);
    out.push(json!({ "role": "system", "content": texts.join("\n") }));
}

fn misplaced(kind: &str, role: &str, reader: &mut Reader) {
    let message = format!("`{kind}` blocks can only be in `{role}` messages");
    reader.issue::<()>("misplaced", message);
}

/// Adds the message of a turn that is over.
fn end(turn: Option<Turn>, out: &mut Vec<Value>) {
    match turn {
        None => {}
        Some(Turn::User(parts)) if parts.is_empty() => {}
        Some(Turn::User(parts)) => {
            out.push(json!({ "role": "user", "content": documents::content(parts) }));
        }
        Some(Turn::Assistant(Said { texts, calls, thoughts })) => {
            let text = texts.join("\n");
            if text.is_empty() && calls.is_empty() {
                return;
            }
            let mut message = Map::new();
            message.insert("role".to_owned(), "assistant".into());
            let content = if text.is_empty() { Value::Null } else { text.into() };
            message.insert("content".to_owned(), content);
            if !calls.is_empty() {
                message.insert("tool_calls".to_owned(), calls.into());
            }
            if !thoughts.is_empty() {
                message.insert(THINKING_BLOCKS.to_owned(), Thought::member(&thoughts));
            }
            out.push(message.into());
        }
    }
}

fn tool_call(call: ToolUseBlock) -> Value {
    let arguments = Value::Object(call.input).to_string();
    let function = json!({ "name": call.name, "arguments": arguments });
    json!({ "id": call.id, "type": "function", "function": function })
}

/// The message with a result; what is no text goes into the user's turn that follows.
fn tool_result(result: ToolResultInput, after: &mut Vec<Part>, reader: &mut Reader) -> Value {
    let mut parts = Vec::new();
    match result.content {
        None => {}
        Some(TextOr::Text(text)) => parts.push(Part::Text(text)),
        Some(TextOr::Parts(found)) => reader.key("content", |reader| {
            for (index, part) in found.into_iter().enumerate() {
                reader.index(index, |reader| match part {
                    ResultPart::Text(text) => parts.push(Part::Text(text.text)),
                    ResultPart::Image(image) => parts.extend(documents::image(image, reader)),
                    ResultPart::Document(document) => {
                        parts.extend(documents::document(document, reader));
                    }
                    ResultPart::SearchResult(found) => parts.push(documents::search_result(found)),
                });
            }
        }),
    }
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(text) => texts.push(text),
            Part::Other(_) => others.push(part),
        }
    }
    let id = result.tool_use_id;
    if !others.is_empty() {
        after.push(Part::Text(format!("From the result of the tool call `{id}`:")));
        after.append(&mut others);
    }
    let failed = if result.is_error == Some(true) { FAILED } else { "" };
    let content = format!("{failed}{}", texts.join("\n"));
    json!({ "role": "tool", "tool_call_id": id, "content": content.trim_end() })
}
