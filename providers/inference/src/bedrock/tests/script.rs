//! Bedrock's runtime API as the upstream of a test plays it.

use crate::tests::contract::{CALLS, Call, Does, PIECES, REFUSAL, Scene, Script, TOKENS, VECTORS};
use chaski_testkit::{Answer, Seen};
use serde_json::{Value, json};

/// A message with these headers, all of them texts.
fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut written = Vec::new();
    for (name, value) in headers {
        written.push(u8::try_from(name.len()).unwrap());
        written.extend(name.as_bytes());
        written.push(7);
        written.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        written.extend(value.as_bytes());
    }
    let length = u32::try_from(16 + written.len() + payload.len()).unwrap();
    let mut out = length.to_be_bytes().to_vec();
    out.extend(u32::try_from(written.len()).unwrap().to_be_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(written);
    out.extend(payload.as_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

pub(super) fn event(name: &str, payload: &Value) -> Vec<u8> {
    let headers =
        [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    message(&headers, &payload.to_string())
}

pub(super) fn exception(name: &str, payload: &Value) -> Vec<u8> {
    let headers = [
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    message(&headers, &payload.to_string())
}

pub(super) fn error(code: &str, said: &str) -> Vec<u8> {
    message(&[(":message-type", "error"), (":error-code", code), (":error-message", said)], "")
}

/// A stream of these messages.
pub(super) fn stream(messages: &[Vec<u8>]) -> Answer {
    Answer::new(super::super::stream::MEDIA_TYPE, messages.concat())
}

/// Bedrock for the contract suite. The model embeds and chats, which no model does in one.
pub(crate) struct BedrockScript;

impl Script for BedrockScript {
    fn config(&self, url: &str) -> Value {
        super::config(url)
    }

    fn model(&self) -> &'static str {
        "cohere.embed-english-v3"
    }

    fn does(&self) -> &'static [Does] {
        &[Does::Chat, Does::Calls, Does::Embeddings]
    }

    fn is_translated(&self) -> bool {
        true
    }

    fn answer(&self, request: &Seen, scene: Scene) -> Answer {
        if let Scene::Refused(status) = scene {
            return Answer::json(json!({ "message": REFUSAL })).status(status);
        }
        match request.path.rsplit('/').next().unwrap_or_default() {
            "invoke" => Answer::json(json!({ "embeddings": VECTORS })),
            "converse" => Answer::json(whole(scene)),
            "converse-stream" => stream(&messages(scene)),
            _ => Answer::json(json!({ "message": "no such route" })).status(404),
        }
    }
}

fn usage() -> Value {
    let (prompt, generated) = TOKENS;
    json!({ "inputTokens": prompt, "outputTokens": generated, "totalTokens": prompt + generated })
}

fn whole(scene: Scene) -> Value {
    let (content, reason) = if scene == Scene::Calls {
        let block = |call: Call| {
            let input: Value = serde_json::from_str(&call.arguments.concat()).unwrap();
            json!({ "toolUse": { "toolUseId": call.id, "name": call.name, "input": input } })
        };
        (json!(CALLS.map(block)), "tool_use")
    } else {
        (json!([{ "text": PIECES.concat() }]), "end_turn")
    };
    let message = json!({ "role": "assistant", "content": content });
    json!({ "output": { "message": message }, "stopReason": reason, "usage": usage() })
}

fn messages(scene: Scene) -> Vec<Vec<u8>> {
    let delta = |block: usize, delta: Value| {
        event("contentBlockDelta", &json!({ "contentBlockIndex": block, "delta": delta }))
    };
    let stop = |block: usize| event("contentBlockStop", &json!({ "contentBlockIndex": block }));
    let mut out = vec![event("messageStart", &json!({ "role": "assistant" }))];
    if scene == Scene::Calls {
        for (block, call) in CALLS.into_iter().enumerate() {
            let tool = json!({ "toolUse": { "toolUseId": call.id, "name": call.name } });
            let start = json!({ "contentBlockIndex": block, "start": tool });
            out.push(event("contentBlockStart", &start));
            for piece in call.arguments {
                out.push(delta(block, json!({ "toolUse": { "input": piece } })));
            }
            out.push(stop(block));
        }
    } else {
        for (index, piece) in PIECES.into_iter().enumerate() {
            if scene == Scene::Fails && index == 2 {
                out.push(exception("modelStreamErrorException", &json!({ "message": REFUSAL })));
            }
            if scene == Scene::Noise {
                out.push(event("unheardOf", &json!({ "text": "nonsense" })));
                out.push(delta(0, json!({ "unheardOf": { "text": "nonsense" } })));
            }
            out.push(delta(0, json!({ "text": piece })));
        }
        out.push(stop(0));
    }
    let reason = if scene == Scene::Calls { "tool_use" } else { "end_turn" };
    out.push(event("messageStop", &json!({ "stopReason": reason })));
    out.push(event("metadata", &json!({ "usage": usage(), "metrics": { "latencyMs": 1 } })));
    out
}
