//! An upstream that speaks OpenAI's API, for the contract suite.

use super::contract::{CALLS, Does, PIECES, REFUSAL, SCORES, Scene, Script, TOKENS, VECTORS};
use chaski_testkit::{Answer, Seen};
use serde_json::{Value, json};

/// A provider whose upstream speaks OpenAI's API.
pub(crate) struct OpenAiScript {
    pub config: fn(&str) -> Value,
    pub model: &'static str,
    pub does: &'static [Does],
    /// Whether the upstream tells the usage of a stream without being asked.
    pub always_usage: bool,
    /// What the upstream answers to requests that ask no model for anything.
    pub other: fn(&Seen) -> Answer,
}

impl OpenAiScript {
    /// An upstream that does everything but rank.
    pub(crate) const fn new(config: fn(&str) -> Value) -> Self {
        Self {
            config,
            model: "m",
            does: &[Does::Chat, Does::Calls, Does::Completions, Does::Embeddings],
            always_usage: false,
            other: |_| Answer::json(json!({ "object": "list", "data": [{ "id": "m" }] })),
        }
    }
}

impl Script for OpenAiScript {
    fn config(&self, url: &str) -> Value {
        (self.config)(url)
    }

    fn model(&self) -> &'static str {
        self.model
    }

    fn does(&self) -> &'static [Does] {
        self.does
    }

    fn is_call(&self, request: &Seen) -> bool {
        endpoint(request).is_some()
    }

    fn answer(&self, request: &Seen, scene: Scene) -> Answer {
        let Some(endpoint) = endpoint(request) else { return (self.other)(request) };
        if let Scene::Refused(status) = scene {
            return Answer::json(refusal(status)).status(status);
        }
        let mut body = request.json();
        if self.always_usage {
            body["stream_options"] = json!({ "include_usage": true });
        }
        match (endpoint, body["stream"] == true) {
            ("/embeddings", _) => Answer::json(vectors(&body)),
            ("/rerank", _) => Answer::json(scores(&body)),
            ("/completions", false) => Answer::json(completion(&PIECES.concat(), "stop", true)),
            ("/completions", true) => Answer::events(completion_events(&body, scene)),
            (_, false) => Answer::json(chat(scene)),
            (_, true) => Answer::events(chat_events(&body, scene)),
        }
    }
}

/// Which part of the API a request is for.
fn endpoint(request: &Seen) -> Option<&'static str> {
    let path = request.path.split('?').next().unwrap_or_default();
    ["/chat/completions", "/completions", "/embeddings", "/rerank"]
        .into_iter()
        .find(|endpoint| request.method == "POST" && path.ends_with(endpoint))
}

fn refusal(status: u16) -> Value {
    json!({ "error": { "message": REFUSAL, "type": "an_error", "param": null, "code": status } })
}

fn usage() -> Value {
    let (prompt, generated) = TOKENS;
    json!({
        "prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated,
    })
}

fn vectors(body: &Value) -> Value {
    let data = VECTORS.iter().enumerate().map(|(index, vector)| {
        let embedding = if body["encoding_format"] == "base64" {
            use base64::{Engine, engine::general_purpose::STANDARD};
            let bytes: Vec<u8> = vector.iter().copied().flat_map(f32::to_le_bytes).collect();
            json!(STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let usage = json!({ "prompt_tokens": TOKENS.0, "total_tokens": TOKENS.0 });
    json!({ "object": "list", "data": data.collect::<Vec<_>>(), "model": "m", "usage": usage })
}

/// The scores in the form of Text Embeddings Inference if the documents came in that, and in the
/// form of Cohere otherwise.
fn scores(body: &Value) -> Value {
    let name = if body["texts"].is_array() { "score" } else { "relevance_score" };
    let results = SCORES.iter().enumerate().map(|(index, score)| {
        let mut result = json!({ "index": index });
        result[name] = json!(score);
        result
    });
    // The best first.
    let results: Vec<Value> = results.rev().collect();
    if name == "score" {
        return results.into();
    }
    let usage = json!({ "prompt_tokens": TOKENS.0, "total_tokens": TOKENS.0 });
    json!({ "id": "rerank-1", "model": "m", "results": results, "usage": usage })
}

fn completion(text: &str, finish_reason: &str, with_usage: bool) -> Value {
    let finish_reason = if finish_reason.is_empty() { Value::Null } else { finish_reason.into() };
    let choice = json!({ "index": 0, "text": text, "finish_reason": finish_reason });
    let mut answer = json!({
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice],
    });
    if with_usage {
        answer["usage"] = usage();
    }
    answer
}

fn completion_events(body: &Value, scene: Scene) -> Vec<String> {
    let mut events = Vec::new();
    for (index, piece) in PIECES.into_iter().enumerate() {
        if scene == Scene::Fails && index == 2 {
            events.push(refusal(500));
        }
        if scene == Scene::Noise {
            let progress = json!({ "percent": index });
            events.push(json!({ "object": "text_completion.progress", "progress": progress }));
        }
        events.push(completion(piece, "", false));
    }
    events.push(completion("", "stop", false));
    finished(body, events)
}

fn chat(scene: Scene) -> Value {
    let (message, finish_reason) = if scene == Scene::Calls {
        let calls = CALLS.iter().map(|call| {
            let function = json!({ "name": call.name, "arguments": call.arguments.concat() });
            json!({ "id": call.id, "type": "function", "function": function })
        });
        let calls = calls.collect::<Vec<_>>();
        (json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
    } else {
        (json!({ "role": "assistant", "content": PIECES.concat() }), "stop")
    };
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish_reason });
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [choice], "usage": usage(),
    })
}

fn chunk(delta: Value, finish_reason: Value) -> Value {
    let mut choice = json!({ "index": 0, "delta": {}, "finish_reason": null });
    choice["delta"] = delta;
    choice["finish_reason"] = finish_reason;
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [choice],
    })
}

fn chat_events(body: &Value, scene: Scene) -> Vec<String> {
    let mut events = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    if scene == Scene::Calls {
        for (index, call) in CALLS.iter().enumerate() {
            let function = json!({ "name": call.name, "arguments": "" });
            let start =
                json!({ "index": index, "id": call.id, "type": "function", "function": function });
            events.push(chunk(json!({ "tool_calls": [start] }), Value::Null));
            for arguments in call.arguments {
                let piece = json!({ "index": index, "function": { "arguments": arguments } });
                events.push(chunk(json!({ "tool_calls": [piece] }), Value::Null));
            }
        }
        events.push(chunk(json!({}), "tool_calls".into()));
        return finished(body, events);
    }
    for (index, piece) in PIECES.iter().enumerate() {
        if scene == Scene::Fails && index == 2 {
            events.push(refusal(500));
        }
        if scene == Scene::Noise {
            let progress = json!({ "percent": index });
            events.push(json!({ "object": "chat.completion.progress", "progress": progress }));
        }
        events.push(chunk(json!({ "content": piece, "of_a_later_version": [1] }), Value::Null));
    }
    events.push(chunk(json!({}), "stop".into()));
    finished(body, events)
}

/// The texts of the events, with usage where it is asked for, and the mark of the end.
fn finished(body: &Value, mut events: Vec<Value>) -> Vec<String> {
    if body["stream_options"]["include_usage"] == true {
        let mut last = events[0].clone();
        last["choices"] = json!([]);
        last["usage"] = usage();
        events.push(last);
    }
    events.into_iter().map(|event| event.to_string()).chain(["[DONE]".to_owned()]).collect()
}
