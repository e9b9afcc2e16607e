//! From Ollama's answers to OpenAI's.

use super::in_text;
use crate::head::Head;
use chaski_api::{
    Error, ErrorKind, Result,
    openai::{
        ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatMessage, FunctionCall,
        FunctionToolCall, Usage,
    },
};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// An answer, or a line of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    error: Option<String>,
    message: Message,
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: i64,
    eval_count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: String,
    thinking: Option<String>,
    tool_calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    function: Function,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// The whole answer.
///
/// # Errors
/// Those that Ollama tells in its answer.
pub(super) fn completion(head: Head, answer: Answer) -> Result<ChatCompletion> {
    check(&answer)?;
    let usage = Some(usage(&answer));
    let finish_reason = Some(finish_reason(&answer, !answer.message.tool_calls.is_empty()));
    let mut message = message(answer.message, &mut 0);
    message.role = Some("assistant".to_owned());
    let choice = ChatChoice { index: 0, message, logprobs: None, finish_reason };
    Ok(head.chat(vec![choice], usage))
}

/// Translates the lines of one stream.
pub(super) struct Translator {
    head: Head,
    usage: bool,
    calls: i64,
    started: bool,
    done: bool,
}

impl Translator {
    pub(super) fn new(head: Head, usage: bool) -> Self {
        Self { head, usage, calls: 0, started: false, done: false }
    }

    /// Whether the last line has come.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn translate(&mut self, answer: Answer) -> Result<Vec<ChatChunk>> {
        check(&answer)?;
        self.done = answer.done;
        let mut events = Vec::new();
        let usage = (answer.done && self.usage).then(|| usage(&answer));
        let last = answer.done.then(|| {
            finish_reason(&answer, self.calls > 0 || !answer.message.tool_calls.is_empty())
        });
        let mut delta = message(answer.message, &mut self.calls);
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some("assistant".to_owned());
        }
        let choice = ChatChunkChoice { index: 0, delta, logprobs: None, finish_reason: last };
        events.push(self.head.chunk(vec![choice], None));
        if let Some(usage) = usage {
            events.push(self.head.chunk(Vec::new(), Some(usage)));
        }
        Ok(events)
    }
}

fn check(answer: &Answer) -> Result<()> {
    match &answer.error {
        Some(message) => Err(Error::new(ErrorKind::Upstream { status: None }, message)),
        None => Ok(()),
    }
}

/// The message with its calls numbered from `calls` on.
fn message(from: Message, calls: &mut i64) -> ChatMessage {
    let translated: Vec<FunctionToolCall> = from
        .tool_calls
        .into_iter()
        .map(|Call { function }| {
            let index = *calls;
            *calls += 1;
            FunctionToolCall {
                index: Some(index),
                id: Some(format!("call_{}", Uuid::new_v4().simple())),
                kind: Some("function".to_owned()),
                function: FunctionCall {
                    name: Some(function.name),
                    arguments: Some(in_text(&function.arguments)),
                },
            }
        })
        .collect();
    let mut message = ChatMessage::text(from.content);
    message.reasoning_content = from.thinking.filter(|text| !text.is_empty());
    message.tool_calls = (!translated.is_empty()).then_some(translated);
    message
}

fn finish_reason(answer: &Answer, called: bool) -> String {
    match answer.done_reason.as_deref() {
        _ if called => "tool_calls",
        Some("length") => "length",
        Some(_) | None => "stop",
    }
    .to_owned()
}

fn usage(answer: &Answer) -> Usage {
    Usage::of(answer.prompt_eval_count, answer.eval_count)
}
