//! What upstreams say in another way than OpenAI, put into its form before it is read.

use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// A member that is `null` says as much as none.
pub(super) fn without_nulls(object: &mut Object) {
    object.retain(|_, value| !value.is_null());
}

/// An answer, or an event of one. A `usage` that counts nothing is none.
pub(super) fn answer(answer: &mut Object) {
    without_nulls(answer);
    let counts = ["prompt_tokens", "completion_tokens", "total_tokens"];
    let usage = answer.get("usage").and_then(Value::as_object);
    let says = |usage: &Object| {
        counts.iter().any(|name| usage.get(*name).is_some_and(|count| !count.is_null()))
    };
    if usage.is_some_and(|usage| !says(usage)) {
        answer.remove("usage");
    }
}

/// The function of a call. Some upstreams write the arguments as an object.
pub(super) fn call(function: &mut Object) {
    if let Some(arguments) = function.get_mut("arguments")
        && arguments.is_object()
    {
        *arguments = arguments.to_string().into();
    }
}

/// A message, or what is added to one. Some upstreams write the content as a list of texts and
/// thoughts, and some call the thoughts `reasoning`. Thoughts that are said twice are taken once.
pub(super) fn message(message: &mut Object) {
    let mut thoughts = text_of(message.get("reasoning"));
    if let Some(content) = message.get_mut("content")
        && let Value::Array(parts) = content
    {
        let parts = Parts::of(parts);
        *content = if parts.text.is_empty() { Value::Null } else { parts.text.into() };
        if !parts.refusal.is_empty() {
            message.insert("refusal".to_owned(), parts.refusal.into());
        }
        thoughts = thoughts.or(Some(parts.thoughts).filter(|text| !text.is_empty()));
    }
    let said = message.get("reasoning_content");
    let is_empty = said.is_none_or(|said| said.is_null() || said.as_str() == Some(""));
    if is_empty && let Some(thoughts) = thoughts {
        message.insert("reasoning_content".to_owned(), thoughts.into());
    }
}

fn text_of(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What the parts of a content say.
#[derive(Default)]
struct Parts {
    text: String,
    thoughts: String,
    refusal: String,
}

impl Parts {
    /// Images, references and the like have no place in OpenAI's form.
    fn of(parts: &[Value]) -> Self {
        let mut said = Self::default();
        for part in parts {
            match part.get("type").and_then(Value::as_str).unwrap_or_default() {
                // Mistral says the first, Databricks the second.
                "thinking" => write_texts(&part["thinking"], &mut said.thoughts),
                "reasoning" => write_texts(&part["summary"], &mut said.thoughts),
                "refusal" => write_texts(&part["refusal"], &mut said.refusal),
                _ => write_texts(part, &mut said.text),
            }
        }
        said
    }
}

/// Writes a text, that of a part, or those of a list of either.
fn write_texts(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Array(parts) => {
            for part in parts {
                out.push_str(part.get("text").unwrap_or(part).as_str().unwrap_or_default());
            }
        }
        Value::Object(part) => {
            out.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Wire,
        openai::{ChatChunk, ChatCompletion, ChatMessage, EmbeddingList, FunctionToolCall, Usage},
    };
    use serde_json::{Value, json};

    fn message(value: Value) -> ChatMessage {
        ChatMessage::from_json(value).expect("the message can be read")
    }

    fn said(value: Value) -> (Option<String>, Option<String>) {
        let message = message(value);
        (message.content, message.reasoning_content)
    }

    fn texts(text: &str, thoughts: &str) -> (Option<String>, Option<String>) {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        (some(text), some(thoughts))
    }

    #[test]
    fn a_list_of_parts_is_a_text_and_thoughts() {
        let thinking = |thinking: Value| json!({ "type": "thinking", "thinking": thinking });
        let text = |text: &str| json!({ "type": "text", "text": text });
        let summary = json!([{ "type": "summary_text", "text": "hm", "signature": "s" }]);
        for (parts, expected) in [
            (json!([thinking(json!([text("h"), text("m")])), text("a"), text("b")]), ("ab", "hm")),
            (json!([thinking(json!("hm")), "a"]), ("a", "hm")),
            (json!([{ "type": "reasoning", "summary": summary }, text("a")]), ("a", "hm")),
            (json!([thinking(json!([text("h")]))]), ("", "h")),
            (json!([text("a"), { "type": "reference", "reference_ids": [1] }, 5]), ("a", "")),
            (json!([]), ("", "")),
        ] {
            let (text, thoughts) = expected;
            assert_eq!(said(json!({ "content": parts.clone() })), texts(text, thoughts), "{parts}");
        }
        let refused = message(json!({ "content": [{ "type": "refusal", "refusal": "no" }] }));
        assert_eq!((refused.content, refused.refusal.as_deref()), (None, Some("no")));
        assert!(ChatMessage::from_json(json!({ "content": { "text": "a" } })).is_err());
    }

    #[test]
    fn thoughts_have_either_name_and_are_said_once() {
        for fields in [
            json!({ "reasoning": "hm" }),
            json!({ "reasoning_content": "hm" }),
            json!({ "reasoning_content": "hm", "reasoning": "hm" }),
            json!({ "reasoning_content": null, "reasoning": "hm" }),
            json!({ "reasoning_content": "", "reasoning": "hm" }),
            json!({ "reasoning_content": "hm", "reasoning": { "effort": "low" } }),
        ] {
            assert_eq!(said(fields.clone()), texts("", "hm"), "{fields}");
        }
        assert_eq!(said(json!({ "reasoning": null })), texts("", ""));
        let part = json!({ "type": "thinking", "thinking": "hm" });
        let twice = json!({ "content": [part], "reasoning": "hm" });
        assert_eq!(said(twice), texts("", "hm"));
    }

    #[test]
    fn arguments_are_a_text_or_an_object() {
        let arguments = |arguments: Value| {
            let call = json!({ "function": { "name": "f", "arguments": arguments } });
            FunctionToolCall::from_json(call).map(|call| call.function.arguments)
        };
        assert_eq!(arguments(json!({ "a": [1] })), Ok(Some("{\"a\":[1]}".to_owned())));
        assert_eq!(arguments(json!("{\"a\":")), Ok(Some("{\"a\":".to_owned())));
        assert_eq!(arguments(Value::Null), Ok(None));
        assert!(arguments(json!([1])).is_err());
    }

    #[test]
    fn what_is_null_counts_nothing() {
        let part = json!({ "prompt_tokens": 4, "completion_tokens": null, "total_tokens": null });
        let none = json!({ "prompt_tokens": null, "completion_tokens": null, "seconds": 0.5 });
        let usage = Usage { prompt_tokens: 4, completion_tokens: 0, total_tokens: 0 };
        for (told, expected) in [(part, Some(usage)), (none, None), (json!({}), None)] {
            let choice = json!({ "index": null, "message": { "content": "a" } });
            let answer = json!({ "id": "c", "created": null, "choices": [choice], "usage": told });
            assert_eq!(ChatCompletion::from_json(answer).unwrap().usage, expected, "{told}");
            let event = json!({ "choices": null, "usage": told });
            assert_eq!(ChatChunk::from_json(event).unwrap().usage, expected, "{told}");
        }
        let list = json!({ "data": [], "model": null, "usage": { "prompt_tokens": null } });
        assert_eq!(EmbeddingList::from_json(list).unwrap().usage, None);
        assert!(ChatCompletion::from_json(json!({ "id": "c", "choices": null })).is_err());
    }
}
