//! Streams: from the events of Anthropic's form to the chunks of OpenAI's.

use super::{
    NAME,
    answer::{STOP_SEQUENCE, finish_reason, input, text_of, usage},
    api::broken,
    request::Form,
};
use crate::{
    head::now,
    thoughts,
    translated::{self, Source},
};
use bytes::Bytes;
use chaski_api::{
    Result,
    openai::{STOP_REASON, THINKING_BLOCKS, Thought},
};
use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, VecDeque};

pub(super) type Out = VecDeque<Bytes>;

/// A part of the message that has begun.
#[derive(Debug)]
enum Block {
    Text,
    /// Thoughts, as far as they have come, and their signature.
    Thoughts {
        thinking: String,
        signature: String,
    },
    /// A call; its number, what it began with, and whether arguments have come.
    Call {
        number: usize,
        begun_with: String,
        has_arguments: bool,
    },
    /// The input of the tool that the model must call, which is the answer.
    Answer {
        begun_with: String,
        has_arguments: bool,
    },
}

/// Translates the events of a message.
#[derive(Debug)]
pub(super) struct Translation {
    form: Form,
    id: String,
    model: String,
    created: i64,
    blocks: HashMap<i64, Block>,
    calls: usize,
    /// The bytes of all thoughts and signatures so far.
    thought_bytes: usize,
    usage: Map<String, Value>,
    finished: bool,
}

impl Translation {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            id: String::new(),
            model: String::new(),
            created: now(),
            blocks: HashMap::new(),
            calls: 0,
            thought_bytes: 0,
            usage: Map::new(),
            finished: false,
        }
    }

    /// Translates an event into none, one or several chunks.
    ///
    /// # Errors
    /// `Upstream` if it is not what an event must be, or thoughts are too long.
    pub(super) fn event(&mut self, event: &[u8], out: &mut Out) -> Result<()> {
        let mut event: Value = serde_json::from_slice(event)
            .map_err(|error| broken("sent an event that cannot be understood").caused_by(error))?;
        let index = event["index"].as_i64().unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                let message = &mut event["message"];
                text_of(&message["id"]).clone_into(&mut self.id);
                text_of(&message["model"]).clone_into(&mut self.model);
                let usage = message.get_mut("usage").map(Value::take).unwrap_or_default();
                self.add_usage(usage);
                self.put(json!({ "role": "assistant", "content": "" }), out);
            }
            "content_block_start" => self.begin(index, &event["content_block"], out)?,
            "content_block_delta" => self.delta(index, &event["delta"], out)?,
            "content_block_stop" => self.end_block(index, out),
            "message_delta" => {
                self.add_usage(event["usage"].take());
                let end = &event["delta"];
                if let Some(reason) = end["stop_reason"].as_str() {
                    self.finish(Some(reason), end[STOP_SEQUENCE].as_str(), out);
                }
            }
            "message_stop" => {
                self.finish(None, None, out);
                if self.form.usage_event {
                    let usage = usage(&Value::Object(std::mem::take(&mut self.usage)));
                    let chunk = self.chunk(json!([]), Some(usage));
                    out.push_back(chunk);
                }
            }
            // Pings, and what later versions of the API add.
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, index: i64, block: &Value, out: &mut Out) -> Result<()> {
        let said = |key: &str| block[key].as_str().unwrap_or_default();
        let begun_with = || {
            let input = input(block);
            if input == "{}" { String::new() } else { input }
        };
        let (kind, delta) = match said("type") {
            "text" => (Block::Text, json!({ "content": said("text") })),
            "thinking" => {
                let (thinking, signature) = (said("thinking"), said("signature").to_owned());
                self.count_thoughts(&[thinking, &signature])?;
                let delta = json!({ "reasoning_content": thinking });
                (Block::Thoughts { thinking: thinking.to_owned(), signature }, delta)
            }
            "redacted_thinking" => {
                if let Some(thought) = Thought::read(block) {
                    self.put(wanted_back(thought), out);
                }
                return Ok(());
            }
            "tool_use" if self.form.forced => {
                let block = Block::Answer { begun_with: begun_with(), has_arguments: false };
                (block, Value::Null)
            }
            "tool_use" => {
                let number = self.calls;
                self.calls += 1;
                let function = json!({ "name": said("name"), "arguments": "" });
                let call = json!({
                    "index": number, "id": said("id"), "type": "function", "function": function,
                });
                let begun_with = begun_with();
                let block = Block::Call { number, begun_with, has_arguments: false };
                (block, json!({ "tool_calls": [call] }))
            }
            _ => return Ok(()),
        };
        let is_empty = |text: &Value| text.as_str() == Some("");
        let says = !is_empty(&delta["content"]) && !is_empty(&delta["reasoning_content"]);
        let hidden = self.form.forced && matches!(kind, Block::Text);
        if says && !delta.is_null() && !hidden {
            self.put(delta, out);
        }
        self.blocks.insert(index, kind);
        Ok(())
    }

    /// # Errors
    /// `Upstream` if the thoughts are too long with these pieces.
    fn count_thoughts(&mut self, pieces: &[&str]) -> Result<()> {
        self.thought_bytes += pieces.iter().map(|piece| piece.len()).sum::<usize>();
        thoughts::check_length(self.thought_bytes, NAME)
    }

    fn delta(&mut self, index: i64, delta: &Value, out: &mut Out) -> Result<()> {
        let piece = |key: &str| delta[key].as_str().filter(|piece| !piece.is_empty());
        let forced = self.form.forced;
        if let Some(Block::Thoughts { .. }) = self.blocks.get(&index) {
            let pieces = ["thinking", "signature"].map(|key| piece(key).unwrap_or_default());
            self.count_thoughts(&pieces)?;
        }
        let delta = match self.blocks.get_mut(&index) {
            Some(Block::Text) if forced => None,
            Some(Block::Text) => piece("text").map(|piece| json!({ "content": piece })),
            Some(Block::Thoughts { thinking, signature }) => {
                *signature += piece("signature").unwrap_or_default();
                piece("thinking").map(|piece| {
                    *thinking += piece;
                    json!({ "reasoning_content": piece })
                })
            }
            Some(Block::Call { number, has_arguments, .. }) => piece("partial_json").map(|piece| {
                *has_arguments = true;
                arguments(*number, piece)
            }),
            Some(Block::Answer { has_arguments, .. }) => piece("partial_json").map(|piece| {
                *has_arguments = true;
                json!({ "content": piece })
            }),
            None => None,
        };
        if let Some(delta) = delta {
            self.put(delta, out);
        }
        Ok(())
    }

    /// A call without pieces of arguments has those that it began with, or none.
    fn end_block(&mut self, index: i64, out: &mut Out) {
        let whole = |text: String| if text.is_empty() { "{}".to_owned() } else { text };
        let delta = match self.blocks.remove(&index) {
            Some(Block::Call { number, begun_with, has_arguments: false }) => {
                arguments(number, &whole(begun_with))
            }
            Some(Block::Answer { begun_with, has_arguments: false }) => {
                json!({ "content": whole(begun_with) })
            }
            Some(Block::Thoughts { thinking, signature }) if !signature.is_empty() => {
                wanted_back(Thought::Signed { thinking, signature })
            }
            Some(
                Block::Text
                | Block::Thoughts { .. }
                | Block::Call { has_arguments: true, .. }
                | Block::Answer { has_arguments: true, .. },
            )
            | None => return,
        };
        self.put(delta, out);
    }

    fn finish(&mut self, stop_reason: Option<&str>, stop: Option<&str>, out: &mut Out) {
        if !std::mem::replace(&mut self.finished, true) {
            let reason = finish_reason(stop_reason, self.form.forced);
            let mut choice = json!({ "index": 0, "delta": {}, "finish_reason": reason });
            if let Some(stop) = stop {
                choice[STOP_REASON] = stop.into();
            }
            out.push_back(self.chunk(json!([choice]), None));
        }
    }

    /// The counts so far; later ones count for all of the message.
    fn add_usage(&mut self, usage: Value) {
        if let Value::Object(counts) = usage {
            self.usage.extend(counts.into_iter().filter(|(_, count)| !count.is_null()));
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "deltas are made by `json!`")]
    fn put(&self, delta: Value, out: &mut Out) {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": null });
        out.push_back(self.chunk(json!([choice]), None));
    }

    #[expect(clippy::needless_pass_by_value, reason = "choices are made by `json!`")]
    fn chunk(&self, choices: Value, usage: Option<Value>) -> Bytes {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        chunk.to_string().into()
    }
}

/// What the model wants back of its thoughts.
fn wanted_back(thought: Thought) -> Value {
    json!({ THINKING_BLOCKS: Thought::member(&[thought]) })
}

fn arguments(number: usize, piece: &str) -> Value {
    json!({ "tool_calls": [{ "index": number, "function": { "arguments": piece } }] })
}

/// The answer, as far as it was read.
struct Reading {
    events: BoxStream<'static, Result<Bytes>>,
    translation: Translation,
}

impl Source for Reading {
    type Event = Bytes;

    async fn read(&mut self, ready: &mut Out) -> Result<bool> {
        match self.events.next().await.transpose()? {
            Some(event) => self.translation.event(&event, ready).map(|()| false),
            None => Ok(true),
        }
    }
}

/// The chunks, as JSON texts; the first error is the last item.
pub(super) fn translated(
    events: BoxStream<'static, Result<Bytes>>,
    form: Form,
) -> BoxStream<'static, Result<Bytes>> {
    translated::events(Reading { events, translation: Translation::new(form) }).boxed()
}
