//! Answers of upstreams that do not keep to OpenAI's form in all.

use super::*;

#[tokio::test]
async fn what_upstreams_write_in_their_own_way_is_understood() {
    let part = |text: &str| json!({ "type": "text", "text": text });
    let message = json!({
        "content": [{ "type": "thinking", "thinking": [part("hm")] }, part("Hello "), part("world")],
        "tool_calls": [
            { "id": "a", "function": { "name": "get_weather", "arguments": { "location": "Rome" } } },
        ],
    });
    let usage = json!({ "prompt_tokens": null, "completion_tokens": null, "total_tokens": null });
    let call = json!({
        "call_id": "a", "tool_name": "get_weather", "arguments": { "location": "Rome" },
    });
    let choice = json!({ "message": message, "finish_reason": "tool_calls" });
    let provider = Scripted::new([json!({ "id": "1", "choices": [choice], "usage": usage })]);
    let out = chat(&provider, json!({ "tools": weather() })).await.unwrap();
    let answer = &out[0]["completion_message"];
    assert_eq!(
        (&answer["content"], &answer["tool_calls"]),
        (&"Hello world".into(), &json!([call]))
    );

    let last = json!({ "choices": [], "usage": usage });
    let provider = Scripted::new([delta(message, "tool_calls".into()), last]);
    let out = chat(&provider, json!({ "stream": true, "tools": weather() })).await.unwrap();
    let called = json!({ "type": "tool_call", "tool_call": call, "parse_status": "succeeded" });
    assert_eq!(
        out[..3],
        [
            event("start", text(""), Value::Null),
            event("progress", text("Hello world"), Value::Null),
            event("progress", called, Value::Null),
        ]
    );
    assert_eq!(out[3]["event"]["event_type"], "complete");
}
