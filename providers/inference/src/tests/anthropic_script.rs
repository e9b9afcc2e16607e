//! An upstream that speaks Anthropic's API, for the contract suite.

use super::contract::{CALLS, Does, PIECES, REFUSAL, Scene, Script, TOKENS};
use chaski_testkit::{Answer, Seen};
use serde_json::{Value, json};
use std::fmt::Write;

/// `remote::anthropic`.
pub(crate) struct AnthropicScript;

impl Script for AnthropicScript {
    fn config(&self, url: &str) -> Value {
        json!({ "base_url": url })
    }

    fn does(&self) -> &'static [Does] {
        &[Does::Chat, Does::Calls]
    }

    fn is_translated(&self) -> bool {
        true
    }

    fn answer(&self, request: &Seen, scene: Scene) -> Answer {
        if request.method != "POST" {
            return Answer::json(json!({ "data": [{ "type": "model", "id": "m" }] }));
        }
        if let Scene::Refused(status) = scene {
            return Answer::json(refusal()).status(status);
        }
        if request.json()["stream"] == true {
            return Answer::new("text/event-stream", stream(scene));
        }
        let (content, stop_reason) = content(scene);
        Answer::json(message(&content, Some(stop_reason)))
    }
}

fn refusal() -> Value {
    json!({ "type": "error", "error": { "type": "api_error", "message": REFUSAL } })
}

fn content(scene: Scene) -> (Vec<Value>, &'static str) {
    if scene == Scene::Calls {
        let calls = CALLS.iter().map(|call| {
            let input: Value = serde_json::from_str(&call.arguments.concat()).unwrap();
            json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input })
        });
        (calls.collect(), "tool_use")
    } else {
        (vec![json!({ "type": "text", "text": PIECES.concat() })], "end_turn")
    }
}

fn message(content: &[Value], stop_reason: Option<&str>) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": stop_reason, "stop_sequence": null,
        "usage": { "input_tokens": TOKENS.0, "output_tokens": TOKENS.1 },
    })
}

fn stream(scene: Scene) -> String {
    let mut events = vec![json!({ "type": "message_start", "message": message(&[], None) })];
    let stop_reason = content(scene).1;
    if scene == Scene::Calls {
        for (index, call) in CALLS.iter().enumerate() {
            let block =
                json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": {} });
            let deltas = call
                .arguments
                .iter()
                .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }));
            part(index, &block, deltas.collect(), &mut events);
        }
    } else {
        let mut deltas = Vec::new();
        for (index, piece) in PIECES.iter().enumerate() {
            if scene == Scene::Fails && index == 2 {
                deltas.push(refusal());
            }
            if scene == Scene::Noise {
                deltas.push(json!({ "type": "delta_of_a_later_version", "percent": index }));
            }
            deltas.push(json!({ "type": "text_delta", "text": piece, "of_a_later_version": [1] }));
        }
        if scene == Scene::Noise {
            events.push(json!({ "type": "event_of_a_later_version" }));
        }
        part(0, &json!({ "type": "text", "text": "" }), deltas, &mut events);
    }
    events.push(json!({
        "type": "message_delta", "delta": { "stop_reason": stop_reason, "stop_sequence": null },
        "usage": { "output_tokens": TOKENS.1 },
    }));
    events.push(json!({ "type": "message_stop" }));
    let mut text = String::new();
    for event in events {
        let name = event["type"].as_str().unwrap_or_default();
        write!(text, "event: {name}\ndata: {event}\n\n").unwrap();
    }
    text
}

/// The events of one part of a message; an error among the deltas is an event of its own.
fn part(index: usize, block: &Value, deltas: Vec<Value>, events: &mut Vec<Value>) {
    events.push(json!({ "type": "content_block_start", "index": index, "content_block": block }));
    events.push(json!({ "type": "ping" }));
    for delta in deltas {
        if delta["type"] == "error" {
            events.push(delta);
        } else {
            events.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        }
    }
    events.push(json!({ "type": "content_block_stop", "index": index }));
}
