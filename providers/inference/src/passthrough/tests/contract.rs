//! Both faces of the server in the contract suite.

use super::routes;
use crate::tests::contract::{
    Does, PIECES, REFUSAL, Scene, Script, Subject, TOKENS, VECTORS, broken_promises,
};
use chaski_testkit::{Answer, Seen};
use serde_json::{Value, json};

/// A server with Llama Stack's own routes only.
struct NativeScript;

impl Script for NativeScript {
    fn config(&self, url: &str) -> Value {
        json!({ "url": url })
    }

    /// Calls come with their arguments as values, so that the spelling of the JSON is not kept.
    fn does(&self) -> &'static [Does] {
        &[Does::Chat, Does::Completions, Does::Embeddings]
    }

    fn is_translated(&self) -> bool {
        true
    }

    fn answer(&self, request: &Seen, scene: Scene) -> Answer {
        let Some(operation) = request.path.strip_prefix("/v1/inference/") else {
            return routes(&["/v1/inference/chat-completion"]);
        };
        if let Scene::Refused(status) = scene {
            return Answer::json(json!({ "detail": REFUSAL })).status(status);
        }
        let streamed = request.json()["stream"] == true;
        match (operation, streamed) {
            ("embeddings", _) => Answer::json(json!({ "embeddings": VECTORS })),
            ("completion", false) => Answer::json(json!({
                "content": PIECES.concat(), "stop_reason": "end_of_turn", "metrics": metrics(),
            })),
            ("completion", true) => Answer::events(text_events(scene).iter().map(Value::to_string)),
            (_, false) => {
                let message = json!({
                    "role": "assistant", "content": PIECES.concat(), "stop_reason": "end_of_turn",
                    "tool_calls": [],
                });
                Answer::json(json!({ "completion_message": message, "metrics": metrics() }))
            }
            (_, true) => Answer::events(chat_events(scene).iter().map(Value::to_string)),
        }
    }
}

fn metrics() -> Value {
    let (prompt, generated) = TOKENS;
    json!([
        { "metric": "prompt_tokens", "value": prompt },
        { "metric": "completion_tokens", "value": generated },
        { "metric": "total_tokens", "value": prompt + generated },
    ])
}

fn text_events(scene: Scene) -> Vec<Value> {
    let piece = |text: &str| json!({ "delta": text, "stop_reason": null, "metrics": null });
    let mut events: Vec<Value> = PIECES.iter().map(|text| piece(text)).collect();
    if scene == Scene::Fails {
        events.insert(2, json!({ "error": { "message": format!("500: {REFUSAL}") } }));
    }
    events.push(json!({ "delta": "", "stop_reason": "end_of_turn", "metrics": metrics() }));
    events
}

fn chat_events(scene: Scene) -> Vec<Value> {
    let event = |kind: &str, delta: Value, stop_reason: Value, metrics: Value| {
        json!({ "metrics": metrics, "event": {
            "event_type": kind, "delta": delta, "stop_reason": stop_reason, "logprobs": null,
        }})
    };
    let text = |text: &str| json!({ "type": "text", "text": text });
    let mut events = vec![event("start", text(""), Value::Null, Value::Null)];
    for (index, piece) in PIECES.into_iter().enumerate() {
        if scene == Scene::Fails && index == 2 {
            events.push(json!({ "error": { "message": format!("500: {REFUSAL}") } }));
        }
        events.push(event("progress", text(piece), Value::Null, Value::Null));
    }
    events.push(event("complete", text(""), json!("end_of_turn"), metrics()));
    events
}

#[tokio::test]
async fn a_server_with_llama_stacks_routes_only_keeps_the_promises_too() {
    let subject = Subject { provider_type: "remote::passthrough", script: &NativeScript };
    let broken = broken_promises(subject).await;
    assert!(broken.is_empty(), "{} promises are broken:\n{}", broken.len(), broken.join("\n"));
}
