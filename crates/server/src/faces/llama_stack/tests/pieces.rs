//! Calls that are shown as they are written, for the providers that say so.

use super::*;
use chaski_provider::Served;
use std::sync::Arc;

/// What the stream of a chat with a provider of this kind shows of calls: the status, what it says,
/// and the reason for the end.
async fn shown(streams_calls: bool, script: Vec<Value>) -> Vec<(Value, Value, Value)> {
    let cx = Context::default();
    let served = Served::new("p", "gpt-9", None);
    cx.trail.lead_to(&Arc::new(Served { streams_calls, ..served }));
    let request = ChatCompletionRequest::from_json(json!({
        "model_id": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": true,
        "tools": weather(),
    }));
    let provider = Scripted::new(script);
    let reply = chat_completion(&provider, &model("llm"), &cx, request.unwrap()).await.unwrap();
    let events = outcome(reply).await.into_iter().map(|mut chunk| chunk["event"].take());
    let calls = events.filter(|event| event["delta"]["type"] == "tool_call");
    let parts = calls.map(|mut event| {
        let mut delta = event["delta"].take();
        (delta["parse_status"].take(), delta["tool_call"].take(), event["stop_reason"].take())
    });
    parts.collect()
}

fn piece(index: i64, function: Value) -> Value {
    let id = if function.get("name").is_some() { json!(format!("c{index}")) } else { Value::Null };
    let call = json!({ "index": index, "id": id, "function": function });
    delta(json!({ "tool_calls": [call] }), Value::Null)
}

fn begun(text: &str) -> (Value, Value, Value) {
    ("in_progress".into(), text.into(), Value::Null)
}

fn rome() -> Vec<Value> {
    vec![
        piece(0, json!({ "name": "get_weather", "arguments": "" })),
        piece(0, json!({ "arguments": "{\"location\":" })),
        piece(0, json!({ "arguments": " \"Rome\"}" })),
        finished("tool_calls"),
    ]
}

#[tokio::test]
async fn a_call_is_shown_as_it_is_written_and_then_whole() {
    let call = json!({
        "call_id": "c0", "tool_name": "get_weather", "arguments": { "location": "Rome" },
    });
    let whole = |reason: Value| ("succeeded".into(), call.clone(), reason);
    assert_eq!(
        shown(true, rome()).await,
        [
            begun("get_weather("),
            begun("{\"location\":"),
            begun(" \"Rome\"}"),
            begun(")"),
            whole("end_of_message".into()),
        ]
    );
    assert_eq!(shown(false, rome()).await, [whole(Value::Null)]);
}

#[tokio::test]
async fn of_several_calls_each_ends_before_it_comes_whole() {
    let script = vec![
        piece(0, json!({ "name": "get_weather", "arguments": "{}" })),
        piece(1, json!({ "name": "get_weather", "arguments": "{\"broken\"" })),
        finished("tool_calls"),
    ];
    let shown = shown(true, script).await;
    let pieces: Vec<&str> = shown.iter().filter_map(|(_, call, _)| call.as_str()).collect();
    let failed = "call_id='c1' tool_name='get_weather' arguments='{\"broken\"'";
    assert_eq!(pieces, ["get_weather({}", "get_weather({\"broken\"", ")", ")", failed]);
    let statuses: Vec<&str> = shown.iter().filter_map(|(status, ..)| status.as_str()).collect();
    let in_progress = "in_progress";
    assert_eq!(
        statuses,
        [in_progress, in_progress, in_progress, "succeeded", in_progress, "failed"]
    );
}
