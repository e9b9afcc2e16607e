//! The events of `ConverseStream` in OpenAI's form.

use super::{
    answer::{TokenUsage, finish_reason},
    broken, failure, unclear,
};
use crate::head::Head;
use chaski_api::{
    Result,
    openai::{ChatChunk, ChatChunkChoice, ChatMessage, FunctionCall, FunctionToolCall},
};
use chaski_provider::{EventStream, Payload};
use chaski_upstream::{
    ByteStream,
    framing::{AwsMessage, AwsMessages},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::VecDeque;

pub(super) const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";
/// The longest message: a tool call may carry a whole file, though in pieces.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// What begins a block.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    content_block_index: i64,
    #[serde(default)]
    start: Started,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Started {
    tool_use: Option<ToolStart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolStart {
    tool_use_id: String,
    name: String,
}

/// What is added to a block; kinds that OpenAI's form has no place for are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addition {
    content_block_index: i64,
    #[serde(default)]
    delta: Delta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Delta {
    text: Option<String>,
    tool_use: Option<ToolInput>,
    reasoning_content: Option<Thought>,
}

#[derive(Debug, Deserialize)]
struct ToolInput {
    #[serde(default)]
    input: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Thought {
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStop {
    content_block_index: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    stop_reason: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    usage: TokenUsage,
}

/// A block that is a call, under way.
struct Call {
    block: i64,
    /// Whether arguments have come: a call without any gets an empty object at its end.
    filled: bool,
}

/// Translates the messages of one stream.
struct Translator {
    head: Head,
    usage: bool,
    calls: Vec<Call>,
    started: bool,
    /// The answer is complete. The tokens come after that, and then the end.
    stopped: bool,
}

impl Translator {
    fn translate(&mut self, message: &AwsMessage, out: &mut VecDeque<ChatChunk>) -> Result<()> {
        if let Some(error) = failure::in_message(message) {
            return Err(error);
        }
        match message.header(":event-type") {
            "messageStart" => self.add(ChatMessage::text(""), out),
            "contentBlockStart" => {
                let Start { content_block_index, start } = read(message)?;
                if let Some(call) = start.tool_use {
                    self.calls.push(Call { block: content_block_index, filled: false });
                    let function =
                        FunctionCall { name: Some(call.name), arguments: Some(String::new()) };
                    self.call(Some(call.tool_use_id), function, out);
                }
            }
            "contentBlockDelta" => {
                let Addition { content_block_index, delta } = read(message)?;
                if let Some(text) = delta.text {
                    self.add(ChatMessage::text(text), out);
                }
                if let Some(thought) = delta.reasoning_content.and_then(|thought| thought.text) {
                    let delta =
                        ChatMessage { reasoning_content: Some(thought), ..ChatMessage::empty() };
                    self.add(delta, out);
                }
                if let Some(ToolInput { input }) = delta.tool_use
                    && !input.is_empty()
                {
                    self.fill(content_block_index, input, out)?;
                }
            }
            "contentBlockStop" => {
                let BlockStop { content_block_index } = read(message)?;
                let last = self.calls.last();
                if last.is_some_and(|call| call.block == content_block_index && !call.filled) {
                    self.fill(content_block_index, "{}".to_owned(), out)?;
                }
            }
            "messageStop" => {
                let MessageStop { stop_reason } = read(message)?;
                let reason = finish_reason(&stop_reason, !self.calls.is_empty())?;
                self.stopped = true;
                out.push_back(self.head.chunk(choice(ChatMessage::empty(), Some(reason)), None));
            }
            "metadata" => {
                let Metadata { usage } = read(message)?;
                if self.usage {
                    out.push_back(self.head.chunk(Vec::new(), Some(usage.into())));
                }
            }
            other => {
                tracing::debug!(target: "inference", event = other, "unknown event of Bedrock");
            }
        }
        Ok(())
    }

    /// Adds to the arguments of the call in a block.
    fn fill(&mut self, block: i64, arguments: String, out: &mut VecDeque<ChatChunk>) -> Result<()> {
        // Blocks come one after another.
        let call = self.calls.last_mut().filter(|call| call.block == block);
        call.ok_or_else(|| broken("sent the arguments of a call that has not begun"))?.filled =
            true;
        self.call(None, FunctionCall { name: None, arguments: Some(arguments) }, out);
        Ok(())
    }

    /// A piece of the last call.
    fn call(&mut self, id: Option<String>, function: FunctionCall, out: &mut VecDeque<ChatChunk>) {
        let index = self.calls.len().saturating_sub(1);
        let kind = id.is_some().then(|| "function".to_owned());
        let call = FunctionToolCall { index: i64::try_from(index).ok(), id, kind, function };
        self.add(ChatMessage { tool_calls: Some(vec![call]), ..ChatMessage::empty() }, out);
    }

    fn add(&mut self, mut delta: ChatMessage, out: &mut VecDeque<ChatChunk>) {
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some("assistant".to_owned());
        }
        out.push_back(self.head.chunk(choice(delta, None), None));
    }
}

/// An addition to the message, or its end.
fn choice(delta: ChatMessage, finish_reason: Option<String>) -> Vec<ChatChunkChoice> {
    vec![ChatChunkChoice { index: 0, delta, logprobs: None, finish_reason }]
}

fn read<T: DeserializeOwned>(message: &AwsMessage) -> Result<T> {
    serde_json::from_slice(&message.payload).map_err(|error| unclear().caused_by(error))
}

/// Where a stream stands.
struct Progress {
    source: ByteStream,
    messages: AwsMessages,
    translator: Translator,
    /// Translated and not sent yet: one message may become several events.
    ready: VecDeque<ChatChunk>,
    over: bool,
}

/// The events of an answer; the last carries the tokens, if `usage` asks for them.
pub(super) fn events(
    source: ByteStream,
    head: Head,
    usage: bool,
) -> EventStream<Payload<ChatChunk>> {
    let translator = Translator { head, usage, calls: Vec::new(), started: false, stopped: false };
    let messages = AwsMessages::new(MESSAGE_BYTES);
    let progress = Progress { source, messages, translator, ready: VecDeque::new(), over: false };
    stream::unfold(progress, |mut progress| async move {
        let event = progress.next().await.transpose()?;
        Some((event.map(Payload::Value), progress))
    })
    .boxed()
}

impl Progress {
    /// The next event; nothing at the end, and after an error.
    async fn next(&mut self) -> Result<Option<ChatChunk>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.over {
                return Ok(None);
            }
            let read = self.read().await;
            self.over |= read.is_err();
            read?;
        }
    }

    /// Reads on until there is a message, and translates it.
    async fn read(&mut self) -> Result<()> {
        loop {
            if let Some(message) = self.messages.next_message() {
                let message = message.map_err(|error| unclear().caused_by(error))?;
                return self.translator.translate(&message, &mut self.ready);
            }
            match self.source.next().await.transpose() {
                Ok(Some(piece)) => self.messages.feed(piece),
                Ok(None) if self.translator.stopped && self.messages.is_complete() => {
                    self.over = true;
                    return Ok(());
                }
                Ok(None) => return Err(broken("ended its answer before it was complete")),
                Err(error) => return Err(error),
            }
        }
    }
}
