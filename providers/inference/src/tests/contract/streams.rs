//! The promises about streams.

use super::{CALLS, Does, PIECES, Scene, Subject, TOKENS, body, chat, completion, cx, tools};
use crate::tests::Served;
use chaski_api::{
    Result,
    openai::{ChatChunk, FunctionToolCall, TextCompletion, Usage},
};
use chaski_provider::{EventStream, Payload, Reply};
use chaski_testkit::{Answer, FakeUpstream, Gate, within};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A stream, put together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) text: String,
    /// Id, name and arguments.
    pub(super) calls: Vec<(String, String, String)>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Option<Usage>,
}

impl Heard {
    fn piece(&mut self, text: Option<String>, finish_reason: Option<String>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            assert_eq!(self.finish_reason, None, "`{text}` comes after the finish reason");
            self.text.push_str(&text);
        }
        if let Some(reason) = finish_reason {
            assert_eq!(self.finish_reason, None, "the finish reason `{reason}` is a second one");
            self.finish_reason = Some(reason);
        }
    }

    fn usage(&mut self, usage: Option<Usage>) {
        if let Some(usage) = usage.filter(|usage| usage.total_tokens > 0) {
            // Some upstreams count on in each event: the last is the one that holds.
            self.usage = Some(usage);
        }
    }

    fn call(&mut self, piece: FunctionToolCall) {
        let at = piece.index.and_then(|index| usize::try_from(index).ok());
        let at = at.expect("a call in a stream has an index");
        assert!(at <= self.calls.len(), "call {at} comes before the one in front of it");
        if at == self.calls.len() {
            self.calls.push(Default::default());
        }
        let (id, name, arguments) = &mut self.calls[at];
        if let Some(new) = piece.id.filter(|id| !id.is_empty()) {
            assert!(id.is_empty() || *id == new, "the call has the ids `{id}` and `{new}`");
            *id = new;
        }
        if let Some(new) = piece.function.name.filter(|name| !name.is_empty()) {
            assert!(name.is_empty() || *name == new, "the call is named `{name}` and `{new}`");
            *name = new;
        }
        arguments.push_str(&piece.function.arguments.unwrap_or_default());
    }

    fn chunk(&mut self, chunk: ChatChunk) {
        for choice in chunk.choices {
            self.piece(choice.delta.content, choice.finish_reason);
            choice.delta.tool_calls.into_iter().flatten().for_each(|piece| self.call(piece));
        }
        self.usage(chunk.usage);
    }

    fn text_chunk(&mut self, chunk: TextCompletion) {
        for choice in chunk.choices {
            self.piece(Some(choice.text), choice.finish_reason);
        }
        self.usage(chunk.usage);
    }
}

/// What can be streamed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Chat,
    Completion,
}

impl Kind {
    /// What a provider streams that does all this.
    pub(super) fn of(does: &[Does]) -> Vec<Self> {
        let kinds = [(Does::Chat, Self::Chat), (Does::Completions, Self::Completion)];
        let known = kinds.into_iter().filter(|(what, _)| does.contains(what));
        known.map(|(_, kind)| kind).collect()
    }

    /// Asks for a stream.
    pub(super) async fn ask(self, provider: &Served, model: &str, more: Value) -> Result<Stream> {
        let more = streamed(more);
        Ok(match self {
            Self::Chat => Stream::Chat(stream(provider.chat(&cx(), chat(model, more)).await?)),
            Self::Completion => {
                let request = completion(model, more);
                Stream::Completion(stream(provider.completion(&cx(), request).await?))
            }
        })
    }
}

fn stream<F, E>(reply: Reply<F, E>) -> EventStream<Payload<E>> {
    let Reply::Stream(events) = reply else { panic!("a stream was asked for") };
    events
}

/// A stream that was begun.
pub(super) enum Stream {
    Chat(EventStream<Payload<ChatChunk>>),
    Completion(EventStream<Payload<TextCompletion>>),
}

impl Stream {
    /// Hears the next event; nothing at the end.
    pub(super) async fn next(&mut self, heard: &mut Heard) -> Option<Result<()>> {
        match self {
            Self::Chat(events) => {
                let event = within("an event", events.next()).await?;
                Some(event.map(|event| {
                    heard.chunk(event.into_value().expect("each event is a chunk of a chat"));
                }))
            }
            Self::Completion(events) => {
                let event = within("an event", events.next()).await?;
                Some(event.map(|event| {
                    heard.text_chunk(event.into_value().expect("each event is a part of a text"));
                }))
            }
        }
    }

    /// Hears all up to the end or the first error, which must be the last item.
    pub(super) async fn hear(mut self) -> (Heard, Result<()>) {
        let mut heard = Heard::default();
        while let Some(event) = self.next(&mut heard).await {
            if let Err(error) = event {
                let after = self.next(&mut Heard::default()).await;
                assert!(after.is_none(), "something comes after the error `{error}`");
                return (heard, Err(error));
            }
        }
        (heard, Ok(()))
    }
}

/// What a request says that wants a stream.
fn streamed(more: Value) -> Value {
    Value::Object(body(json!({ "stream": true }), more))
}

fn with_usage() -> Value {
    json!({ "stream_options": { "include_usage": true } })
}

fn usage() -> Usage {
    let (prompt_tokens, completion_tokens) = TOKENS;
    Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

fn said(usage: Option<Usage>) -> Heard {
    let finish_reason = Some("stop".to_owned());
    Heard { text: PIECES.concat(), finish_reason, usage, ..Heard::default() }
}

/// Asks the provider over this upstream, and hears its stream to the end.
async fn heard(subject: Subject, upstream: &FakeUpstream, kind: Kind, more: Value) -> Heard {
    let stream = subject.ask(&subject.over(upstream).await, kind, more).await;
    let (heard, outcome) = stream.unwrap().hear().await;
    outcome.expect("the stream ends by itself");
    heard
}

pub(super) async fn ends_once(subject: Subject) {
    for kind in subject.kinds() {
        let upstream = subject.upstream(Scene::Plain).await;
        assert_eq!(heard(subject, &upstream, kind, with_usage()).await, said(Some(usage())));
        let without = heard(subject, &upstream, kind, json!({})).await;
        assert_eq!(Heard { usage: None, ..without }, said(None), "usage was not asked for");
    }
    if subject.does(Does::Calls) {
        let upstream = subject.upstream(Scene::Calls).await;
        let heard = heard(subject, &upstream, Kind::Chat, json!({ "tools": tools() })).await;
        let made =
            CALLS.map(|call| (call.id.to_owned(), call.name.to_owned(), call.arguments.concat()));
        assert_eq!(heard.calls, made);
        assert_eq!(heard.finish_reason.as_deref(), Some("tool_calls"));
    }
}

pub(super) async fn in_pieces(subject: Subject) {
    for kind in subject.kinds() {
        for bytes in [1, 2, 3, 7, 64] {
            let cut = move |answer: Answer| answer.in_pieces_of(bytes);
            let upstream = subject.upstream_with(Scene::Plain, cut).await;
            let heard = heard(subject, &upstream, kind, with_usage()).await;
            assert_eq!(heard, said(Some(usage())), "{kind:?} in pieces of {bytes} bytes");
        }
    }
}

pub(super) async fn noise(subject: Subject) {
    for kind in subject.kinds() {
        let upstream = subject.upstream(Scene::Noise).await;
        let heard = heard(subject, &upstream, kind, with_usage()).await;
        assert_eq!(heard, said(Some(usage())), "{kind:?}");
    }
}

pub(super) async fn dropped(subject: Subject) {
    for kind in subject.kinds() {
        // In the middle of the answer.
        let gate = Gate::closed();
        let held = gate.clone();
        let hold = move |answer: Answer| {
            let half = answer.len() / 2;
            answer.held_after(half, &held)
        };
        let upstream = subject.upstream_with(Scene::Plain, hold).await;
        let stream = subject.ask(&subject.over(&upstream).await, kind, json!({})).await;
        let mut stream = stream.unwrap();
        let first = within("the first event", stream.next(&mut Heard::default())).await;
        first.expect("half of the answer").unwrap();
        drop(stream);
        upstream.deserted().await;

        // Before it.
        let held = gate.clone();
        let hold = move |answer: Answer| answer.held_by(&held);
        let upstream = Arc::new(subject.upstream_with(Scene::Plain, hold).await);
        let provider = subject.over(&upstream).await;
        let outcome = Arc::new(Mutex::new(None));
        let slot = outcome.clone();
        let asking = tokio::spawn(async move {
            let reply = subject.ask(&provider, kind, json!({})).await;
            *slot.lock().unwrap() = Some(reply.is_ok());
        });
        chaski_testkit::eventually("the call", || !subject.calls(&upstream).is_empty()).await;
        asking.abort();
        upstream.deserted().await;
        assert_eq!(*outcome.lock().unwrap(), None, "the upstream has not answered");
    }
}
