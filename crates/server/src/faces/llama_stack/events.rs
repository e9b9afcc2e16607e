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
use chaski_provider::{Payload, Trail};
use serde_json::Value;
use std::{collections::VecDeque, sync::Arc};

/// Translates a chat stream.
///
/// Text comes through at once. Calls come whole, one event each, in their order, when the upstream
/// is done; where the provider says so, what is written of them comes before as text, as with the
/// reference. A text that begins with the python tag is a call being written: its pieces come as
/// pieces of a call.
#[derive(Debug, Default)]
pub(super) struct ChatEvents {
    /// The names of the tools that are offered.
    offered: Vec<String>,
    /// Says who answers, once there is an event.
    trail: Arc<Trail>,
    /// Whether calls are shown as they are written; known with the first piece of one.
    shows_pieces: Option<bool>,
    started: bool,
    /// The text so far.
    text: String,
    /// The text so far, where it began with the python tag.
    tagged: Option<String>,
    calls: Assembly,
    finish: Option<String>,
}

impl ChatEvents {
    pub(super) fn new(offered: Vec<String>, trail: Arc<Trail>) -> Self {
        Self { offered, trail, ..Self::default() }
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
        for piece in choice.delta.tool_calls.unwrap_or_default() {
            let text = self.calls.add(piece);
            if self.shows_pieces() && !text.is_empty() {
                let delta = call(text.into(), ToolCallParseStatus::InProgress);
                out.push_back(event(ChatEventType::Progress, delta, None, None));
            }
        }
        if choice.finish_reason.is_some() {
            self.finish = choice.finish_reason;
        }
    }

    fn shows_pieces(&mut self) -> bool {
        let trail = &self.trail;
        let served = || trail.served().is_some_and(|served| served.streams_calls);
        *self.shows_pieces.get_or_insert_with(served)
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
        let calls = std::mem::take(&mut self.calls).into_calls();
        let mut called = !calls.is_empty();
        let shows_pieces = called && self.shows_pieces();
        let reason = answer::stop_reason(self.finish.as_deref(), called);
        for raw in calls {
            if shows_pieces && raw.is_named() {
                let delta = call(Value::from(")"), ToolCallParseStatus::InProgress);
                out.push_back(event(ChatEventType::Progress, delta, None, None));
            }
            let delta = match raw.parse() {
                Ok(parsed) => whole(&parsed),
                Err(_) => call(raw.raw().into(), ToolCallParseStatus::Failed),
            };
            let reason = shows_pieces.then_some(reason);
            out.push_back(event(ChatEventType::Progress, delta, None, reason));
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
