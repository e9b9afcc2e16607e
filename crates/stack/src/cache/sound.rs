//! Which answers are worth remembering: those that every face can pass on.

use bytes::Bytes;
use chaski_api::{
    Wire,
    openai::{
        ChatChunk, ChatCompletion, EmbeddingList, FunctionToolCall, RerankList, TextCompletion,
    },
};
use chaski_provider::Payload;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::{HashMap, HashSet};

/// The most calls of an answer that is remembered.
const MOST_CALLS: usize = 1024;

/// The type of an answer, or of the events of one.
pub(super) trait Sound: Wire + Send + 'static {
    /// Whether these JSON texts, one answer or its events, are what they should be: they say
    /// something, and what they call can be called.
    fn is_sound(texts: &[Bytes]) -> bool;
}

fn read<T: Wire>(text: &Bytes) -> Option<T> {
    Payload::Raw(text.clone()).into_value().ok()
}

/// Whether a call of an answer can be carried out. One that the limit of tokens cut is none, so that
/// it need not be.
fn is_call(call: &FunctionToolCall, cut: bool) -> bool {
    cut || call.function.is_named() && call.function.by_name().is_some()
}

fn is_cut(finish: Option<&str>) -> bool {
    finish == Some("length")
}

impl Sound for ChatCompletion {
    fn is_sound(texts: &[Bytes]) -> bool {
        texts.iter().all(|text| {
            let choices = read::<Self>(text).map(|answer| answer.choices).unwrap_or_default();
            let whole = choices.iter().all(|choice| {
                let cut = is_cut(choice.finish_reason.as_deref());
                choice.message.tool_calls.iter().flatten().all(|call| is_call(call, cut))
            });
            whole && !choices.is_empty()
        })
    }
}

impl Sound for ChatChunk {
    fn is_sound(texts: &[Bytes]) -> bool {
        let (mut calls, mut cut) = (HashMap::<i64, Vec<FunctionToolCall>>::new(), HashSet::new());
        for text in texts {
            let Ok(event) = Payload::<Self>::Raw(text.clone()).into_chunk() else { return false };
            for choice in event.choices {
                let calls = calls.entry(choice.index).or_default();
                for piece in choice.delta.tool_calls.unwrap_or_default() {
                    add(piece, calls);
                }
                if calls.len() > MOST_CALLS {
                    return false;
                }
                if is_cut(choice.finish_reason.as_deref()) {
                    cut.insert(choice.index);
                }
            }
        }
        let whole = calls.iter().all(|(choice, calls)| {
            let cut = cut.contains(choice);
            calls.iter().all(|call| is_call(call, cut))
        });
        // There is an entry for each choice, with calls or without.
        whole && !calls.is_empty()
    }
}

/// Adds a piece of a call to those that have begun.
fn add(piece: FunctionToolCall, calls: &mut Vec<FunctionToolCall>) {
    let begun = calls.iter().map(|call| (call.index, call.id.as_deref().unwrap_or_default()));
    let Some(at) = piece.continues(&begun) else {
        calls.push(piece);
        return;
    };
    let call = &mut calls[at];
    if call.id.as_deref().unwrap_or_default().is_empty() {
        call.id = piece.id;
    }
    if !call.function.is_named() {
        call.function.name = piece.function.name;
    }
    if let Some(more) = piece.function.arguments {
        call.function.arguments.get_or_insert_default().push_str(&more);
    }
}

impl Sound for TextCompletion {
    fn is_sound(texts: &[Bytes]) -> bool {
        let choices = texts.iter().map(|text| Some(read::<Self>(text)?.choices.len()));
        choices.sum::<Option<usize>>().is_some_and(|choices| choices > 0)
    }
}

/// Vectors are looked for and not read, since that would take longer than all the rest.
#[derive(Deserialize)]
struct Vectors {
    #[expect(dead_code, reason = "what counts is that it is there")]
    data: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    #[expect(dead_code, reason = "what counts is that it is there")]
    embedding: IgnoredAny,
}

impl Sound for EmbeddingList {
    fn is_sound(texts: &[Bytes]) -> bool {
        texts.iter().all(|text| serde_json::from_slice::<Vectors>(text).is_ok())
    }
}

impl Sound for RerankList {
    fn is_sound(texts: &[Bytes]) -> bool {
        texts.iter().all(|text| read::<Self>(text).is_some())
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "the tests build JSON where they pass it")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn is_sound<T: Sound>(texts: &[Value]) -> bool {
        T::is_sound(&texts.iter().map(|text| text.to_string().into()).collect::<Vec<_>>())
    }

    fn call(index: i64, name: &str, arguments: Value) -> Value {
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "tool_calls": [{ "index": index, "function": function }] })
    }

    #[test]
    fn an_answer_has_a_choice_and_calls_that_can_be_carried_out() {
        let answer = |message: Value, finish: &str| {
            let choice = json!({ "message": message, "finish_reason": finish });
            is_sound::<ChatCompletion>(&[json!({ "id": "c", "choices": [choice] })])
        };
        for sound in [
            json!({ "content": "a" }),
            json!({ "content": "" }),
            call(0, "f", json!("{}")),
            call(0, "f", json!("")),
            call(0, "f", json!({ "a": 1 })),
        ] {
            assert!(answer(sound.clone(), "stop"), "{sound}");
        }
        for broken in [
            call(0, "f", json!("{\"a\": ")),
            call(0, "f", json!("[1]")),
            call(0, "", json!("{}")),
            json!({ "content": 5 }),
        ] {
            assert!(!answer(broken.clone(), "tool_calls"), "{broken}");
        }
        assert!(answer(call(0, "f", json!("{\"a\": ")), "length"), "nobody carries it out");
        assert!(!is_sound::<ChatCompletion>(&[json!({ "id": "c", "choices": [] })]));
        assert!(!is_sound::<ChatCompletion>(&[json!({ "error": { "message": "no" } })]));
        assert!(!ChatCompletion::is_sound(&["{".into()]));
    }

    #[test]
    fn a_stream_is_judged_as_a_whole() {
        let events = |deltas: &[Value], finish: &str| {
            let last = json!({ "choices": [{ "delta": {}, "finish_reason": finish }] });
            let event = |delta: &Value| json!({ "choices": [{ "delta": delta }] });
            let mut events: Vec<Value> = deltas.iter().map(event).collect();
            events.push(last);
            is_sound::<ChatChunk>(&events)
        };
        let pieces = |end: &str| {
            [call(0, "f", json!("{\"a\":")), call(1, "g", json!("{}")), call(0, "", json!(end))]
        };
        assert!(events(&[json!({ "content": "a" })], "stop"));
        assert!(events(&pieces("1}"), "tool_calls"));
        assert!(!events(&pieces("1"), "tool_calls"));
        assert!(events(&pieces("1"), "length"));
        assert!(!events(&[json!({ "content": 5 })], "stop"));
        assert!(!is_sound::<ChatChunk>(&[]));
        assert!(!is_sound::<ChatChunk>(&[json!({ "choices": [], "usage": {} })]));
        let many: Vec<Value> = (0..=1024).map(|index| call(index, "f", json!("{}"))).collect();
        assert!(events(&many[..1024], "tool_calls"));
        assert!(!events(&many, "tool_calls"), "more than is remembered");
    }

    #[test]
    fn texts_vectors_and_ranks_are_there() {
        let text = json!({ "choices": [{ "text": "a" }] });
        assert!(is_sound::<TextCompletion>(std::slice::from_ref(&text)));
        assert!(is_sound::<TextCompletion>(&[text.clone(), json!({ "choices": [] })]));
        assert!(!is_sound::<TextCompletion>(&[json!({ "choices": [] })]));
        assert!(!is_sound::<TextCompletion>(&[text, json!({ "choices": [{}] })]));
        assert!(is_sound::<EmbeddingList>(&[json!({ "data": [{ "embedding": [0.5] }] })]));
        assert!(!is_sound::<EmbeddingList>(&[json!({ "data": [{}] })]));
        assert!(!is_sound::<EmbeddingList>(&[json!({})]));
        let rank = json!({ "index": 0, "relevance_score": 0.5 });
        assert!(is_sound::<RerankList>(&[json!({ "results": [rank] })]));
        assert!(!is_sound::<RerankList>(&[json!({ "results": [{}] })]));
    }
}
