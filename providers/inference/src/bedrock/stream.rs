//! The events of `ConverseStream` in OpenAI's form.

use super::{
    NAME,
    answer::{TokenUsage, finish_reason, stopped_by},
    broken, failure, unclear,
};
use crate::{
    head::Head,
    more::More,
    thoughts,
    translated::{self, Source},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chaski_api::{
    Result,
    openai::{ChatChunk, ChatChunkChoice, ChatMessage, FunctionCall, FunctionToolCall, Thought},
};
use chaski_provider::{EventStream, Payload};
use chaski_upstream::{
    ByteStream,
    framing::{AwsMessage, AwsMessages},
};
use futures_util::StreamExt;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
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
    reasoning_content: Option<Reasoning>,
}

#[derive(Debug, Deserialize)]
struct ToolInput {
    #[serde(default)]
    input: String,
}

/// A piece of thoughts: of their text, of their signature, or of what stands for them encrypted.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reasoning {
    text: Option<String>,
    signature: Option<String>,
    /// In base64.
    redacted_content: Option<String>,
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
    #[serde(default, rename = "additionalModelResponseFields")]
    additional: Value,
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

/// The thoughts of a block under way.
#[derive(Default)]
struct Thoughts {
    thinking: String,
    signature: String,
    encrypted: Vec<u8>,
}

impl Thoughts {
    /// # Errors
    /// `Upstream` if they are too long, or not what they should be.
    fn add(&mut self, piece: &Reasoning) -> Result<()> {
        let Reasoning { text, signature, redacted_content } = piece;
        self.thinking += text.as_deref().unwrap_or_default();
        self.signature += signature.as_deref().unwrap_or_default();
        if let Some(encrypted) = redacted_content {
            let encrypted = STANDARD.decode(encrypted);
            self.encrypted.extend(encrypted.map_err(|error| unclear().caused_by(error))?);
        }
        let bytes = self.thinking.len() + self.signature.len() + self.encrypted.len();
        thoughts::check_length(bytes, NAME)
    }

    /// What the model wants back of them.
    fn end(self) -> Option<Thought> {
        if !self.encrypted.is_empty() {
            return Some(Thought::Encrypted { data: STANDARD.encode(self.encrypted) });
        }
        let (thinking, signature) = (self.thinking, self.signature);
        (!signature.is_empty()).then_some(Thought::Signed { thinking, signature })
    }
}

type Out = VecDeque<Payload<ChatChunk>>;

/// Translates the messages of one stream.
struct Translator {
    head: Head,
    usage: bool,
    /// The stop texts of the request.
    stops: Vec<String>,
    calls: Vec<Call>,
    thoughts: Thoughts,
    started: bool,
    /// The answer is complete. The tokens come after that, and then the end.
    stopped: bool,
}

impl Translator {
    fn translate(&mut self, message: &AwsMessage, out: &mut Out) -> Result<()> {
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
                if let Some(piece) = delta.reasoning_content {
                    self.thoughts.add(&piece)?;
                    if piece.text.is_some() {
                        let reasoning_content = piece.text;
                        self.add(ChatMessage { reasoning_content, ..ChatMessage::empty() }, out);
                    }
                }
                if let Some(ToolInput { input }) = delta.tool_use
                    && !input.is_empty()
                {
                    self.fill(content_block_index, input, out)?;
                }
            }
            "contentBlockStop" => {
                let BlockStop { content_block_index } = read(message)?;
                if let Some(thought) = std::mem::take(&mut self.thoughts).end() {
                    let chunk = self.next(ChatMessage::empty());
                    let more = More { thoughts: vec![thought], ..More::default() };
                    out.push_back(more.with(chunk)?);
                }
                let last = self.calls.last();
                if last.is_some_and(|call| call.block == content_block_index && !call.filled) {
                    self.fill(content_block_index, "{}".to_owned(), out)?;
                }
            }
            "messageStop" => {
                let MessageStop { stop_reason, additional } = read(message)?;
                let reason = finish_reason(&stop_reason, !self.calls.is_empty())?;
                self.stopped = true;
                let last = self.head.chunk(choice(ChatMessage::empty(), Some(reason)), None);
                let stop = stopped_by(&stop_reason, &additional, &self.stops);
                out.push_back(More::stopped_by(stop).with(last)?);
            }
            "metadata" => {
                let Metadata { usage } = read(message)?;
                if self.usage {
                    let last = self.head.chunk(Vec::new(), Some(usage.into()));
                    out.push_back(Payload::Value(last));
                }
            }
            other => {
                tracing::debug!(target: "inference", event = other, "unknown event of Bedrock");
            }
        }
        Ok(())
    }

    /// Adds to the arguments of the call in a block.
    fn fill(&mut self, block: i64, arguments: String, out: &mut Out) -> Result<()> {
        // Blocks come one after another.
        let call = self.calls.last_mut().filter(|call| call.block == block);
        call.ok_or_else(|| broken("sent the arguments of a call that has not begun"))?.filled =
            true;
        self.call(None, FunctionCall { name: None, arguments: Some(arguments) }, out);
        Ok(())
    }

    /// A piece of the last call.
    fn call(&mut self, id: Option<String>, function: FunctionCall, out: &mut Out) {
        let index = self.calls.len().saturating_sub(1);
        let kind = id.is_some().then(|| "function".to_owned());
        let call = FunctionToolCall { index: i64::try_from(index).ok(), id, kind, function };
        self.add(ChatMessage { tool_calls: Some(vec![call]), ..ChatMessage::empty() }, out);
    }

    fn add(&mut self, delta: ChatMessage, out: &mut Out) {
        let chunk = self.next(delta);
        out.push_back(Payload::Value(chunk));
    }

    /// The next event of the message.
    fn next(&mut self, mut delta: ChatMessage) -> ChatChunk {
        if !std::mem::replace(&mut self.started, true) {
            delta.role = Some("assistant".to_owned());
        }
        self.head.chunk(choice(delta, None), None)
    }
}

/// An addition to the message, or its end.
fn choice(delta: ChatMessage, finish_reason: Option<String>) -> Vec<ChatChunkChoice> {
    vec![ChatChunkChoice { index: 0, delta, logprobs: None, finish_reason }]
}

fn read<T: DeserializeOwned>(message: &AwsMessage) -> Result<T> {
    serde_json::from_slice(&message.payload).map_err(|error| unclear().caused_by(error))
}

/// The answer, as far as it was read.
struct Reading {
    source: ByteStream,
    messages: AwsMessages,
    translator: Translator,
}

/// The events of an answer to a request with these stop texts; the last carries the tokens, if
/// `usage` asks for them.
pub(super) fn events(
    source: ByteStream,
    head: Head,
    usage: bool,
    stops: Vec<String>,
) -> EventStream<Payload<ChatChunk>> {
    let translator = Translator {
        head,
        usage,
        stops,
        calls: Vec::new(),
        thoughts: Thoughts::default(),
        started: false,
        stopped: false,
    };
    let messages = AwsMessages::new(MESSAGE_BYTES);
    translated::events(Reading { source, messages, translator }).boxed()
}

impl Source for Reading {
    type Event = Payload<ChatChunk>;

    async fn read(&mut self, ready: &mut Out) -> Result<bool> {
        loop {
            if let Some(message) = self.messages.next_message() {
                let message = message.map_err(|error| unclear().caused_by(error))?;
                return self.translator.translate(&message, ready).map(|()| false);
            }
            match self.source.next().await.transpose()? {
                Some(piece) => self.messages.feed(piece),
                None if self.translator.stopped && self.messages.is_complete() => return Ok(true),
                None => return Err(broken("ended its answer before it was complete")),
            }
        }
    }
}
