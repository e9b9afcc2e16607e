//! Chats: from the engine's events to OpenAI's chunks, and from those to one answer.

use super::request::Chat;
use crate::{head::Head, local::failed, more::More};
use chaski_api::{
    Result,
    openai::{
        ChatChoice, ChatChunk, ChatChunkChoice, ChatMessage, ChoiceLogprobs, FunctionCall,
        FunctionToolCall, TokenLogprob, TopLogprob, Usage,
    },
};
use chaski_llm::{Call, CallReader, Constraint, Event, Events, Finish, TextModel, Token};
use chaski_provider::{ChatReply, Payload, Reply};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::collections::VecDeque;
use uuid::Uuid;

pub(super) async fn reply(model: &TextModel, chat: Chat) -> Result<ChatReply> {
    let Chat { model: name, request, functions, several_calls, stream, usage_event } = chat;
    let choices = request.choices;
    let must_call = matches!(request.constraint, Constraint::Call(_));
    let readers = (0..choices).map(|_| Some(CallReader::new(functions.clone()))).collect();
    let events = model.generate(request).await.map_err(failed)?;
    let mut writer = Writer {
        head: Head::of_chat(name),
        events,
        readers,
        begun: 0,
        several_calls,
        must_call,
        usage_event: usage_event || !stream,
        ready: VecDeque::new(),
        failed: false,
    };
    if stream {
        let chunks = stream::unfold(writer, |mut writer| async move {
            let said = writer.next().await?;
            Some((said.and_then(Said::payload), writer))
        });
        return Ok(Reply::Stream(chunks.boxed()));
    }
    let mut whole = Whole::new(choices);
    while let Some(said) = writer.next().await {
        whole.add(said?);
    }
    let more = More { stops: whole.stops, ..More::default() };
    Ok(Reply::Full(more.with(writer.head.chat(whole.choices, whole.usage))?))
}

/// A chunk, and the stop text that ended its answer, if one did.
struct Said {
    chunk: ChatChunk,
    stopped_by: Option<String>,
}

impl Said {
    fn payload(self) -> Result<Payload<ChatChunk>> {
        More::stopped_by(self.stopped_by).with(self.chunk)
    }
}

/// Turns events into chunks.
#[expect(clippy::struct_excessive_bools, reason = "what was asked for, and how far it is")]
struct Writer {
    head: Head,
    events: Events,
    /// Per answer, until it is complete.
    readers: Vec<Option<CallReader>>,
    /// How many answers have begun.
    begun: u32,
    several_calls: bool,
    /// Whether an answer is nothing but a call.
    must_call: bool,
    usage_event: bool,
    ready: VecDeque<Said>,
    failed: bool,
}

impl Writer {
    async fn next(&mut self) -> Option<Result<Said>> {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return Some(Ok(said));
            }
            if self.failed {
                return None;
            }
            match self.events.next().await? {
                Ok(event) => self.take(event),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(failed(error)));
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Prompt { .. } => {}
            Event::Thoughts { choice, text } => {
                self.begin(choice);
                let reasoning_content = Some(text);
                self.put(choice, ChatMessage { reasoning_content, ..ChatMessage::empty() }, None);
            }
            Event::Text { choice, text, tokens } => {
                self.begin(choice);
                let reader = self.readers.get_mut(choice as usize).and_then(Option::as_mut);
                let text = reader.map_or(String::new(), |reader| reader.push(&text));
                if !text.is_empty() || !tokens.is_empty() {
                    let logprobs = logprobs(tokens);
                    self.put(choice, ChatMessage::text(text), logprobs);
                }
            }
            Event::Finished { choice, reason, stopped_by } => {
                self.begin(choice);
                let reader = self.readers.get_mut(choice as usize).and_then(Option::take);
                let cut = reason == Finish::Length;
                let read = reader.map(|reader| reader.finish(cut));
                let (mut text, mut calls) = read.unwrap_or_default();
                if self.must_call && cut {
                    // A part of a call is no answer.
                    text.clear();
                }
                if !self.several_calls {
                    calls.truncate(1);
                }
                if !text.is_empty() {
                    self.put(choice, ChatMessage::text(text), None);
                }
                let reason = match (calls.is_empty(), reason) {
                    (false, _) => "tool_calls",
                    (true, Finish::Stop) => "stop",
                    (true, Finish::Length) => "length",
                };
                if !calls.is_empty() {
                    let message =
                        ChatMessage { tool_calls: Some(tool_calls(calls)), ..ChatMessage::empty() };
                    self.put(choice, message, None);
                }
                self.end(choice, reason, stopped_by);
            }
            Event::Done { prompt_tokens, completion_tokens } => {
                if self.usage_event {
                    let usage = Some(usage(prompt_tokens, completion_tokens));
                    let chunk = self.head.chunk(Vec::new(), usage);
                    self.ready.push_back(Said { chunk, stopped_by: None });
                }
            }
        }
    }

    /// The first chunk of an answer says who speaks.
    fn begin(&mut self, choice: u32) {
        if choice >= self.begun {
            self.begun = choice + 1;
            let message = ChatMessage {
                role: Some("assistant".to_owned()),
                content: Some(String::new()),
                ..ChatMessage::empty()
            };
            self.put(choice, message, None);
        }
    }

    fn put(&mut self, choice: u32, delta: ChatMessage, logprobs: Option<ChoiceLogprobs>) {
        let index = choice.into();
        let choice = ChatChunkChoice { index, delta, logprobs, finish_reason: None };
        let chunk = self.head.chunk(vec![choice], None);
        self.ready.push_back(Said { chunk, stopped_by: None });
    }

    /// The last chunk of an answer says why it ended.
    fn end(&mut self, choice: u32, reason: &str, stopped_by: Option<String>) {
        let choice = ChatChunkChoice {
            index: choice.into(),
            delta: ChatMessage::empty(),
            logprobs: None,
            finish_reason: Some(reason.to_owned()),
        };
        let chunk = self.head.chunk(vec![choice], None);
        self.ready.push_back(Said { chunk, stopped_by });
    }
}

pub(super) fn usage(prompt_tokens: usize, completion_tokens: usize) -> Usage {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    Usage {
        prompt_tokens: number(prompt_tokens),
        completion_tokens: number(completion_tokens),
        total_tokens: number(prompt_tokens + completion_tokens),
    }
}

fn tool_calls(calls: Vec<Call>) -> Vec<FunctionToolCall> {
    let call = |(index, call): (i64, Call)| FunctionToolCall {
        index: Some(index),
        id: Some(format!("call_{}", Uuid::new_v4().simple())),
        kind: Some("function".to_owned()),
        function: FunctionCall {
            name: Some(call.name),
            arguments: Some(Value::Object(call.arguments).to_string()),
        },
    };
    (0..).zip(calls).map(call).collect()
}

fn logprobs(tokens: Vec<Token>) -> Option<ChoiceLogprobs> {
    if tokens.is_empty() {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let bytes = |bytes: &[u8]| Some(bytes.iter().map(|byte| i64::from(*byte)).collect());
    let token = |token: Token| TokenLogprob {
        token: text(&token.bytes),
        logprob: finite(token.logprob.unwrap_or(0.0)),
        bytes: bytes(&token.bytes),
        top_logprobs: token
            .top
            .iter()
            .map(|(piece, logprob)| TopLogprob {
                token: text(piece),
                logprob: finite(*logprob),
                bytes: bytes(piece),
            })
            .collect(),
    };
    Some(ChoiceLogprobs { content: Some(tokens.into_iter().map(token).collect()) })
}

/// A log probability that JSON can carry: the value for "impossible" is the one of OpenAI.
pub(super) fn finite(logprob: f32) -> f64 {
    f64::from(logprob).max(-9999.0)
}

/// The answers that the chunks add up to.
struct Whole {
    choices: Vec<ChatChoice>,
    /// The texts that ended them.
    stops: Vec<Option<String>>,
    usage: Option<Usage>,
}

impl Whole {
    fn new(choices: u32) -> Self {
        let choice = |index: u32| ChatChoice {
            index: index.into(),
            message: ChatMessage { role: Some("assistant".to_owned()), ..ChatMessage::empty() },
            logprobs: None,
            finish_reason: None,
        };
        let stops = vec![None; choices as usize];
        Self { choices: (0..choices).map(choice).collect(), stops, usage: None }
    }

    fn add(&mut self, Said { chunk, stopped_by }: Said) {
        self.usage = chunk.usage.or(self.usage.take());
        for part in chunk.choices {
            let index = usize::try_from(part.index).unwrap_or_default();
            let Some(choice) = self.choices.get_mut(index) else { continue };
            if let (Some(text), Some(stop)) = (&stopped_by, self.stops.get_mut(index)) {
                *stop = Some(text.clone());
            }
            if let Some(thoughts) = part.delta.reasoning_content {
                choice.message.reasoning_content.get_or_insert_default().push_str(&thoughts);
            }
            if let Some(text) = part.delta.content.filter(|text| !text.is_empty()) {
                choice.message.content.get_or_insert_default().push_str(&text);
            }
            if let Some(mut calls) = part.delta.tool_calls {
                // The place in the list is said in streams only.
                for call in &mut calls {
                    call.index = None;
                }
                choice.message.tool_calls = Some(calls);
            }
            if let Some(content) = part.logprobs.and_then(|logprobs| logprobs.content) {
                let logprobs = choice.logprobs.get_or_insert(ChoiceLogprobs { content: None });
                logprobs.content.get_or_insert_default().extend(content);
            }
            if let Some(reason) = part.finish_reason {
                choice.finish_reason = Some(reason);
                if choice.message.tool_calls.is_none() {
                    choice.message.content.get_or_insert_default();
                }
            }
        }
    }
}
