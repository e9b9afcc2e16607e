//! A short way to the events of a chat stream: nearly all carry a piece of text and nothing else.

use super::{ChatChunk, ChatChunkChoice, ChatMessage};
use serde::{Deserialize, de::IgnoredAny};

/// The events that the short way is for: one choice, without what is rare.
#[derive(Deserialize)]
struct Plain {
    #[serde(default)]
    id: String,
    object: String,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    model: String,
    choices: [PlainChoice; 1],
    usage: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct PlainChoice {
    #[serde(default)]
    index: i64,
    delta: PlainDelta,
    logprobs: Option<IgnoredAny>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct PlainDelta {
    role: Option<String>,
    content: Option<String>,
    refusal: Option<IgnoredAny>,
    reasoning_content: Option<IgnoredAny>,
    reasoning: Option<IgnoredAny>,
    tool_calls: Option<IgnoredAny>,
}

impl ChatChunk {
    /// The event that this JSON text is, if it is one of the usual kind. It is the one that
    /// decoding in full gives.
    pub fn plain(text: &[u8]) -> Option<Self> {
        let event: Plain = serde_json::from_slice(text).ok()?;
        let [PlainChoice { index, delta, logprobs, finish_reason }] = event.choices;
        let PlainDelta { role, content, refusal, reasoning_content, reasoning, tool_calls } = delta;
        let rare = [event.usage, logprobs, refusal, reasoning_content, reasoning, tool_calls];
        if rare.iter().any(Option::is_some) {
            return None;
        }
        let delta = ChatMessage { role, content, ..ChatMessage::empty() };
        let choice = ChatChunkChoice { index, delta, logprobs: None, finish_reason };
        Some(Self {
            id: event.id,
            object: event.object,
            created: event.created,
            model: event.model,
            choices: vec![choice],
            usage: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wire;
    use serde_json::json;

    fn plain(event: &serde_json::Value) -> Option<ChatChunk> {
        ChatChunk::plain(event.to_string().as_bytes())
    }

    #[test]
    fn the_short_way_gives_what_decoding_in_full_gives() {
        for choice in [
            json!({ "index": 0, "delta": { "content": "a\n\u{e9}" }, "finish_reason": null }),
            json!({ "index": 1, "delta": { "role": "assistant", "content": "" }, "logprobs": null }),
            json!({ "delta": {}, "finish_reason": "stop", "stop_reason": 5 }),
            json!({ "delta": { "content": null, "tool_calls": null }, "finish_reason": "length" }),
        ] {
            let event = json!({
                "id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m",
                "choices": [choice], "usage": null, "more": [1],
            });
            let whole = ChatChunk::from_json(event.clone()).unwrap();
            assert_eq!(plain(&event), Some(whole), "{event}");
        }
    }

    #[test]
    fn what_is_rare_or_wrong_is_left_to_the_long_way() {
        let delta = |delta: serde_json::Value| json!([{ "index": 0, "delta": delta }]);
        for (field, value) in [
            ("choices", json!([])),
            ("choices", json!(null)),
            ("choices", delta(json!({ "content": 5 }))),
            ("choices", delta(json!({ "tool_calls": [] }))),
            ("choices", delta(json!({ "reasoning_content": "hm" }))),
            ("choices", delta(json!({ "reasoning": "hm" }))),
            ("choices", delta(json!({ "content": [{ "type": "text", "text": "a" }] }))),
            ("choices", json!([{ "delta": {}, "logprobs": { "content": [] } }])),
            ("choices", json!([{ "delta": {} }, { "delta": {} }])),
            ("created", json!(1.5)),
            ("usage", json!({ "prompt_tokens": 1 })),
        ] {
            let mut event =
                json!({ "object": "chat.completion.chunk", "choices": delta(json!({})) });
            assert!(plain(&event).is_some());
            event[field] = value;
            assert_eq!(plain(&event), None, "{event}");
        }
        assert_eq!(ChatChunk::plain(b"[DONE]"), None);
    }
}
