//! From the events of a completion to the chunks of a chat.

use super::{
    answer::{begun, finish, logprobs},
    request::Reading,
};
use chaski_api::{
    Result,
    openai::{
        ChatChunk, ChatChunkChoice, ChatMessage, ChoiceLogprobs, FunctionCall, FunctionToolCall,
        TextChoice, TextCompletion,
    },
};
use chaski_llama::{Event, Reader};
use chaski_provider::{EventStream, Payload};
use futures_util::{StreamExt, stream};
use std::collections::{BTreeMap, VecDeque};

/// The chunks of a chat, as the events of the completion come.
pub(super) fn chunks(
    events: EventStream<Payload<TextCompletion>>,
    reading: Reading,
) -> EventStream<Payload<ChatChunk>> {
    let writer = Writer { events, reading, answers: BTreeMap::new(), ready: VecDeque::new() };
    stream::unfold(Some(writer), |writer| async move {
        let mut writer = writer?;
        let chunk = writer.next().await?;
        // The first error is the last item.
        let next = chunk.is_ok().then_some(writer);
        Some((chunk.map(Payload::Value), next))
    })
    .boxed()
}

struct Writer {
    events: EventStream<Payload<TextCompletion>>,
    reading: Reading,
    /// By the index of the choice; nothing once an answer is complete.
    answers: BTreeMap<i64, Option<Answering>>,
    ready: VecDeque<ChatChunk>,
}

/// An answer that is being written.
struct Answering {
    reader: Reader,
    /// The number of calls so far.
    calls: i64,
}

impl Writer {
    async fn next(&mut self) -> Option<Result<ChatChunk>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            let event = match self.events.next().await? {
                Ok(event) => event.into_value(),
                Err(error) => Err(error),
            };
            match event {
                Ok(event) => self.take(event),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn take(&mut self, event: TextCompletion) {
        let head = ChatChunk {
            id: event.id,
            object: "chat.completion.chunk".to_owned(),
            created: event.created,
            model: event.model,
            choices: Vec::new(),
            usage: None,
        };
        for choice in event.choices {
            for choice in self.choice(choice) {
                self.ready.push_back(ChatChunk { choices: vec![choice], ..head.clone() });
            }
        }
        if event.usage.is_some() {
            self.ready.push_back(ChatChunk { usage: event.usage, ..head });
        }
    }

    fn choice(&mut self, choice: TextChoice) -> Vec<ChatChunkChoice> {
        let TextChoice { index, text, logprobs: likely, finish_reason } = choice;
        let mut out = Out { index, choices: Vec::new() };
        let offered = &self.reading.offered;
        let answering = self.answers.entry(index).or_insert_with(|| {
            out.put(ChatMessage { role: Some("assistant".to_owned()), ..ChatMessage::text("") });
            Some(Answering { reader: Reader::new(offered.iter().cloned()), calls: 0 })
        });
        let Some(mut current) = answering.take() else { return out.choices };
        let likely = likely.and_then(logprobs);
        let events = current.reader.push(&text);
        current.calls = out.events(events, current.calls, self.reading.several);
        if let Some(reason) = finish_reason {
            let (events, _) = current.reader.finish();
            let calls = out.events(events, current.calls, self.reading.several);
            out.put(ChatMessage::empty());
            if let Some(last) = out.choices.last_mut() {
                last.finish_reason = finish(Some(&reason), calls > 0);
            }
        } else {
            *answering = Some(current);
        }
        out.likely(likely);
        out.choices
    }
}

/// What an event adds to an answer.
struct Out {
    index: i64,
    choices: Vec<ChatChunkChoice>,
}

impl Out {
    fn put(&mut self, delta: ChatMessage) {
        let index = self.index;
        self.choices.push(ChatChunkChoice { index, delta, logprobs: None, finish_reason: None });
    }

    /// Puts the parts of an answer with `calls` calls before them, and gives back how many there are.
    fn events(&mut self, events: Vec<Event>, mut calls: i64, several: bool) -> i64 {
        for event in events {
            match event {
                Event::Text(text) => self.put(ChatMessage::text(text)),
                Event::Call(name) => {
                    calls += 1;
                    if several || calls == 1 {
                        let mut call = begun(Some(calls - 1));
                        call.function =
                            FunctionCall { name: Some(name), arguments: Some(String::new()) };
                        self.call(call);
                    }
                }
                Event::Arguments(piece) if several || calls == 1 => {
                    let function = FunctionCall { name: None, arguments: Some(piece) };
                    self.call(FunctionToolCall {
                        id: None,
                        kind: None,
                        function,
                        index: Some(calls - 1),
                    });
                }
                Event::Arguments(_) => {}
            }
        }
        calls
    }

    fn call(&mut self, call: FunctionToolCall) {
        self.put(ChatMessage { tool_calls: Some(vec![call]), ..ChatMessage::empty() });
    }

    /// Adds the log probabilities of the event to its first chunk with content, or to one of its own.
    fn likely(&mut self, likely: Option<ChoiceLogprobs>) {
        if likely.is_none() {
            return;
        }
        let has_content = |choice: &ChatChunkChoice| choice.delta.role.is_none();
        let at = self.choices.iter().position(has_content).unwrap_or_else(|| {
            self.put(ChatMessage::empty());
            self.choices.len() - 1
        });
        self.choices[at].logprobs = likely;
    }
}
