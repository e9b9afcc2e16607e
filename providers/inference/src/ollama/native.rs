//! Ollama's own chat, for requests with parameters that its OpenAI-compatible API does not have.

mod answer;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod request;

use super::models::NAME;
use crate::{
    head::{Head, usage_wanted},
    translated::{self, Source},
};
use chaski_api::{
    Error, ErrorKind, Result,
    openai::{ChatChunk, ChatRequest},
};
use chaski_provider::{ChatReply, Context, EventStream, Payload, Reply};
use chaski_upstream::{ByteStream, Http, Request, Response, Url, framing::JsonLines};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::VecDeque;

pub(super) use request::is_needed;

/// The largest answer, and the largest line of a stream.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
const LINE_BYTES: usize = 8 * 1024 * 1024;

pub(super) async fn chat(
    http: &Http,
    url: &Url,
    cx: &Context,
    request: &ChatRequest,
) -> Result<ChatReply> {
    let body = request::translate(request)?;
    let request_to = Request::post(NAME, url.clone())
        .json(body.to_string())
        .trace(cx.spans.parent())
        .deadline(cx.deadline)
        .retries(http.retries())
        .repeats(Some(&cx.repeats));
    let response = http.send(request_to).await?.success().await?;
    read(response, request).await
}

/// The answer in a response to this request.
async fn read(response: Response, request: &ChatRequest) -> Result<ChatReply> {
    let head = Head::of_chat(request.model());
    if request.stream() {
        let usage = usage_wanted(request.body.get("stream_options"));
        return Ok(Reply::Stream(events(response.stream(), head, usage)));
    }
    let body = response.bytes(ANSWER_BYTES).await?;
    let answer: answer::Answer =
        serde_json::from_slice(&body).map_err(|error| unclear().caused_by(error))?;
    Ok(Reply::Full(Payload::Value(answer::completion(head, answer)?)))
}

/// The lines of an answer, as far as they were read.
struct Reading {
    source: ByteStream,
    lines: JsonLines,
    translator: answer::Translator,
}

fn events(source: ByteStream, head: Head, usage: bool) -> EventStream<Payload<ChatChunk>> {
    let translator = answer::Translator::new(head, usage);
    let reading = Reading { source, lines: JsonLines::new(LINE_BYTES), translator };
    translated::events(reading).map(|event| event.map(Payload::Value)).boxed()
}

impl Source for Reading {
    type Event = ChatChunk;

    async fn read(&mut self, ready: &mut VecDeque<ChatChunk>) -> Result<bool> {
        loop {
            if let Some(line) = self.lines.next_line() {
                let line = line.map_err(|error| unclear().caused_by(error))?;
                return self.translate(&line, ready);
            }
            if let Some(piece) = self.source.next().await {
                self.lines.feed(piece?);
            } else if let Some(line) = self.lines.finish() {
                return self.translate(&line, ready);
            } else {
                let message = "Ollama ended its answer before it was complete";
                return Err(Error::new(ErrorKind::Upstream { status: None }, message));
            }
        }
    }
}

impl Reading {
    /// Says whether the line was the last one.
    fn translate(&mut self, line: &[u8], ready: &mut VecDeque<ChatChunk>) -> Result<bool> {
        let answer: answer::Answer =
            serde_json::from_slice(line).map_err(|error| unclear().caused_by(error))?;
        ready.extend(self.translator.translate(answer)?);
        Ok(self.translator.is_done())
    }
}

fn unclear() -> Error {
    super::models::unclear()
}

/// The arguments of a call as OpenAI writes them: JSON in a text.
fn in_text(arguments: &Value) -> String {
    arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
