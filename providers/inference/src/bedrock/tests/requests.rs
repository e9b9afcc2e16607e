//! What Bedrock is sent.

use super::super::request::translate;
use chaski_api::{ErrorKind, openai::ChatRequest};
use serde_json::{Value, json};

fn translated(messages: Value, more: Value) -> Value {
    translated_for("m", messages, more)
}

#[expect(clippy::needless_pass_by_value, reason = "the cases are made by `json!`")]
fn translated_for(model: &str, messages: Value, more: Value) -> Value {
    let mut request = ChatRequest::new(model, messages.as_array().unwrap().clone());
    request.body.extend(more.as_object().unwrap().clone());
    translate(&request).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "the cases are made by `json!`")]
fn check(messages: Value, more: Value, expected: Value) {
    assert_eq!(translated(messages, more), expected);
}

fn hello() -> Value {
    json!([{ "role": "user", "content": "hello" }])
}

#[expect(clippy::needless_pass_by_value, reason = "the cases are made by `json!`")]
fn sent(role: &str, content: Value) -> Value {
    json!({ "role": role, "content": content })
}

#[test]
fn a_chat_becomes_turns_of_user_and_assistant() {
    let call = |id: &str, name: &str, arguments: Value| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    let png = "data:image/png;base64,iVBORw0=";
    let messages = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "developer", "content": [{ "type": "text", "text": "And kind." }] },
        { "role": "user", "content": [
            { "type": "text", "text": "What is this?" },
            { "type": "image_url", "image_url": { "url": png, "detail": "low" } },
        ] },
        { "role": "user", "content": "And the weather?" },
        { "role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [
            call("c1", "get_weather", json!("{\"city\":\"Lisbon\"}")),
            call("c2", "get_time", json!("")),
        ] },
        { "role": "tool", "tool_call_id": "c1", "content": "sunny" },
        { "role": "tool", "tool_call_id": "c2", "content": [
            { "type": "text", "text": "noon" },
            { "type": "image_url", "image_url": { "url": "data:image/jpg;base64,/9j/" } },
        ] },
        { "role": "assistant", "content": "  ", "refusal": null },
        { "role": "user", "content": "Thanks" },
    ]);
    let image = |format: &str, bytes: &str| json!({ "image": { "format": format, "source": { "bytes": bytes } } });
    let out = translated(messages, json!({}));
    assert_eq!(out["system"], json!([{ "text": "Be brief." }, { "text": "And kind." }]));
    let asked = json!([
        { "text": "What is this?" }, image("png", "iVBORw0="), { "text": "And the weather?" },
    ]);
    let called = json!([
        { "toolUse": { "toolUseId": "c1", "name": "get_weather", "input": { "city": "Lisbon" } } },
        { "toolUse": { "toolUseId": "c2", "name": "get_time", "input": {} } },
    ]);
    let noon = json!([{ "text": "noon" }, image("jpeg", "/9j/")]);
    let answered = json!([
        { "toolResult": { "toolUseId": "c1", "content": [{ "text": "sunny" }] } },
        { "toolResult": { "toolUseId": "c2", "content": noon } },
        { "text": "Thanks" },
    ]);
    let turns = json!([sent("user", asked), sent("assistant", called), sent("user", answered)]);
    assert_eq!(out["messages"], turns);
    // Bedrock refuses calls of tools that are not described.
    let schema = json!({ "json": { "type": "object", "properties": {} } });
    let tool = |name: &str| json!({ "toolSpec": { "name": name, "inputSchema": schema } });
    assert_eq!(out["toolConfig"], json!({ "tools": [tool("get_weather"), tool("get_time")] }));
}

#[test]
fn thoughts_go_back_to_models_of_anthropic_before_what_they_said() {
    let thoughts = json!([
        { "type": "thinking", "thinking": "hm", "signature": "EpYC" },
        { "type": "redacted_thinking", "data": "RW13" },
        { "type": "thinking", "thinking": "unsigned", "signature": null },
        { "type": "something_new" },
    ]);
    let call = json!({ "id": "c1", "function": { "name": "f", "arguments": "{}" } });
    let messages = json!([
        { "role": "user", "content": "hello" },
        { "role": "assistant", "content": "Let me see.", "tool_calls": [call],
          "thinking_blocks": thoughts },
        { "role": "tool", "tool_call_id": "c1", "content": "sunny" },
        { "role": "assistant", "content": null, "thinking_blocks": thoughts },
    ]);
    let said = json!([
        { "text": "Let me see." },
        { "toolUse": { "toolUseId": "c1", "name": "f", "input": {} } },
    ]);
    let mut with_thoughts = vec![
        json!({ "reasoningContent": { "reasoningText": { "text": "hm", "signature": "EpYC" } } }),
        json!({ "reasoningContent": { "redactedContent": "RW13" } }),
    ];
    with_thoughts.extend(said.as_array().unwrap().clone());
    for (model, expected) in [
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", Value::from(with_thoughts)),
        ("meta.llama3-1-8b-instruct-v1:0", said),
    ] {
        let out = translated_for(model, messages.clone(), json!({}));
        assert_eq!(out["messages"][1], sent("assistant", expected), "{model}");
        assert_eq!(out["messages"].as_array().unwrap().len(), 3, "thoughts alone are no turn");
    }
}

#[test]
fn models_of_anthropic_are_told_how_to_think() {
    let thinking = json!({ "type": "enabled", "budget_tokens": 2048 });
    for (model, expected) in [
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", json!({ "thinking": thinking })),
        ("meta.llama3-1-8b-instruct-v1:0", Value::Null),
    ] {
        let mut request = ChatRequest::new(model, hello().as_array().unwrap().clone());
        request.body.insert("thinking".to_owned(), thinking.clone());
        let out = translate(&request).unwrap();
        assert_eq!(out["additionalModelRequestFields"], expected, "{model}");
    }
}

#[test]
fn parameters_get_converses_names_and_those_it_lacks_are_left_out() {
    let more = json!({
        "max_tokens": 5, "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9,
        "stop": ["a", "b"], "seed": 1, "presence_penalty": 1.0, "user": "u", "top_k": 3,
        "stream": true, "n": 1, "logprobs": false,
    });
    let inference = json!({
        "maxTokens": 7, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a", "b"],
    });
    let messages = json!([sent("user", json!([{ "text": "hello" }]))]);
    let paths = json!(["/stop_sequence"]);
    check(
        hello(),
        more,
        json!({
            "messages": messages, "inferenceConfig": inference,
            "additionalModelResponseFieldPaths": paths,
        }),
    );
    let out = translated(hello(), json!({ "stop": "x", "max_tokens": null }));
    assert_eq!(out["inferenceConfig"], json!({ "stopSequences": ["x"] }));
}

#[test]
fn the_models_that_take_top_k_get_it_under_their_name() {
    let cases = [
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", json!({ "top_k": 40 })),
        ("mistral.mistral-large-2407-v1:0", json!({ "top_k": 40 })),
        ("cohere.command-r-v1:0", json!({ "k": 40 })),
        ("amazon.nova-pro-v1:0", json!({ "inferenceConfig": { "topK": 40 } })),
        ("meta.llama3-1-8b-instruct-v1:0", Value::Null),
    ];
    for (model, expected) in cases {
        let mut request = ChatRequest::new(model, hello().as_array().unwrap().clone());
        request.body.insert("top_k".to_owned(), 40.into());
        let out = translate(&request).unwrap();
        assert_eq!(out["additionalModelRequestFields"], expected, "{model}");
        request.body.insert("top_k".to_owned(), (-1).into());
        assert!(translate(&request).unwrap().get("additionalModelRequestFields").is_none());
    }
    let thinking = json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } });
    let out = translated(hello(), json!({ "additionalModelRequestFields": thinking }));
    assert_eq!(out["additionalModelRequestFields"], thinking);
}

#[test]
fn tools_and_their_choice_are_described() {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let function = json!({
        "name": "f", "description": "Does it", "parameters": parameters, "strict": true,
    });
    let tools = json!([
        { "type": "function", "function": function },
        { "type": "function", "function": { "name": "g", "description": " " } },
    ]);
    let specs = json!([
        { "toolSpec": {
            "name": "f", "inputSchema": { "json": parameters }, "description": "Does it",
            "strict": true,
        } },
        { "toolSpec": {
            "name": "g", "inputSchema": { "json": { "type": "object", "properties": {} } },
        } },
    ]);
    let config = |choice: Value| {
        let out = translated(hello(), json!({ "tools": tools, "tool_choice": choice }));
        out.get("toolConfig").cloned()
    };
    assert_eq!(config(json!("auto")), Some(json!({ "tools": specs })));
    assert_eq!(config(json!(null)), Some(json!({ "tools": specs })));
    let any = json!({ "tools": specs, "toolChoice": { "any": {} } });
    assert_eq!(config(json!("required")), Some(any));
    let one = json!({ "type": "function", "function": { "name": "g" } });
    let named = json!({ "tools": specs, "toolChoice": { "tool": { "name": "g" } } });
    assert_eq!(config(one), Some(named));
    assert_eq!(config(json!("none")), None);
}

#[test]
fn a_schema_is_sent_as_text() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let format = json!({
        "type": "json_schema",
        "json_schema": { "name": "answer", "description": "d", "schema": schema, "strict": true },
    });
    let out = translated(hello(), json!({ "response_format": format }));
    let definition = json!({ "schema": schema.to_string(), "name": "answer", "description": "d" });
    assert_eq!(
        out["outputConfig"]["textFormat"],
        json!({ "type": "json_schema", "structure": { "jsonSchema": definition } })
    );
    let out = translated(hello(), json!({ "response_format": { "type": "text" } }));
    assert!(out.get("outputConfig").is_none());
}

#[test]
fn what_bedrock_has_no_form_for_is_refused_with_its_place() {
    let check = |messages: Value, more: Value, kind: ErrorKind, param: &str, expected: &str| {
        let mut request = ChatRequest::new("m", messages.as_array().unwrap().clone());
        request.body.extend(more.as_object().unwrap().clone());
        let error = translate(&request).unwrap_err();
        assert_eq!((&error.kind, error.param.as_deref()), (&kind, Some(param)), "{error}");
        assert!(error.message.contains(expected), "{error}");
    };
    let wrong = |messages: Value, expected: &str| {
        check(messages, json!({}), ErrorKind::InvalidRequest, "messages", expected);
    };
    wrong(json!([]), "at least one message");
    wrong(json!([{ "role": "system", "content": "x" }]), "at least one message");
    wrong(json!([{ "role": "robot", "content": "x" }]), "`messages[0]` has the role `robot`");
    wrong(json!([{ "content": "x" }]), "`messages[0]` has no `role`");
    wrong(json!([1]), "`messages[0]` has no `role`");
    wrong(json!([{ "role": "user", "content": 5 }]), "neither a text nor a list of parts");
    wrong(json!([{ "role": "user", "content": [7] }]), "a part of the type `none`");
    wrong(
        json!([{ "role": "user", "content": [{ "type": "input_audio" }] }]),
        "a part of the type `input_audio`; Bedrock takes `text` and `image_url`",
    );
    let image = |url: &str| {
        let part = json!({ "type": "image_url", "image_url": { "url": url } });
        json!([{ "role": "user", "content": [part] }])
    };
    wrong(image("file:///etc/passwd"), "neither a web address nor a `data:` URL");
    wrong(image("data:image/bmp;base64,Qk0="), "the type `image/bmp`; Bedrock reads PNG");
    wrong(json!([{ "role": "tool", "content": "x" }]), "has no `tool_call_id`");
    let calls = |call: Value| json!([{ "role": "assistant", "tool_calls": [call] }]);
    wrong(calls(json!({ "id": "1" })), "a tool call without `id` or `function.name`");
    let arguments = json!({ "id": "1", "function": { "name": "f", "arguments": "[1" } });
    wrong(calls(arguments), "calls `f` with arguments that are not a JSON object");

    let invalid = ErrorKind::InvalidRequest;
    let tools = json!({ "tools": [{ "type": "web_search" }] });
    check(hello(), tools, invalid.clone(), "tools", "`tools[0]` is not a function");
    let tools = json!({ "tools": [{ "type": "function", "function": {} }] });
    check(hello(), tools, invalid.clone(), "tools", "`tools[0]` has no `function.name`");
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let choice = json!({ "tools": tool, "tool_choice": "always" });
    check(hello(), choice, invalid.clone(), "tool_choice", "cannot be \"always\"");
    let format = json!({ "response_format": { "type": "json_schema" } });
    check(hello(), format, invalid, "response_format", "has no `json_schema.schema`");

    let cannot = ErrorKind::Unsupported;
    let format = json!({ "response_format": { "type": "json_object" } });
    check(hello(), format, cannot.clone(), "response_format", "use `json_schema`");
    check(hello(), json!({ "n": 2 }), cannot.clone(), "n", "several answers at once");
    check(hello(), json!({ "logprobs": true }), cannot, "logprobs", "log probabilities");
}
