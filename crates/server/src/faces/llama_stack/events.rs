//! The events of a chat stream in Llama Stack's form: `start`, `progress` ..., `complete`.

use super::{answer, calls::Assembly, python_tag, sampling, stream::Translation};
use crate::faces::tokens;
use chaski_api::{
    Result,
    inference::{
        ChatEvent, ChatEventType, ChatStreamChunk, ContentDelta, MetricInResponse, StopReason,
        TextDelta, TokenLogProbs, ToolCallDelta, ToolCallParseStatus,
    },
    openai::{ChatChunk, ChatChunkChoice},
};
use chaski_provider::Payload;
use serde_json::Value;
use std::collections::VecDeque;

/// Translates a chat stream.
///
/// Text comes through at once. Calls come whole, one event each, in their order, when the upstream
/// is done. A text that begins with the python tag is a call being written: its pieces come as
/// pieces of a call.
#[derive(Debug, Default)]
pub(super) struct ChatEvents {
    /// The names of the tools that are offered.
    offered: Vec<String>,
    started: bool,
    /// The text so far.
    text: String,
    /// The text so far, where it began with the python tag.
    tagged: Option<String>,
    calls: Assembly,
    finish: Option<String>,
}

impl ChatEvents {
    pub(super) fn new(offered: Vec<String>) -> Self {
        Self { offered, ..Self::default() }
    }

    fn start(&mut self, out: &mut VecDeque<ChatStreamChunk>) {
        if !self.started {
            self.started = true;
            out.push_back(event(ChatEventType::Start, text(String::new()), None, None));
        }
    }

    fn choice(&mut self, choice: ChatChunkChoice, out: &mut VecDeque<ChatStreamChunk>) {
        let piece = choice.delta.content.or(choice.delta.refusal).unwrap_or_default();
        if !piece.is_empty() {
            self.piece(piece, sampling::chat_logprobs(choice.logprobs), out);
        }
        for call in choice.delta.tool_calls.unwrap_or_default() {
            self.calls.add(call);
        }
        if choice.finish_reason.is_some() {
            self.finish = choice.finish_reason;
        }
    }

    fn piece(
        &mut self,
        piece: String,
        logprobs: Option<Vec<TokenLogProbs>>,
        out: &mut VecDeque<ChatStreamChunk>,
    ) {
        if let Some(tagged) = &mut self.tagged {
            tagged.push_str(&piece);
            let delta = call(piece.into(), ToolCallParseStatus::InProgress);
            out.push_back(event(ChatEventType::Progress, delta, logprobs, None));
        } else if self.text.is_empty() && piece.starts_with(python_tag::TAG) {
            self.tagged = Some(piece);
            let delta = call(Value::from(""), ToolCallParseStatus::Started);
            out.push_back(event(ChatEventType::Progress, delta, logprobs, None));
        } else {
            self.text.push_str(&piece);
            out.push_back(event(ChatEventType::Progress, text(piece), logprobs, None));
        }
    }
}

impl Translation for ChatEvents {
    type From = ChatChunk;
    type To = ChatStreamChunk;

    fn read(event: Payload<ChatChunk>) -> Result<ChatChunk> {
        event.into_chunk()
    }

    fn event(&mut self, chunk: ChatChunk, out: &mut VecDeque<ChatStreamChunk>) {
        self.start(out);
        for choice in chunk.choices {
            // The other answers of a request for several have no place in this form.
            if choice.index == 0 {
                self.choice(choice, out);
            }
        }
    }

    fn kept(&self) -> usize {
        self.text.len() + self.tagged.as_ref().map_or(0, String::len) + self.calls.bytes()
    }

    fn answered(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn tokens(text: &str) -> usize {
        tokens::of_answer_message(text, &[], None)
    }

    fn end(&mut self, metrics: Vec<MetricInResponse>, out: &mut VecDeque<ChatStreamChunk>) {
        self.start(out);
        let mut called = false;
        for raw in std::mem::take(&mut self.calls).into_calls() {
            called = true;
            let delta = match raw.parse() {
                Ok(parsed) => whole(&parsed),
                Err(_) => call(raw.raw().into(), ToolCallParseStatus::Failed),
            };
            out.push_back(event(ChatEventType::Progress, delta, None, None));
        }
        if let Some(tagged) = self.tagged.take() {
            let parsed = python_tag::calls(&tagged, &self.offered);
            called |= !parsed.is_empty();
            let reason = answer::stop_reason(self.finish.as_deref(), called);
            let mut deltas: Vec<ContentDelta> = parsed.iter().map(whole).collect();
            if deltas.is_empty() {
                deltas.push(call(tagged.into(), ToolCallParseStatus::Failed));
            }
            for delta in deltas {
                out.push_back(event(ChatEventType::Progress, delta, None, Some(reason)));
            }
        }
        let reason = answer::stop_reason(self.finish.as_deref(), called);
        let last = event(ChatEventType::Complete, text(String::new()), None, Some(reason));
        out.push_back(ChatStreamChunk { metrics: Some(metrics), ..last });
    }
}

fn text(text: String) -> ContentDelta {
    ContentDelta::Text(TextDelta { text })
}

fn call(tool_call: Value, parse_status: ToolCallParseStatus) -> ContentDelta {
    ContentDelta::ToolCall(ToolCallDelta { tool_call, parse_status })
}

fn whole(parsed: &chaski_api::inference::ToolCall) -> ContentDelta {
    let parsed = serde_json::to_value(parsed).expect("wire types are plain data");
    call(parsed, ToolCallParseStatus::Succeeded)
}

fn event(
    event_type: ChatEventType,
    delta: ContentDelta,
    logprobs: Option<Vec<TokenLogProbs>>,
    stop_reason: Option<StopReason>,
) -> ChatStreamChunk {
    let event = ChatEvent { event_type, delta, logprobs, stop_reason };
    ChatStreamChunk { metrics: None, event }
}
