//! Turns a stream of events of one kind into one of another.

use crate::faces::account::Account;
use chaski_api::{Error, ErrorKind, Result, Wire, inference::MetricInResponse, openai::Body};
use chaski_provider::{Counted, EventStream, Payload, Tokens};
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::collections::VecDeque;

/// The most of an answer that is kept to its end, in bytes. Longer answers are not made by models.
const KEPT: usize = 16 * 1024 * 1024;

/// What is done with each event of an upstream.
pub(super) trait Translation: Send + 'static {
    type From: Wire + Counted + Send + 'static;
    type To: Send + 'static;

    /// Decodes an event.
    ///
    /// # Errors
    /// `Upstream` when it is not what it should be.
    fn read(event: Payload<Self::From>) -> Result<Self::From> {
        event.into_value()
    }

    /// Translates one event into none, one or several.
    fn event(&mut self, event: Self::From, out: &mut VecDeque<Self::To>);

    /// How many bytes of the answer are kept.
    fn kept(&self) -> usize;

    /// Gives the whole text that was answered, once, to be counted.
    fn answered(&mut self) -> String;

    /// The tokens of that text.
    fn tokens(text: &str) -> usize;

    /// The events after the last one of the upstream.
    fn end(&mut self, metrics: Vec<MetricInResponse>, out: &mut VecDeque<Self::To>);
}

struct State<T: Translation> {
    upstream: EventStream<Payload<T::From>>,
    translation: T,
    /// Taken at the end.
    account: Option<Account>,
    /// What the provider counted so far, if it does.
    spent: Option<Tokens>,
    ready: VecDeque<T::To>,
    ended: bool,
}

/// Asks for a stream or against it; `counted` asks for the number of tokens too.
pub(super) fn write_stream(stream: bool, counted: bool, body: &mut Body) {
    body.insert("stream".to_owned(), stream.into());
    if stream && counted {
        body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
}

/// The translated stream, with the metrics of `account` at its end.
pub(super) fn translated<T: Translation>(
    upstream: EventStream<Payload<T::From>>,
    translation: T,
    account: Account,
) -> EventStream<Payload<T::To>> {
    let ready = VecDeque::new();
    let account = Some(account);
    let state = State { upstream, translation, account, spent: None, ready, ended: false };
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(event) = state.ready.pop_front() {
                return Some((Ok(Payload::Value(event)), state));
            }
            if state.ended {
                return None;
            }
            match state.upstream.next().await.map(|event| event.and_then(T::read)) {
                Some(Ok(event)) => {
                    if let Some(tokens) = event.tokens() {
                        state.spent = Some(state.spent.unwrap_or_default().max(tokens));
                    }
                    state.translation.event(event, &mut state.ready);
                    if state.translation.kept() > KEPT {
                        state.ended = true;
                        state.ready.clear();
                        return Some((Err(too_long()), state));
                    }
                }
                Some(Err(error)) => {
                    state.ended = true;
                    return Some((Err(error), state));
                }
                None => {
                    state.ended = true;
                    let text = state.translation.answered();
                    let metrics = match state.account.take() {
                        Some(account) => {
                            account.close(state.spent, text.len(), move || T::tokens(&text)).await
                        }
                        None => Vec::new(),
                    };
                    state.translation.end(metrics, &mut state.ready);
                }
            }
        }
    })
    .boxed()
}

fn too_long() -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("the upstream sent an answer of more than {KEPT} bytes"))
}
