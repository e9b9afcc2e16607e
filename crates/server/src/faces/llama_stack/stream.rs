//! Turns a stream of events of one kind into one of another.

use crate::faces::tokens::{self, Count};
use chaski_api::{Wire, inference::MetricInResponse};
use chaski_provider::{EventStream, Payload};
use futures_util::{StreamExt, stream};
use std::collections::VecDeque;

/// What is done with each event of an upstream.
pub(super) trait Translation: Send + 'static {
    type From: Wire + Send + 'static;
    type To: Send + 'static;

    /// Translates one event into none, one or several.
    fn event(&mut self, event: Self::From, out: &mut VecDeque<Self::To>);

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
    prompt: Option<Count>,
    ready: VecDeque<T::To>,
    ended: bool,
}

/// The translated stream; `prompt` is the number of tokens that were asked with.
pub(super) fn translated<T: Translation>(
    upstream: EventStream<Payload<T::From>>,
    translation: T,
    prompt: Count,
) -> EventStream<Payload<T::To>> {
    let ready = VecDeque::new();
    let state = State { upstream, translation, prompt: Some(prompt), ready, ended: false };
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(event) = state.ready.pop_front() {
                return Some((Ok(Payload::Value(event)), state));
            }
            if state.ended {
                return None;
            }
            match state.upstream.next().await.map(|event| event.and_then(Payload::into_value)) {
                Some(Ok(event)) => state.translation.event(event, &mut state.ready),
                Some(Err(error)) => {
                    state.ended = true;
                    return Some((Err(error), state));
                }
                None => {
                    state.ended = true;
                    let prompt = match state.prompt.take() {
                        Some(count) => count.finish().await,
                        None => 0,
                    };
                    let text = state.translation.answered();
                    let answer = tokens::of_answer(text.len(), move || T::tokens(&text)).await;
                    let metrics = tokens::metrics(prompt, answer);
                    state.translation.end(metrics, &mut state.ready);
                }
            }
        }
    })
    .boxed()
}
