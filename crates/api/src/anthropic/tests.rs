//! Requests are kept whole, read with exact paths, and events are written as Anthropic writes them.

use super::*;
use crate::{Error, Reader, Wire};
use serde_json::{Value, json};

fn read<T: Wire>(value: Value) -> Result<T, Vec<String>> {
    let mut reader = Reader::rooted("body");
    let read = T::read(value, &mut reader);
    reader.finish(read).map_err(|issues| issues.iter().map(ToString::to_string).collect())
}

fn problems<T: Wire + std::fmt::Debug>(value: Value) -> Vec<String> {
    read::<T>(value).expect_err("the value is wrong")
}

#[test]
fn a_request_keeps_what_this_server_does_not_know() {
    let body = json!({
        "model": "m", "max_tokens": 5, "stream": true, "future": { "a": [1, null] },
        "messages": [{ "role": "user", "content": [{ "type": "from_the_future" }] }],
    });
    let mut request = read::<MessagesRequest>(body.clone()).unwrap();
    assert_eq!((request.model(), request.stream()), ("m", true));
    assert_eq!(Value::from(request.body.clone()), body);
    request.set_model("other");
    assert_eq!(request.model(), "other");
}

#[test]
fn the_known_fields_of_a_request_are_checked() {
    assert_eq!(
        problems::<MessagesRequest>(json!({ "temperature": 1.5, "max_tokens": 0, "messages": {} })),
        [
            "body.model: Field required",
            "body.messages: must be a list of at most 100000 items, not {}",
            "body.max_tokens: must be an integer from 1 to 10000000, not 0",
            "body.temperature: must be a number from 0 to 1, not 1.5",
        ]
    );
}

#[test]
fn every_problem_of_a_block_is_found_with_its_path() {
    let messages = json!([
        { "role": "robot", "content": "x" },
        { "role": "user", "content": [
            { "type": "text" },
            { "type": "hologram" },
            { "type": "image", "source": { "type": "base64", "data": 5, "media_type": "image/png" } },
            { "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "tool_use" }] },
        ] },
        { "role": "user", "content": 7 },
    ]);
    let body = json!({ "model": "m", "max_tokens": 5, "messages": messages,
        "tool_choice": { "type": "tool" }, "thinking": { "type": "enabled", "budget_tokens": 5 } });
    assert_eq!(
        problems::<MessagesBody>(body),
        [
            "body.messages[0].role: Input should be 'user', 'assistant' or 'system'",
            "body.messages[1].content[0].text.text: Field required",
            "body.messages[1].content[1]: Input tag 'hologram' found using 'type' does not match any of the expected tags: 'text', 'image', 'document', 'search_result', 'thinking', 'redacted_thinking', 'tool_use', 'tool_result'",
            "body.messages[1].content[2].image.source.base64.data: Input should be a valid string",
            "body.messages[1].content[3].tool_result.content[0]: Input tag 'tool_use' found using 'type' does not match any of the expected tags: 'text', 'image', 'document', 'search_result'",
            "body.messages[2].content: Input should be a valid string or a list of blocks",
            "body.tool_choice.tool.name: Field required",
            "body.thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ]
    );
}

#[test]
fn events_and_messages_are_written_as_anthropic_writes_them() {
    let message = MessagesResponse {
        id: "msg_1".into(),
        kind: MessageTag::Message,
        role: MessageRole::Assistant,
        model: "m".into(),
        content: vec![ContentBlock::Text(TextBlock { text: "hi".into() })],
        stop_reason: Some(MessagesStopReason::EndTurn),
        stop_sequence: None,
        usage: read(json!({ "input_tokens": 3 })).unwrap(),
    };
    assert_eq!(
        serde_json::to_string(&message).unwrap(),
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":null,"cache_read_input_tokens":null,"output_tokens":0}}"#
    );
    let written = serde_json::to_value(MessagesEvent::Ping(Ping {})).unwrap();
    assert_eq!(written, json!({ "type": "ping" }));
    let delta = BlockDelta::InputJson(InputJsonDelta { partial_json: "{".into() });
    let event = MessagesEvent::ContentBlockDelta(ContentBlockDelta { index: 1, delta });
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(
        text,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{"}}"#
    );
    assert_eq!(MessagesEvent::from_json(serde_json::from_str(&text).unwrap()).unwrap(), event);
}

#[test]
fn a_count_is_asked_for_as_a_message_is() {
    let body = json!({ "model": "m", "messages": [], "system": "s" });
    let request = read::<CountTokensRequest>(body).unwrap().into_messages();
    let body = MessagesBody::from_json(request.body.into()).map_err(Error::malformed);
    assert_eq!(body.unwrap().system, Some(TextOr::Text("s".into())));
}
