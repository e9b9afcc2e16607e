//! Answers in Anthropic's form.

#![expect(clippy::needless_pass_by_value, reason = "tests pass what `json!` just made")]

use crate::faces::{
    anthropic::{answer, request::Wanted},
    tokens::Count,
};
use chaski_api::Result;
use chaski_provider::Payload;
use serde_json::{Value, json};

pub(super) fn wanted() -> Wanted {
    Wanted { model: "m".into(), thinking: true, signed: true, stop_sequences: vec!["END".into()] }
}

pub(super) fn completion(message: Value, finish: &str) -> Value {
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
    json!({ "id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage })
}

pub(super) async fn answered(completion: &Value, wanted: &Wanted) -> Result<Value> {
    let payload = Payload::Raw(completion.to_string().into());
    let message = answer::message(payload, wanted)?.counted(Count::start(|| 42)).await;
    Ok(serde_json::to_value(message).unwrap())
}

#[tokio::test]
async fn an_answer_has_its_blocks_in_order() {
    let said = json!({
        "role": "assistant", "content": "hello", "reasoning_content": "hm",
        "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
            { "type": "function", "function": { "name": "g", "arguments": "" } },
        ],
    });
    let message = answered(&completion(said.clone(), "tool_calls"), &wanted()).await.unwrap();
    let generated = message["content"][3]["id"].as_str().unwrap().to_owned();
    assert!(generated.starts_with("toolu_"), "{generated}");
    assert_eq!(
        message,
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [
                { "type": "thinking", "thinking": "hm", "signature": "" },
                { "type": "text", "text": "hello" },
                { "type": "tool_use", "id": "c1", "name": "f", "input": { "a": 1 } },
                { "type": "tool_use", "id": generated, "name": "g", "input": {} },
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {
                "input_tokens": 7, "cache_creation_input_tokens": null,
                "cache_read_input_tokens": null, "output_tokens": 3,
            },
        })
    );
    let silent = Wanted { thinking: false, ..wanted() };
    let message = answered(&completion(said, "tool_calls"), &silent).await.unwrap();
    assert_eq!(message["content"][0]["type"], "text");
}

#[tokio::test]
async fn thoughts_that_a_model_wants_back_come_as_it_gave_them() {
    let thoughts = json!([
        { "type": "thinking", "thinking": "hm", "signature": "s" },
        { "type": "redacted_thinking", "data": "x" },
    ]);
    let mut blocks = thoughts.as_array().unwrap().clone();
    blocks.push(json!({ "type": "thinking", "thinking": "unsigned", "signature": null }));
    let said = json!({ "content": "a", "reasoning_content": "hm", "thinking_blocks": blocks });
    let message = answered(&completion(said.clone(), "stop"), &wanted()).await.unwrap();
    let content = message["content"].as_array().unwrap();
    assert_eq!(content[..2], thoughts.as_array().unwrap()[..]);
    assert_eq!((content.len(), &content[2]["text"]), (3, &json!("a")));
    let unasked = Wanted { thinking: false, signed: false, ..wanted() };
    let message = answered(&completion(said, "stop"), &unasked).await.unwrap();
    assert_eq!(message["content"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_upstreams_write_in_their_own_way_is_understood() {
    let part = |text: &str| json!({ "type": "text", "text": text });
    let thinking = json!({ "type": "thinking", "thinking": [part("h"), part("m")] });
    let call = json!({ "id": "c", "function": { "name": "f", "arguments": { "a": 1 } } });
    for thoughts in [
        json!({ "content": [thinking, part("he"), part("llo")] }),
        json!({ "content": "hello", "reasoning": "hm" }),
        json!({ "content": "hello", "reasoning": "hm", "reasoning_content": "hm" }),
    ] {
        let mut said = thoughts.clone();
        said["tool_calls"] = json!([call]);
        let mut completion = completion(said, "tool_calls");
        completion["usage"]["completion_tokens"] = Value::Null;
        let message = answered(&completion, &wanted()).await.unwrap();
        let expected = json!([
            { "type": "thinking", "thinking": "hm", "signature": "" },
            { "type": "text", "text": "hello" },
            { "type": "tool_use", "id": "c", "name": "f", "input": { "a": 1 } },
        ]);
        assert_eq!(message["content"], expected, "{thoughts}");
        let usage = &message["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(7), &json!(0)));
    }
}

#[tokio::test]
async fn every_end_has_its_reason() {
    let text = || json!({ "content": "x" });
    let refusal = json!({ "refusal": "no" });
    let call =
        json!({ "tool_calls": [{ "id": "c", "function": { "name": "f", "arguments": "{}" } }] });
    let mut stopped = completion(text(), "stop");
    stopped["choices"][0]["stop_reason"] = "END".into();
    let mut by_token = completion(text(), "stop");
    by_token["choices"][0]["stop_reason"] = 128_001.into();
    for (completion, reason, sequence) in [
        (completion(text(), "stop"), "end_turn", Value::Null),
        (completion(text(), "length"), "max_tokens", Value::Null),
        (completion(text(), "content_filter"), "refusal", Value::Null),
        (completion(refusal, "stop"), "refusal", Value::Null),
        (completion(call.clone(), "tool_calls"), "tool_use", Value::Null),
        (completion(call, "stop"), "tool_use", Value::Null),
        (stopped, "stop_sequence", json!("END")),
        (by_token, "end_turn", Value::Null),
    ] {
        let message = answered(&completion, &wanted()).await.unwrap();
        assert_eq!(
            (&message["stop_reason"], &message["stop_sequence"]),
            (&json!(reason), &sequence)
        );
    }
}

#[tokio::test]
async fn cached_tokens_are_counted_apart_and_missing_counts_are_estimated() {
    let mut cached = completion(json!({ "content": "x" }), "stop");
    cached["usage"]["prompt_tokens_details"] = json!({ "cached_tokens": 5 });
    let usage = answered(&cached, &wanted()).await.unwrap()["usage"].clone();
    assert_eq!((&usage["input_tokens"], &usage["cache_read_input_tokens"]), (&json!(2), &json!(5)));
    for none in [Value::Null, json!({ "prompt_tokens": null, "completion_tokens": null })] {
        cached["usage"] = none;
        let usage = answered(&cached, &wanted()).await.unwrap()["usage"].clone();
        assert_eq!(usage["input_tokens"], 42);
    }
}

#[tokio::test]
async fn calls_that_cannot_be_understood_are_faults_of_the_upstream() {
    let call = |function: Value| json!({ "tool_calls": [{ "id": "c", "function": function }] });
    let error = async |message: Value, finish: &str| {
        answered(&completion(message, finish), &wanted()).await.map(drop).unwrap_err().message
    };
    assert_eq!(
        error(call(json!({ "name": "f", "arguments": "{\"a\": " })), "tool_calls").await,
        "the arguments of the model's call of `f` are not a JSON object"
    );
    assert_eq!(
        error(call(json!({ "arguments": "{}" })), "tool_calls").await,
        "the upstream sent a tool call without a name"
    );
    let cut = completion(call(json!({ "name": "f", "arguments": "{\"a\": " })), "length");
    let message = answered(&cut, &wanted()).await.unwrap();
    assert_eq!((&message["content"], &message["stop_reason"]), (&json!([]), &json!("max_tokens")));
    assert!(answered(&json!({ "id": "x", "choices": [] }), &wanted()).await.is_err());
    assert!(answered(&json!([]), &wanted()).await.is_err());
}
