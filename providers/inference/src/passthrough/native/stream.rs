//! Llama Stack's streams in OpenAI's form.

use super::{
    answer::{chat_logprobs, finish_reason, function_call, text_logprobs, usage},
    broken,
};
use crate::{
    head::Head,
    translated::{self, Source},
};
use chaski_api::{
    Error, ErrorKind, Result, Wire,
    inference::{
        ChatStreamChunk, CompletionStreamChunk, ContentDelta, MetricInResponse, StopReason,
        ToolCall, ToolCallParseStatus,
    },
    openai::{ChatChunk, ChatChunkChoice, ChatMessage, ChoiceLogprobs, TextChoice, TextCompletion},
};
use chaski_provider::{EventStream, Payload};
use chaski_upstream::{ByteStream, Response, framing::Events};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::VecDeque;

const MEDIA_TYPE: &str = "text/event-stream";
/// The longest event: a tool call may carry a whole file.
const EVENT_BYTES: usize = 8 * 1024 * 1024;

/// What is done with each event of the server.
pub(super) trait Translation: Send + 'static {
    type To: Send + 'static;
    /// Translates one event. Says whether the answer is complete with it.
    fn event(&mut self, event: Value, out: &mut VecDeque<Self::To>) -> Result<bool>;
    /// What comes after the last event.
    fn end(&mut self, out: &mut VecDeque<Self::To>);
}

/// Translates the events of a chat.
pub(super) struct Chat {
    head: Head,
    usage: bool,
    started: bool,
    calls: i64,
    metrics: Option<Vec<MetricInResponse>>,
    reason: StopReason,
}

impl Chat {
    pub(super) fn new(head: Head, usage: bool) -> Self {
        let reason = StopReason::EndOfTurn;
        Self { head, usage, started: false, calls: 0, metrics: None, reason }
    }

    fn add(
        &mut self,
        mut delta: ChatMessage,
        logprobs: Option<ChoiceLogprobs>,
        out: &mut VecDeque<ChatChunk>,
    ) {
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some("assistant".to_owned());
        }
        let choice = ChatChunkChoice { index: 0, delta, logprobs, finish_reason: None };
        out.push_back(self.head.chunk(vec![choice], None));
    }
}

impl Translation for Chat {
    type To = ChatChunk;

    fn event(&mut self, event: Value, out: &mut VecDeque<ChatChunk>) -> Result<bool> {
        let ChatStreamChunk { metrics, event } = read(event)?;
        if metrics.as_ref().is_some_and(|metrics| !metrics.is_empty()) {
            self.metrics = metrics;
        }
        let logprobs = event.logprobs.filter(|list| !list.is_empty()).map(chat_logprobs);
        match event.delta {
            ContentDelta::Text(delta) if delta.text.is_empty() && self.started => {}
            ContentDelta::Text(delta) => self.add(ChatMessage::text(delta.text), logprobs, out),
            ContentDelta::ToolCall(delta) => match (delta.parse_status, delta.tool_call) {
                // The pieces of a call: it comes as a whole when it is complete.
                (ToolCallParseStatus::Started | ToolCallParseStatus::InProgress, _) => {}
                (_, Value::String(text)) => self.add(ChatMessage::text(text), logprobs, out),
                (_, call) => {
                    let call: ToolCall = read(call)?;
                    let calls = vec![function_call(Some(self.calls), call)];
                    self.calls += 1;
                    self.add(
                        ChatMessage { tool_calls: Some(calls), ..ChatMessage::empty() },
                        logprobs,
                        out,
                    );
                }
            },
        }
        if let Some(reason) = event.stop_reason {
            self.reason = reason;
        }
        Ok(event.event_type == chaski_api::inference::ChatEventType::Complete)
    }

    fn end(&mut self, out: &mut VecDeque<ChatChunk>) {
        let reason = finish_reason(self.reason, self.calls > 0).to_owned();
        let choice = ChatChunkChoice {
            index: 0,
            delta: ChatMessage::empty(),
            logprobs: None,
            finish_reason: Some(reason),
        };
        out.push_back(self.head.chunk(vec![choice], None));
        let usage = usage(self.metrics.as_deref()).filter(|_| self.usage);
        out.extend(usage.map(|usage| self.head.chunk(Vec::new(), Some(usage))));
    }
}

/// Translates the events of a completion.
pub(super) struct Text {
    head: Head,
    usage: bool,
    metrics: Option<Vec<MetricInResponse>>,
    reason: StopReason,
}

impl Text {
    pub(super) fn new(head: Head, usage: bool) -> Self {
        Self { head, usage, metrics: None, reason: StopReason::EndOfTurn }
    }

    fn choice(text: String, finish_reason: Option<String>) -> TextChoice {
        TextChoice { index: 0, text, logprobs: None, finish_reason }
    }
}

impl Translation for Text {
    type To = TextCompletion;

    fn event(&mut self, event: Value, out: &mut VecDeque<TextCompletion>) -> Result<bool> {
        let chunk: CompletionStreamChunk = read(event)?;
        if chunk.metrics.as_ref().is_some_and(|metrics| !metrics.is_empty()) {
            self.metrics = chunk.metrics;
        }
        if !chunk.delta.is_empty() {
            let logprobs = chunk.logprobs.filter(|list| !list.is_empty()).map(text_logprobs);
            let choice = TextChoice { logprobs, ..Self::choice(chunk.delta, None) };
            out.push_back(self.head.text(vec![choice], None));
        }
        if let Some(reason) = chunk.stop_reason {
            self.reason = reason;
        }
        Ok(chunk.stop_reason.is_some())
    }

    fn end(&mut self, out: &mut VecDeque<TextCompletion>) {
        let reason = finish_reason(self.reason, false).to_owned();
        let choice = Self::choice(String::new(), Some(reason));
        out.push_back(self.head.text(vec![choice], None));
        let usage = usage(self.metrics.as_deref()).filter(|_| self.usage);
        out.extend(usage.map(|usage| self.head.text(Vec::new(), Some(usage))));
    }
}

fn read<T: Wire>(value: Value) -> Result<T> {
    T::from_json(value).map_err(|issues| unclear().caused_by(Error::malformed(issues)))
}

fn unclear() -> Error {
    broken("sent an event that cannot be understood")
}

/// The error that an event stands for: `{"error": {"message": "400: Invalid value: ..."}}`.
fn error_in(event: &Value) -> Option<Error> {
    let error = event.get("error").filter(|error| !error.is_null())?;
    let said = error.get("message").and_then(Value::as_str).unwrap_or("an error without a message");
    let status = said.split_once(": ").and_then(|(status, rest)| {
        let status = status.parse::<u16>().ok().filter(|status| (400..600).contains(status))?;
        Some((status, rest))
    });
    let (kind, said) = match status {
        Some((429, rest)) => (ErrorKind::RateLimited { retry_after: None }, rest),
        Some((status, rest)) => (ErrorKind::Upstream { status: Some(status) }, rest),
        None => (ErrorKind::Upstream { status: None }, said),
    };
    Some(Error::new(kind, said))
}

/// The answer, as far as it was read.
struct Answer<T: Translation> {
    source: ByteStream,
    events: Events,
    translation: T,
    complete: bool,
}

/// The events of an answer.
///
/// # Errors
/// `Upstream` if the server does not stream.
pub(super) fn events<T: Translation>(
    response: Response,
    translation: T,
) -> Result<EventStream<Payload<T::To>>> {
    let media_type = response.media_type();
    if matches!(media_type.as_str(), "application/json" | "text/html") {
        let what = format!("answered with `{media_type}` in place of `{MEDIA_TYPE}`");
        return Err(broken(&what));
    }
    let (source, events) = (response.stream(), Events::new(EVENT_BYTES));
    let answer = Answer { source, events, translation, complete: false };
    Ok(translated::events(answer).map(|event| event.map(Payload::Value)).boxed())
}

impl<T: Translation> Source for Answer<T> {
    type Event = T::To;

    async fn read(&mut self, ready: &mut VecDeque<T::To>) -> Result<bool> {
        loop {
            if let Some(event) = self.events.next_event() {
                let event = event.map_err(|error| unclear().caused_by(error))?;
                return self.translate(&event.data, ready).map(|()| false);
            }
            if let Some(piece) = self.source.next().await.transpose()? {
                self.events.feed(piece);
            } else if let Some(event) = self.events.finish() {
                return self.translate(&event.data, ready).map(|()| false);
            } else if self.complete {
                self.translation.end(ready);
                return Ok(true);
            } else {
                return Err(broken("ended its answer before it was complete"));
            }
        }
    }
}

impl<T: Translation> Answer<T> {
    fn translate(&mut self, data: &[u8], ready: &mut VecDeque<T::To>) -> Result<()> {
        let data = data.trim_ascii();
        // The reference sends no `[DONE]`, its successors do.
        if data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let event: Value =
            serde_json::from_slice(data).map_err(|error| unclear().caused_by(error))?;
        if let Some(error) = error_in(&event) {
            return Err(error);
        }
        self.complete |= self.translation.event(event, ready)?;
        Ok(())
    }
}
