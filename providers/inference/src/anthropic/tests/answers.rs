//! Answers and streams in OpenAI's form.

#![expect(clippy::needless_pass_by_value, reason = "tests pass what `json!` just made")]

use super::{MESSAGE, STREAM};
use crate::anthropic::{
    answer::completion,
    events::{Out, Translation},
    request::Form,
};
use chaski_api::{
    Wire,
    openai::{ChatChunk, ChatCompletion},
};
use serde_json::{Value, json};

const FREE: Form = Form { forced: false, usage_event: true };
const FORCED: Form = Form { forced: true, usage_event: false };

fn completed(answer: &Value, form: Form) -> Value {
    let body = completion(answer.to_string().as_bytes(), form).unwrap();
    let value: Value = serde_json::from_slice(&body).unwrap();
    ChatCompletion::from_json(value.clone()).unwrap();
    value
}

fn answer(content: Value, stop_reason: &str) -> Value {
    json!({ "id": "msg_1", "model": "m", "content": content, "stop_reason": stop_reason })
}

#[test]
fn every_block_has_its_place_in_the_completion() {
    let mut completion = completed(&serde_json::from_str(MESSAGE).unwrap(), FREE);
    assert!(completion["created"].take().as_i64().unwrap() > 1_700_000_000);
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    assert_eq!(
        completion,
        json!({
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "object": "chat.completion", "created": null,
            "model": "claude-sonnet-4-5-20250929",
            "choices": [{
                "index": 0,
                "message": {
                    "role": "assistant", "content": "I will look it up.", "refusal": null,
                    "reasoning_content": "The user wants the weather.",
                    "thinking_blocks": [
                        {
                            "type": "thinking", "thinking": "The user wants the weather.",
                            "signature": "EqQBCgIYAhIM",
                        },
                        { "type": "redacted_thinking", "data": "EmwKAhgBEgy3" },
                    ],
                    "tool_calls": [
                        call("toolu_01A09q90qw90lq917835lq9", "get_weather", "{\"city\":\"Paris\",\"days\":2}"),
                        call("toolu_02", "get_time", "{}"),
                    ],
                },
                "logprobs": null,
                "finish_reason": "tool_calls",
            }],
            "usage": {
                "prompt_tokens": 188_207, "completion_tokens": 393, "total_tokens": 188_600,
                "prompt_tokens_details": { "cached_tokens": 100 },
            },
        })
    );
}

#[test]
fn every_end_has_its_word() {
    for (stop_reason, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("from_the_future", "stop"),
    ] {
        let completion = completed(&answer(json!([]), stop_reason), FREE);
        assert_eq!(completion["choices"][0]["finish_reason"], finish, "{stop_reason}");
        assert_eq!(completion["choices"][0]["message"]["content"], "");
    }
    let mut refused = answer(json!([]), "refusal");
    refused["stop_details"] = json!({ "type": "refusal", "explanation": "not that" });
    assert_eq!(completed(&refused, FREE)["choices"][0]["message"]["refusal"], "not that");
}

#[test]
fn the_stop_text_that_ended_an_answer_is_told() {
    let mut stopped = answer(json!([{ "type": "text", "text": "a" }]), "stop_sequence");
    stopped["stop_sequence"] = "END".into();
    let choice = &completed(&stopped, FREE)["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("stop"), &json!("END")));
    let delta = json!({ "stop_reason": "stop_sequence", "stop_sequence": "END" });
    let streamed = chunks(FREE, &[json!({ "type": "message_delta", "delta": delta }), stop()]);
    let choice = &streamed[0]["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("stop"), &json!("END")));
    let unstopped = answer(json!([]), "end_turn");
    assert_eq!(completed(&unstopped, FREE)["choices"][0].get("stop_reason"), None);
}

#[test]
fn the_input_of_the_tool_that_must_be_called_is_the_answer() {
    let content = json!([
        { "type": "text", "text": "Here:" },
        { "type": "tool_use", "id": "t", "name": "answer", "input": { "b": 1, "a": [] } },
    ]);
    let choice = completed(&answer(content, "tool_use"), FORCED)["choices"][0].clone();
    assert_eq!(choice["message"]["content"], "{\"b\":1,\"a\":[]}");
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["tool_calls"]),
        (&json!("stop"), &Value::Null)
    );
}

#[test]
fn an_answer_that_is_no_message_is_an_error() {
    let odd = json!({ "content": [7, "x"], "stop_details": "x", "usage": 5, "id": 7 });
    assert_eq!(completed(&odd, FREE)["choices"][0]["message"]["refusal"], Value::Null);
    for body in ["", "[]", "{}", "{\"content\": 5}", "nope"] {
        assert!(completion(body.as_bytes(), FREE).is_err(), "{body}");
    }
}

fn chunks(form: Form, events: &[Value]) -> Vec<Value> {
    let mut translation = Translation::new(form);
    let mut out = Out::new();
    for event in events {
        translation.event(event.to_string().as_bytes(), &mut out).unwrap();
    }
    let chunks = out.into_iter().map(|chunk| serde_json::from_slice::<Value>(&chunk).unwrap());
    chunks.inspect(|chunk| drop(ChatChunk::from_json(chunk.clone()).unwrap())).collect()
}

/// The deltas of the chunks, the reasons of their end, and the usage.
fn short(chunks: &[Value]) -> Vec<Value> {
    let short = |chunk: &Value| {
        let choice = &chunk["choices"][0];
        let said = if choice["finish_reason"].is_string() { "finish_reason" } else { "delta" };
        if choice.is_null() { chunk["usage"].clone() } else { choice[said].clone() }
    };
    chunks.iter().map(short).collect()
}

fn recorded() -> Vec<Value> {
    let data = STREAM.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn every_event_has_its_chunk() {
    let found = chunks(FREE, &recorded());
    assert!(found.iter().all(|chunk| chunk["id"] == "msg_014p7gG3wDgGV9EUtLvnow3U"));
    let arguments = |index: i64, text: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] });
    let call = |index: i64, id: &str, name: &str| {
        let function = json!({ "name": name, "arguments": "" });
        json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] })
    };
    assert_eq!(
        short(&found),
        [
            json!({ "role": "assistant", "content": "" }),
            json!({ "reasoning_content": "Hm, \u{4e16}\u{754c}." }),
            json!({ "thinking_blocks": [{
                "type": "thinking", "thinking": "Hm, \u{4e16}\u{754c}.",
                "signature": "EqQBCgIYAhIM",
            }] }),
            json!({ "content": "Okay" }),
            json!({ "content": ", let's check." }),
            call(0, "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather"),
            arguments(0, "{\"location\":"),
            arguments(0, " \"San Francisco, CA\"}"),
            call(1, "toolu_02", "get_time"),
            arguments(1, "{}"),
            json!("tool_calls"),
            json!({
                "prompt_tokens": 500, "completion_tokens": 89, "total_tokens": 589,
                "prompt_tokens_details": { "cached_tokens": 28 },
            }),
        ]
    );
    let without = chunks(Form { usage_event: false, ..FREE }, &recorded());
    assert_eq!(without.len(), found.len() - 1);
}

fn begin(index: i64, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn add(index: i64, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn end(index: i64) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn stop() -> Value {
    json!({ "type": "message_stop" })
}

#[test]
fn blocks_may_be_mixed_unknown_or_whole_from_their_beginning() {
    let tool = |id: &str, input: Value| json!({ "type": "tool_use", "id": id, "name": "f", "input": input });
    let json_delta = |text: &str| json!({ "type": "input_json_delta", "partial_json": text });
    let found = chunks(
        FREE,
        &[
            begin(0, tool("a", json!({}))),
            begin(1, tool("b", json!({ "x": 1 }))),
            add(1, json_delta("")),
            add(0, json_delta("{}")),
            end(1),
            begin(2, json!({ "type": "from_the_future", "text": "x" })),
            add(2, json!({ "type": "text_delta", "text": "x" })),
            add(9, json!({ "type": "text_delta", "text": "x" })),
            begin(3, json!({ "type": "text", "text": "hi" })),
            add(3, json!({ "type": "citations_delta", "citation": {} })),
            end(0),
            end(7),
            json!({ "type": "from_the_future" }),
            stop(),
        ],
    );
    let piece = |delta: &Value| {
        let call = &delta["tool_calls"][0];
        let text = delta["content"].as_str().or(delta.as_str()).unwrap_or("usage");
        if call.is_null() {
            text.to_owned()
        } else {
            format!("{} {}", call["index"], call["function"]["arguments"])
        }
    };
    let pieces: Vec<String> = short(&found).iter().map(piece).collect();
    let expected = ["0 \"\"", "1 \"\"", "0 \"{}\"", "1 \"{\\\"x\\\":1}\"", "hi", "stop", "usage"];
    assert_eq!(pieces, expected);
}

#[test]
fn the_answer_of_a_tool_that_must_be_called_streams_as_text() {
    let tool = json!({ "type": "tool_use", "id": "a", "name": "answer", "input": {} });
    let piece = |text: &str| json!({ "type": "input_json_delta", "partial_json": text });
    let ended =
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": {} });
    let found = chunks(
        FORCED,
        &[
            begin(0, json!({ "type": "text", "text": "Here:" })),
            add(0, json!({ "type": "text_delta", "text": "!" })),
            end(0),
            begin(1, tool.clone()),
            add(1, piece("{\"a\"")),
            add(1, piece(":1}")),
            end(1),
            ended,
            stop(),
        ],
    );
    assert_eq!(
        short(&found),
        [json!({ "content": "{\"a\"" }), json!({ "content": ":1}" }), json!("stop")]
    );
    let empty = chunks(FORCED, &[begin(0, tool), end(0), stop()]);
    assert_eq!(short(&empty), [json!({ "content": "{}" }), json!("stop")]);
}

#[test]
fn events_without_sense_do_no_harm() {
    let mut translation = Translation::new(FREE);
    let mut out = Out::new();
    assert!(translation.event(b"nope", &mut out).is_err());
    for event in [
        json!({}),
        json!([]),
        json!(7),
        json!({ "type": 7 }),
        json!({ "type": "message_start" }),
        json!({ "type": "message_start", "message": "x" }),
        begin(0, json!("x")),
        add(0, json!(7)),
    ] {
        translation.event(event.to_string().as_bytes(), &mut out).unwrap();
    }
}

#[test]
fn thoughts_without_end_are_an_error() {
    let piece = "x".repeat(1 << 20);
    for kind in ["thinking", "signature"] {
        let mut translation = Translation::new(FREE);
        let mut out = Out::new();
        let mut take = |event: Value| translation.event(event.to_string().as_bytes(), &mut out);
        take(begin(0, json!({ "type": "thinking", "thinking": "" }))).unwrap();
        for _ in 0..8 {
            take(add(0, json!({ kind: piece }))).unwrap();
        }
        // Another block does not make room.
        take(begin(1, json!({ "type": "thinking", "thinking": "" }))).unwrap();
        let error = take(add(1, json!({ kind: "x" }))).unwrap_err();
        assert_eq!(error.message, "Anthropic sent thoughts of more than 8388608 bytes");
    }
}
