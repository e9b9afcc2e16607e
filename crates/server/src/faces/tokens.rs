//! Counts tokens as the reference does: with the tokenizer and the dialog format of Llama 3,
//! whatever the model.
//!
//! Llama 3's vocabulary holds that of `cl100k_base` and splits text in the same way, so the counts
//! are equal except for texts that its additional tokens shorten, which are not English. Text is
//! split and encoded in linear time, and the tables are read when the first request needs them.

use super::python;
use crate::failures;
use chaski_api::inference::{InterleavedContent, Message, ToolCall, ToolPromptFormat};
use serde_json::json;
use tokio::task::JoinHandle;

/// Texts of up to so many bytes are counted where they are, longer ones off the network threads.
const INLINE_BYTES: usize = 16 * 1024;

/// So much of a text is counted, which is more than the context of most models takes.
const COUNTED_BYTES: usize = 1024 * 1024;

/// The token that begins every prompt.
const BEGIN_OF_TEXT: usize = 1;
/// The token that ends a message.
const END_OF_MESSAGE: usize = 1;
/// The token of an empty line.
const EMPTY_LINE: usize = 1;
/// A role between its two marks, and an empty line. `user`, `system` and `assistant` are one token each.
const HEADER: usize = 3 + EMPTY_LINE;
/// The header of the answer of a tool, whose role `ipython` is two tokens.
const TOOL_HEADER: usize = HEADER + 1;

/// A count that runs beside the request, or when it turns out to be needed.
pub(crate) enum Count {
    Running(JoinHandle<usize>),
    Later(Box<dyn FnOnce() -> usize + Send>),
}

impl Count {
    /// Counts on a thread for computing.
    pub(crate) fn start(work: impl FnOnce() -> usize + Send + 'static) -> Self {
        Self::Running(tokio::task::spawn_blocking(work))
    }

    /// Counts when it is asked for, if it is.
    pub(crate) fn later(work: impl FnOnce() -> usize + Send + 'static) -> Self {
        Self::Later(Box::new(work))
    }

    /// The count; 0 when the server shuts down meanwhile.
    pub(crate) async fn finish(self) -> usize {
        let running = match self {
            Self::Running(running) => running,
            Self::Later(work) => tokio::task::spawn_blocking(work),
        };
        running.await.unwrap_or_default()
    }
}

/// The tokens of a text that this process has generated or received completely.
pub(crate) async fn of_answer(
    bytes: usize,
    work: impl FnOnce() -> usize + Send + 'static,
) -> usize {
    if bytes <= INLINE_BYTES { work() } else { Count::start(work).finish().await }
}

/// The tokens of a chat: every message with its frame, and the header of the answer.
pub(crate) fn of_chat(messages: &[Message], format: Option<ToolPromptFormat>) -> usize {
    let messages: usize = messages.iter().map(|message| of_message(message, format)).sum();
    BEGIN_OF_TEXT + messages + HEADER
}

/// The tokens of the message that a model answered with, counted like a chat of that message.
pub(crate) fn of_answer_message(
    text: &str,
    calls: &[ToolCall],
    format: Option<ToolPromptFormat>,
) -> usize {
    BEGIN_OF_TEXT + assistant(of_text(text), calls, format) + HEADER
}

/// The tokens of a plain prompt, or of its continuation.
pub(crate) fn of_completion(text: &str) -> usize {
    BEGIN_OF_TEXT + of_text(text)
}

/// The tokens of a prompt; content given as items counts nothing, as in the reference.
pub(crate) fn of_prompt(content: &InterleavedContent) -> usize {
    match content {
        InterleavedContent::Text(text) => of_completion(text),
        InterleavedContent::Item(_) | InterleavedContent::Items(_) => 0,
    }
}

/// The tokens of a text without any frame.
pub(super) fn of_text(text: &str) -> usize {
    if text.is_empty() {
        return 0;
    }
    let counted = &text[..text.floor_char_boundary(COUNTED_BYTES)];
    let tokens = bpe_openai::cl100k_base().count(counted);
    // The rest is taken to be like the beginning.
    if counted.len() == text.len() { tokens } else { tokens * text.len() / counted.len() }
}

fn of_content(content: &InterleavedContent) -> usize {
    match content {
        InterleavedContent::Text(text) => of_text(text),
        InterleavedContent::Item(_) | InterleavedContent::Items(_) => 0,
    }
}

fn of_message(message: &Message, format: Option<ToolPromptFormat>) -> usize {
    match message {
        Message::User(user) => {
            let context =
                user.context.as_ref().map_or(0, |context| EMPTY_LINE + of_content(context));
            HEADER + of_content(&user.content) + context + END_OF_MESSAGE
        }
        Message::System(system) => HEADER + of_content(&system.content) + END_OF_MESSAGE,
        Message::Tool(tool) => TOOL_HEADER + of_content(&tool.content) + END_OF_MESSAGE,
        Message::Assistant(answer) => assistant(
            of_content(&answer.content),
            answer.tool_calls.as_deref().unwrap_or_default(),
            format,
        ),
    }
}

fn assistant(content: usize, calls: &[ToolCall], format: Option<ToolPromptFormat>) -> usize {
    let tag = calls.first().is_some_and(|call| call.tool_name == "code_interpreter");
    let calls: usize = calls.iter().map(|call| of_text(&rendered(call, format))).sum();
    HEADER + usize::from(tag) + content + calls + END_OF_MESSAGE
}

/// A tool call as it stands in a prompt.
fn rendered(call: &ToolCall, format: Option<ToolPromptFormat>) -> String {
    let argument = |name: &str| call.arguments.get(name).and_then(|value| value.as_str());
    match (call.tool_name.as_str(), format.unwrap_or(ToolPromptFormat::Json)) {
        (name @ ("brave_search" | "wolfram_alpha" | "photogen"), _) => {
            format!("{name}.call(query=\"{}\")", argument("query").unwrap_or_default())
        }
        ("code_interpreter", _) => argument("code").unwrap_or_default().to_owned(),
        (name, ToolPromptFormat::Json) => failures::python(&json!({
            "type": "function",
            "name": name,
            "parameters": call.arguments,
        })),
        (name, ToolPromptFormat::FunctionTag) => {
            format!(
                "<function={name}>{}</function>",
                failures::python(&call.arguments.clone().into())
            )
        }
        (name, ToolPromptFormat::PythonList) => {
            let arguments: Vec<String> = call
                .arguments
                .iter()
                .map(|(name, value)| format!("{name}={}", python::argument(value)))
                .collect();
            format!("[{name}({})]", arguments.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;
    use serde_json::Value;
    use std::time::Instant;

    fn chat(messages: Value) -> usize {
        let messages = Vec::<Message>::from_json(messages).expect("the messages are well formed");
        of_chat(&messages, None)
    }

    fn call(name: &str, arguments: &Value) -> ToolCall {
        ToolCall::from_json(json!({ "call_id": "1", "tool_name": name, "arguments": arguments }))
            .expect("the call is well formed")
    }

    #[test]
    fn frames_are_what_the_tokenizer_makes_of_them() {
        for (role, tokens) in
            [("user", HEADER), ("system", HEADER), ("assistant", HEADER), ("ipython", TOOL_HEADER)]
        {
            assert_eq!(2 + of_text(role) + of_text("\n\n"), tokens, "{role}");
        }
        assert_eq!(of_text("\n\n"), EMPTY_LINE);
    }

    #[test]
    fn a_chat_counts_its_frame() {
        assert_eq!(chat(json!([])), 5);
        assert_eq!(chat(json!([{ "role": "user", "content": "hi" }])), 11);
        assert_eq!(
            chat(json!([
                { "role": "system", "content": "You are terse." },
                { "role": "user", "content": "Which planet do humans live on?" },
            ])),
            26
        );
        assert_eq!(
            chat(json!([{
                "role": "user",
                "content": "Which planet do humans live on?",
                "context": "Some context",
            }])),
            20
        );
    }

    #[test]
    fn content_items_count_nothing() {
        let content = json!([{ "type": "text", "text": "Which planet do humans live on?" }]);
        assert_eq!(chat(json!([{ "role": "user", "content": content }])), 10);
    }

    #[test]
    fn answers_count_like_a_chat_of_one_message() {
        assert_eq!(of_answer_message("", &[], None), 10);
        assert_eq!(of_answer_message("Hello world", &[], None), 12);
        assert_eq!(of_completion("hi"), 2);
        assert_eq!(of_completion(""), 1);
    }

    #[test]
    fn what_looks_like_a_special_token_is_plain_text() {
        let text = "This ends with a special token <|eot_id|>";
        assert_eq!(of_answer_message(text, &[], None), 22);
    }

    #[test]
    fn tool_calls_count_as_they_are_rendered() {
        let weather = call("get_weather", &json!({ "location": "San Francisco, CA" }));
        let calls = [weather];
        assert_eq!(of_answer_message("", &calls, None), 35);
        assert_eq!(of_answer_message("", &calls, Some(ToolPromptFormat::FunctionTag)), 26);
        let search = call("brave_search", &json!({ "query": "Search the web for cats" }));
        assert_eq!(of_answer_message("", &[search], None), 22);
    }

    #[test]
    fn a_chat_with_tool_calls_counts_calls_and_answers() {
        let messages = json!([
            { "role": "user", "content": "What's the weather like in San Francisco?" },
            { "role": "assistant", "content": "", "stop_reason": "end_of_turn", "tool_calls": [
                { "call_id": "1", "tool_name": "get_weather", "arguments": { "location": "San Francisco, CA" } },
            ] },
            { "role": "tool", "call_id": "1", "content": "It is sunny, 22 degrees." },
        ]);
        assert_eq!(chat(messages), 63);
    }

    #[test]
    fn the_end_of_a_very_long_text_is_taken_to_be_like_its_beginning() {
        let text = "hello ".repeat(COUNTED_BYTES / 2);
        let part = of_text(&text[..COUNTED_BYTES]);
        assert!(of_text(&text).abs_diff(part * 3) < 10, "{part}");
    }

    #[test]
    fn hostile_texts_are_counted_in_linear_time() {
        let size = 400_000;
        let time = |text: &str| {
            let started = Instant::now();
            assert!(of_text(text) > 0);
            started.elapsed()
        };
        // The same run says how fast the machine is. What is not linear takes thousands of times.
        let ordinary = "It was a quiet evening. ".repeat(size / 24);
        let limit = (0..3).map(|_| time(&ordinary)).max().unwrap_or_default() * 200;
        for piece in ["a", " ", "\n", " \n", "🎉", "9", "'", "aA", "\u{301}", "!\r"] {
            let text = piece.repeat(size / piece.len());
            let took = time(&text);
            assert!(took < limit, "{piece:?} took {took:?}, more than {limit:?}");
        }
    }
}
