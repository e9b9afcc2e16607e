//! Streams of models that cost something: the provider is asked to count them, and callers who did
//! not ask do not see the count.

use chaski_api::openai::{Body, ChatChunk, TextCompletion};
use chaski_provider::{Counted, Payload, Reply};
use futures_util::StreamExt;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

const OPTIONS: &str = "stream_options";
const INCLUDE: &str = "include_usage";

/// Asks for the count of a stream. Whether the caller has not, so that the count is to be hidden.
pub(super) fn ask(body: &mut Body) -> bool {
    let options = body.get(OPTIONS).and_then(Value::as_object);
    let mut options = options.cloned().unwrap_or_default();
    if options.get(INCLUDE) == Some(&Value::Bool(true)) {
        return false;
    }
    options.insert(INCLUDE.to_owned(), true.into());
    body.insert(OPTIONS.to_owned(), options.into());
    true
}

/// An event of a stream in OpenAI's form.
pub(super) trait Event: Counted + Send + 'static {
    /// Whether it adds to no answer.
    fn is_empty(&self) -> bool;
}

impl Event for ChatChunk {
    fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }
}

impl Event for TextCompletion {
    fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }
}

/// The answer without the event that counts it.
pub(super) fn hidden<F, E: Event>(reply: Reply<F, E>) -> Reply<F, E> {
    match reply {
        Reply::Full(_) => reply,
        Reply::Stream(events) => {
            let seen =
                events.filter(|event| std::future::ready(!event.as_ref().is_ok_and(is_count)));
            Reply::Stream(seen.boxed())
        }
    }
}

#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    choices: Option<Vec<IgnoredAny>>,
}

/// Whether an event says how many tokens there were, and nothing else. Where the count stands in an
/// event with a part of the answer, it stays there.
fn is_count<E: Event>(event: &Payload<E>) -> bool {
    event.tokens().is_some()
        && match event {
            Payload::Value(event) => event.is_empty(),
            Payload::Raw(text) => serde_json::from_slice::<Probe>(text)
                .is_ok_and(|probe| probe.choices.is_none_or(|choices| choices.is_empty())),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::{Wire, openai::ChatRequest};
    use serde_json::json;

    #[test]
    fn the_count_is_asked_for_once() {
        let asked = |options: Value| {
            let body = json!({ "model": "m", "messages": [], "stream_options": options });
            let mut body = ChatRequest::from_json(body).unwrap().body;
            let hidden = ask(&mut body);
            (hidden, body.get(OPTIONS).cloned().unwrap())
        };
        let counted = json!({ "include_usage": true });
        assert_eq!(asked(Value::Null), (true, counted.clone()));
        assert_eq!(asked(json!({ "include_usage": false })), (true, counted.clone()));
        assert_eq!(asked(counted.clone()), (false, counted));
        let more = json!({ "other": 1, "include_usage": true });
        assert_eq!(asked(json!({ "other": 1 })), (true, more));
    }

    #[test]
    fn only_events_that_do_nothing_but_count_are_hidden() {
        let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1 });
        let choices = json!([{ "delta": { "content": "a" } }]);
        for (event, expected) in [
            (json!({ "choices": [], "usage": usage }), true),
            (json!({ "choices": null, "usage": usage }), true),
            (json!({ "usage": usage }), true),
            (json!({ "choices": choices, "usage": usage }), false),
            (json!({ "choices": choices, "usage": null }), false),
            (json!({ "choices": [], "prompt_filter_results": [] }), false),
        ] {
            let value = ChatChunk::from_json(event.clone()).unwrap();
            for payload in [Payload::Raw(event.to_string().into()), Payload::Value(value)] {
                assert_eq!(is_count(&payload), expected, "{event}");
            }
        }
    }
}
