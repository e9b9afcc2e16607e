//! The promises about streams.

use super::{CALLS, Does, PIECES, Scene, Subject, TOKENS, body, cx, tools};
use chaski_api::{
    Result,
    openai::{ChatChunk, FunctionToolCall, TextCompletion, Usage},
};
use chaski_provider::{ChatReply, Reply, TextReply};
use chaski_testkit::{FakeUpstream, Gate, within};
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
}

/// The stream of a chat up to its end or its first error, which must be its last item.
pub(super) async fn hear(reply: ChatReply) -> (Heard, Result<()>) {
    let Reply::Stream(mut events) = reply else { panic!("a stream was asked for") };
    let mut heard = Heard::default();
    while let Some(event) = within("an event", events.next()).await {
        match event {
            Ok(event) => heard.chunk(event.into_value().expect("each event is a chunk of a chat")),
            Err(error) => {
                let next = within("the end after an error", events.next()).await;
                assert!(next.is_none(), "something comes after the error `{error}`");
                return (heard, Err(error));
            }
        }
    }
    (heard, Ok(()))
}

async fn hear_text(reply: TextReply) -> Heard {
    let Reply::Stream(mut events) = reply else { panic!("a stream was asked for") };
    let mut heard = Heard::default();
    while let Some(event) = within("an event", events.next()).await {
        let event: TextCompletion = event.unwrap().into_value().unwrap();
        for choice in event.choices {
            heard.piece(Some(choice.text), choice.finish_reason);
        }
        heard.usage(event.usage);
    }
    heard
}

/// What a request says that wants a stream.
pub(super) fn streamed(more: Value) -> Value {
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

/// Puts a chat to the upstream and hears its stream to the end.
async fn heard(subject: Subject, upstream: &FakeUpstream, more: Value) -> Heard {
    let request = subject.chat(streamed(more));
    let reply = subject.over(upstream).await.chat(&cx(), request).await.unwrap();
    let (heard, outcome) = hear(reply).await;
    outcome.expect("the stream ends by itself");
    heard
}

pub(super) async fn ends_once(subject: Subject) {
    if subject.does(Does::Chat) {
        let upstream = subject.upstream(Scene::Plain).await;
        assert_eq!(heard(subject, &upstream, with_usage()).await, said(Some(usage())));
        let without = heard(subject, &upstream, json!({})).await;
        assert_eq!(Heard { usage: None, ..without }, said(None), "usage was not asked for");
    }
    if subject.does(Does::Calls) {
        let upstream = subject.upstream(Scene::Calls).await;
        let heard = heard(subject, &upstream, json!({ "tools": tools() })).await;
        let made =
            CALLS.map(|call| (call.id.to_owned(), call.name.to_owned(), call.arguments.concat()));
        assert_eq!(heard.calls, made);
        assert_eq!(heard.finish_reason.as_deref(), Some("tool_calls"));
    }
    if subject.does(Does::Completions) {
        let upstream = subject.upstream(Scene::Plain).await;
        let request = subject.completion(streamed(with_usage()));
        let reply = subject.over(&upstream).await.completion(&cx(), request).await.unwrap();
        assert_eq!(hear_text(reply).await, said(Some(usage())));
    }
}

pub(super) async fn in_pieces(subject: Subject) {
    if !subject.does(Does::Chat) {
        return;
    }
    for bytes in [1, 2, 3, 7, 64] {
        let cut = move |answer: chaski_testkit::Answer| answer.in_pieces_of(bytes);
        let upstream = subject.upstream_with(Scene::Plain, cut).await;
        let heard = heard(subject, &upstream, with_usage()).await;
        assert_eq!(heard, said(Some(usage())), "in pieces of {bytes} bytes");
    }
}

pub(super) async fn noise(subject: Subject) {
    if !subject.does(Does::Chat) {
        return;
    }
    let upstream = subject.upstream(Scene::Noise).await;
    assert_eq!(heard(subject, &upstream, with_usage()).await, said(Some(usage())));
}

pub(super) async fn dropped(subject: Subject) {
    if !subject.does(Does::Chat) {
        return;
    }
    // In the middle of the answer.
    let gate = Gate::closed();
    let held = gate.clone();
    let hold = move |answer: chaski_testkit::Answer| {
        let half = answer.len() / 2;
        answer.held_after(half, &held)
    };
    let upstream = subject.upstream_with(Scene::Plain, hold).await;
    let request = subject.chat(streamed(json!({})));
    let reply = subject.over(&upstream).await.chat(&cx(), request).await.unwrap();
    let Reply::Stream(mut events) = reply else { panic!("a stream was asked for") };
    within("the first event", events.next()).await.expect("half of the answer").unwrap();
    drop(events);
    upstream.deserted().await;

    // Before it.
    let held = gate.clone();
    let upstream = subject.upstream_with(Scene::Plain, move |answer| answer.held_by(&held)).await;
    let upstream = Arc::new(upstream);
    let provider = subject.over(&upstream).await;
    let outcome = Arc::new(Mutex::new(None));
    let slot = outcome.clone();
    let asking = tokio::spawn(async move {
        let reply = provider.chat(&cx(), subject.chat(streamed(json!({})))).await;
        *slot.lock().unwrap() = Some(reply.is_ok());
    });
    chaski_testkit::eventually("the call", || !subject.calls(&upstream).is_empty()).await;
    asking.abort();
    upstream.deserted().await;
    assert_eq!(*outcome.lock().unwrap(), None, "the upstream has not answered");
}
