//! Requests in OpenAI's form.

#![expect(clippy::needless_pass_by_value, reason = "tests pass what `json!` just made")]

use crate::faces::anthropic::{
    count,
    request::{Translated, translate},
};
use chaski_api::anthropic::MessagesRequest;
use serde_json::{Value, json};

fn request(more: Value) -> MessagesRequest {
    let mut body = json!({
        "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }],
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let Value::Object(body) = body else { panic!("it is an object") };
    MessagesRequest { body: body.into() }
}

fn translated(more: Value) -> Translated {
    translate(request(more)).unwrap()
}

/// The fields that the request adds to the plainest one.
fn fields(more: Value) -> Value {
    let mut body = translated(more).chat.body;
    for plain in ["model", "messages", "stream", "max_tokens"] {
        body.shift_remove(plain);
    }
    body.into()
}

fn messages(messages: Value) -> Value {
    translated(json!({ "messages": messages })).chat.body["messages"].clone()
}

fn refused(more: Value) -> String {
    translate(request(more)).unwrap_err().message
}

#[test]
fn the_plainest_request_stays_plain() {
    assert_eq!(
        Value::from(translated(json!({})).chat.body),
        json!({
            "model": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": false,
            "max_tokens": 9,
        })
    );
}

#[test]
fn settings_get_openais_names() {
    assert_eq!(
        fields(json!({
            "temperature": 0.5, "top_p": 0.25, "top_k": 7, "stop_sequences": ["a", "b"],
            "metadata": { "user_id": "u" }, "output_config": { "effort": "max" },
            "service_tier": "auto", "cache_control": { "type": "ephemeral" }, "unknown": 1,
        })),
        json!({
            "temperature": 0.5, "top_p": 0.25, "top_k": 7, "stop": ["a", "b"],
            "reasoning_effort": "xhigh", "user": "u",
        })
    );
    let stream = translated(json!({ "stream": true })).chat;
    assert!(stream.stream());
    assert_eq!(stream.body["stream_options"], json!({ "include_usage": true }));
}

#[test]
fn a_schema_for_the_answer_is_asked_for_under_both_names() {
    let format = json!({ "type": "json_schema", "schema": { "type": "object" } });
    let expected = json!({ "response_format": {
        "type": "json_schema",
        "json_schema": { "name": "answer", "schema": { "type": "object" } },
    } });
    assert_eq!(fields(json!({ "output_config": { "format": format } })), expected);
    assert_eq!(fields(json!({ "output_format": format })), expected);
}

#[test]
fn tools_become_functions_and_every_choice_has_its_word() {
    let tool = json!({
        "name": "f", "description": "does f", "input_schema": { "type": "object" },
        "cache_control": { "type": "ephemeral" },
    });
    let function = json!({
        "type": "function",
        "function": { "name": "f", "description": "does f", "parameters": { "type": "object" } },
    });
    for (choice, word, one) in [
        (json!({ "type": "auto" }), json!("auto"), false),
        (json!({ "type": "any", "disable_parallel_tool_use": true }), json!("required"), true),
        (json!({ "type": "none" }), json!("none"), false),
        (
            json!({ "type": "tool", "name": "f", "disable_parallel_tool_use": false }),
            json!({ "type": "function", "function": { "name": "f" } }),
            false,
        ),
    ] {
        let mut expected = json!({ "tools": [function], "tool_choice": word });
        if one {
            expected["parallel_tool_calls"] = json!(false);
        }
        assert_eq!(fields(json!({ "tools": [tool], "tool_choice": choice })), expected);
    }
    assert_eq!(fields(json!({ "tools": [], "tool_choice": { "type": "auto" } })), json!({}));
    let custom = json!({ "type": "custom", "name": "f", "input_schema": {}, "strict": true });
    assert_eq!(fields(json!({ "tools": [custom] }))["tools"][0]["function"]["strict"], true);
}

#[test]
fn the_system_speaks_first() {
    for system in [
        json!("Be brief.\nBe kind."),
        json!([{ "type": "text", "text": "Be brief." }, { "type": "text", "text": "Be kind." }]),
    ] {
        let messages = translated(json!({ "system": system })).chat.body["messages"].clone();
        let expected = json!({ "role": "system", "content": "Be brief.\nBe kind." });
        assert_eq!(messages[0], expected);
    }
    assert_eq!(
        translated(json!({ "system": "" })).chat.body["messages"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn texts_stay_texts_and_images_make_a_list_of_parts() {
    let image = json!({ "type": "base64", "media_type": "image/png", "data": "AAAA" });
    let found = messages(json!([{ "role": "user", "content": [
        { "type": "text", "text": "a" },
        { "type": "image", "source": image },
        { "type": "image", "source": { "type": "url", "url": "https://x/y.png" } },
    ] }]));
    assert_eq!(
        found,
        json!([{ "role": "user", "content": [
            { "type": "text", "text": "a" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
            { "type": "image_url", "image_url": { "url": "https://x/y.png" } },
        ] }])
    );
    let texts = json!([{ "role": "user", "content": [
        { "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } },
        { "type": "text", "text": "b" },
    ] }]);
    assert_eq!(messages(texts), json!([{ "role": "user", "content": "a\nb" }]));
}

#[test]
fn documents_and_search_results_become_text_and_a_pdf_a_file() {
    let text = json!({ "type": "text", "media_type": "text/plain", "data": "once" });
    let parts = json!({ "type": "content", "content": [{ "type": "text", "text": "upon" }] });
    let pdf = json!({ "type": "base64", "media_type": "application/pdf", "data": "JVBE" });
    let found = messages(json!([{ "role": "user", "content": [
        { "type": "document", "source": text, "title": "Tales", "context": "old" },
        { "type": "document", "source": parts },
        { "type": "document", "source": { "type": "content", "content": "a time" } },
        { "type": "search_result", "title": "T", "source": "S", "content": [
            { "type": "text", "text": "there was" },
        ] },
        { "type": "document", "source": pdf, "title": "a.pdf" },
    ] }]));
    let text = |text: &str| json!({ "type": "text", "text": text });
    let file = json!({ "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE" });
    assert_eq!(
        found[0]["content"],
        json!([
            text("Tales\nold\nonce"), text("upon"), text("a time"), text("T\nS\nthere was"),
            { "type": "file", "file": file },
        ])
    );
}

#[test]
fn calls_and_results_stand_where_openai_wants_them() {
    let image = json!({ "type": "base64", "media_type": "image/gif", "data": "R0lG" });
    let found = messages(json!([
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "thinking", "thinking": "of another model", "signature": "" },
            { "type": "redacted_thinking", "data": "x" },
            { "type": "text", "text": "I look." },
            { "type": "tool_use", "id": "t1", "name": "f", "input": { "b": 1, "a": [2] } },
            { "type": "tool_use", "id": "t2", "name": "g", "input": {} },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "t1", "content": "sunny" },
            { "type": "tool_result", "tool_use_id": "t2", "is_error": true, "content": [
                { "type": "text", "text": "no" }, { "type": "image", "source": image },
            ] },
            { "type": "text", "text": "and now?" },
        ] },
    ]));
    assert_eq!(
        found,
        json!([
            { "role": "user", "content": "weather?" },
            { "role": "assistant", "content": "I look.", "tool_calls": [
                { "id": "t1", "type": "function",
                  "function": { "name": "f", "arguments": r#"{"b":1,"a":[2]}"# } },
                { "id": "t2", "type": "function", "function": { "name": "g", "arguments": "{}" } },
            ], "thinking_blocks": [
                { "type": "thinking", "thinking": "hm", "signature": "s" },
                { "type": "redacted_thinking", "data": "x" },
            ] },
            { "role": "tool", "tool_call_id": "t1", "content": "sunny" },
            { "role": "tool", "tool_call_id": "t2", "content": "Error: no" },
            { "role": "user", "content": [
                { "type": "text", "text": "From the result of the tool call `t2`:" },
                { "type": "image_url", "image_url": { "url": "data:image/gif;base64,R0lG" } },
                { "type": "text", "text": "and now?" },
            ] },
        ])
    );
}

#[test]
fn results_without_content_are_said_all_the_same() {
    let call = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} });
    for (result, content) in [
        (json!({ "type": "tool_result", "tool_use_id": "t" }), ""),
        (
            json!({ "type": "tool_result", "tool_use_id": "t", "content": [], "is_error": true }),
            "Error:",
        ),
    ] {
        let found = messages(json!([
            { "role": "assistant", "content": [call] }, { "role": "user", "content": [result] },
        ]));
        assert_eq!(found[0]["content"], Value::Null);
        assert_eq!(found[1], json!({ "role": "tool", "tool_call_id": "t", "content": content }));
        assert_eq!(found.as_array().unwrap().len(), 2);
    }
}

#[test]
fn turns_of_one_role_are_one_turn() {
    assert_eq!(
        messages(json!([
            { "role": "user", "content": "a" },
            { "role": "user", "content": [{ "type": "text", "text": "b" }] },
            { "role": "assistant", "content": "c" },
            { "role": "assistant", "content": [] },
            { "role": "assistant", "content": [{ "type": "text", "text": "d" }] },
            { "role": "system", "content": "s" },
            { "role": "user", "content": "e" },
        ])),
        json!([
            { "role": "user", "content": "a\nb" },
            { "role": "assistant", "content": "c\nd" },
            { "role": "system", "content": "s" },
            { "role": "user", "content": "e" },
        ])
    );
}

#[test]
fn what_cannot_be_translated_is_named_with_its_place() {
    let user = |block: Value| json!({ "messages": [{ "role": "user", "content": [block] }] });
    let assistant =
        |block: Value| json!({ "messages": [{ "role": "assistant", "content": [block] }] });
    let pdf = json!({ "type": "url", "url": "https://x/a.pdf" });
    let svg = json!({ "type": "base64", "media_type": "image/svg+xml", "data": "" });
    for (more, expected) in [
        (json!({ "messages": [] }), "body.messages: at least one message is required"),
        (
            json!({ "messages": [
                { "role": "user", "content": "hi" }, { "role": "user", "content": [] },
            ] }),
            "body.messages[1].content: a `user` message needs at least one block",
        ),
        (
            json!({ "system": "S", "messages": [{ "role": "assistant", "content": [] }] }),
            "body.messages: at least one message must say something",
        ),
        (
            json!({ "container": "c" }),
            "body.container: only models of Anthropic can do that; leave it out",
        ),
        (
            json!({ "mcp_servers": [1] }),
            "body.mcp_servers: only models of Anthropic can do that; leave it out",
        ),
        (
            json!({ "tools": [{ "type": "bash_20250124", "name": "bash" }] }),
            "body.tools[0].type: `bash_20250124` is a tool that only models of Anthropic know; describe a tool with `name` and `input_schema`",
        ),
        (json!({ "tools": [{ "name": "f" }] }), "body.tools[0].input_schema: Field required"),
        (
            json!({ "tool_choice": { "type": "any" } }),
            "body.tool_choice: a tool is to be called, but `tools` offers none",
        ),
        (
            json!({ "tool_choice": { "type": "tool", "name": "g" } }),
            "body.tool_choice: the tool `g` is to be called, but `tools` has none",
        ),
        (
            user(json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} })),
            "body.messages[0].content[0]: `tool_use` blocks can only be in `assistant` messages",
        ),
        (
            assistant(json!({ "type": "tool_result", "tool_use_id": "t" })),
            "body.messages[0].content[0]: `tool_result` blocks can only be in `user` messages",
        ),
        (
            json!({ "messages": [{ "role": "system", "content": [{ "type": "thinking", "thinking": "" }] }] }),
            "body.messages[0].content[0]: `system` messages consist of `text` blocks only",
        ),
        (
            user(json!({ "type": "document", "source": pdf })),
            "body.messages[0].content[0].source: documents at addresses are only for models of Anthropic; send the document itself",
        ),
        (
            user(json!({ "type": "image", "source": svg })),
            "body.messages[0].content[0].source.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
        ),
    ] {
        assert_eq!(refused(more), expected);
    }
}

#[test]
fn what_is_counted_is_what_is_said_and_offered() {
    let chat = translated(json!({
        "system": "S",
        "tools": [{ "name": "f", "input_schema": {} }],
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image", "source": { "type": "url", "url": "https://x" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "t", "name": "g", "input": { "a": 1 } },
            ] },
        ],
    }))
    .chat;
    assert_eq!(
        count::text(&chat),
        "system\nS\nuser\nlook\nassistant\ng\n{\"a\":1}\n\
         {\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}\n"
    );
}
