//! Requests in Anthropic's form.

#![expect(clippy::needless_pass_by_value, reason = "tests pass what `json!` just made")]

use crate::anthropic::request::{Asked, Form, translate};
use chaski_api::{Result, openai::ChatRequest};
use serde_json::{Value, json};

const OLD: &str = "anthropic/claude-3-5-haiku-20241022";
const MIDDLE: &str = "claude-sonnet-4-5";
const NEW: &str = "claude-opus-4-6";

fn asked(model: &str, more: Value) -> Result<Asked> {
    let mut request = ChatRequest::new(model, vec![json!({ "role": "user", "content": "hello" })]);
    for (key, value) in more.as_object().unwrap() {
        request.body.insert(key.clone(), value.clone());
    }
    translate(request, 4096)
}

/// The fields that the request adds to the plainest one.
fn fields(model: &str, more: Value) -> Value {
    let mut body = asked(model, more).unwrap().body;
    for plain in ["model", "max_tokens", "messages"] {
        body.shift_remove(plain);
    }
    body.into()
}

fn chat(messages: Value) -> Value {
    let body = asked(NEW, json!({ "messages": messages })).unwrap().body;
    json!({ "system": body.get("system"), "messages": body["messages"] })
}

fn refused(model: &str, more: Value) -> String {
    let error = asked(model, more).unwrap_err();
    assert!(error.param.is_some(), "{}", error.message);
    error.message
}

#[test]
fn the_plainest_request_gets_the_limit_that_anthropic_demands() {
    let text = json!([{ "type": "text", "text": "hello" }]);
    assert_eq!(
        Value::Object(asked(OLD, json!({})).unwrap().body),
        json!({
            "model": "claude-3-5-haiku-20241022", "max_tokens": 4096,
            "messages": [{ "role": "user", "content": text }],
        })
    );
    for (more, limit) in [
        (json!({ "max_tokens": 7 }), 7),
        (json!({ "max_completion_tokens": 8, "max_tokens": 7 }), 8),
        (json!({ "max_tokens": null }), 4096),
    ] {
        assert_eq!(asked(NEW, more).unwrap().body["max_tokens"], limit);
    }
}

#[test]
fn settings_get_anthropics_names_and_bounds() {
    assert_eq!(
        fields(
            NEW,
            json!({
                "temperature": 1.7, "top_p": 0.5, "top_k": 3, "stop": "END", "user": "u", "seed": 7,
                "presence_penalty": 1, "logprobs": true, "n": 1, "stream": true, "logit_bias": {},
            })
        ),
        json!({
            "stream": true, "temperature": 1.0, "top_k": 3, "top_p": 0.5, "stop_sequences": ["END"],
            "metadata": { "user_id": "u" },
        })
    );
    assert_eq!(
        fields(NEW, json!({ "stop": ["a", "b"], "top_k": -1 })),
        json!({ "stop_sequences": ["a", "b"] })
    );
    let form = asked(NEW, json!({ "stream_options": { "include_usage": true } })).unwrap().form;
    assert_eq!(form, Form { forced: false, usage_event: true });
}

#[test]
fn what_the_system_says_stands_apart() {
    let found = chat(json!([
        { "role": "system", "content": "a" },
        { "role": "user", "content": "hi" },
        { "role": "developer", "content": [{ "type": "text", "text": "b" }] },
    ]));
    let text = json!([{ "type": "text", "text": "hi" }]);
    assert_eq!(
        found,
        json!({ "system": "a\nb", "messages": [{ "role": "user", "content": text }] })
    );
}

#[test]
fn parts_become_blocks() {
    let found = chat(json!([{ "role": "user", "content": [
        { "type": "text", "text": "look" },
        { "type": "text", "text": "" },
        { "type": "image_url", "image_url": { "url": "data:image/jpg;base64,AAAA", "detail": "low" } },
        { "type": "image_url", "image_url": { "url": "https://x/y.png" } },
        { "type": "file", "file": { "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf" } },
    ] }]));
    assert_eq!(
        found["messages"][0]["content"],
        json!([
            { "type": "text", "text": "look" },
            { "type": "image",
              "source": { "type": "base64", "media_type": "image/jpeg", "data": "AAAA" } },
            { "type": "image", "source": { "type": "url", "url": "https://x/y.png" } },
            { "type": "document", "title": "a.pdf",
              "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBE" } },
        ])
    );
}

#[test]
fn calls_and_results_become_turns_that_alternate() {
    let call = |id: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": arguments } });
    let found = chat(json!([
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": null, "tool_calls": [call("a.1", "{\"x\":1}"), call("b", "")] },
        { "role": "tool", "tool_call_id": "a.1", "content": "sunny" },
        { "role": "tool", "tool_call_id": "b", "content": "" },
        { "role": "user", "content": "and?" },
        { "role": "user", "content": "now?" },
        { "role": "assistant", "content": "It", "refusal": "no" },
        { "role": "assistant", "content": " is  \n" },
    ]));
    let text = |text: &str| json!({ "type": "text", "text": text });
    assert_eq!(
        found["messages"],
        json!([
            { "role": "user", "content": [text("weather?")] },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "a_1", "name": "f", "input": { "x": 1 } },
                { "type": "tool_use", "id": "b", "name": "f", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a_1", "content": [text("sunny")] },
                { "type": "tool_result", "tool_use_id": "b" },
                text("and?"), text("now?"),
            ] },
            { "role": "assistant", "content": [text("It"), text("no"), text(" is")] },
        ])
    );
    // An answer to be continued that is white space only is none.
    let blank = chat(json!([
        { "role": "user", "content": "a" }, { "role": "assistant", "content": " \n" },
    ]));
    assert_eq!(blank["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn functions_become_tools_and_every_choice_has_its_word() {
    let function = json!({ "name": "f", "description": "does f", "strict": true,
        "parameters": { "type": "object", "properties": {} } });
    let bare = json!({ "type": "function", "function": { "name": "g" } });
    let tools = json!([{ "type": "function", "function": function }, bare]);
    let expected = json!([
        { "name": "f", "description": "does f",
          "input_schema": { "type": "object", "properties": {} }, "strict": true },
        { "name": "g", "input_schema": { "type": "object" } },
    ]);
    let named = json!({ "type": "function", "function": { "name": "f" } });
    for (choice, word) in [
        (json!(null), json!(null)),
        (json!("auto"), json!({ "type": "auto" })),
        (json!("none"), json!({ "type": "none" })),
        (json!("required"), json!({ "type": "any" })),
        (named, json!({ "type": "tool", "name": "f" })),
    ] {
        let found = fields(NEW, json!({ "tools": tools, "tool_choice": choice }));
        assert_eq!((&found["tools"], &found["tool_choice"]), (&expected, &word));
    }
    let one = fields(NEW, json!({ "tools": tools, "parallel_tool_calls": false }));
    assert_eq!(one["tool_choice"], json!({ "type": "auto", "disable_parallel_tool_use": true }));
    // Without tools there is nothing to choose.
    assert_eq!(fields(NEW, json!({ "tools": [], "tool_choice": "none" })), json!({}));
    assert_eq!(fields(OLD, json!({ "tools": tools }))["tools"][0]["strict"], Value::Null);
}

#[test]
fn a_schema_is_kept_by_the_model_itself_or_by_a_tool() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    let format = |schema: &Value| {
        json!({ "response_format": {
            "type": "json_schema", "json_schema": { "name": "x", "schema": schema },
        } })
    };
    let mut closed = schema.clone();
    closed["additionalProperties"] = json!(false);
    assert_eq!(
        fields(NEW, format(&schema)),
        json!({ "output_config": { "format": { "type": "json_schema", "schema": closed } } })
    );
    let tool = |schema: &Value| {
        json!({
            "tools": [{ "name": "answer", "description": "Gives the answer.", "input_schema": schema }],
            "tool_choice": { "type": "tool", "name": "answer" },
        })
    };
    assert_eq!(fields(OLD, format(&schema)), tool(&schema));
    assert!(asked(OLD, format(&schema)).unwrap().form.forced);
    let object = json!({ "response_format": { "type": "json_object" } });
    assert_eq!(fields(NEW, object), tool(&json!({ "type": "object" })));
    assert_eq!(fields(NEW, json!({ "response_format": { "type": "text" } })), json!({}));
    let both = json!({
        "response_format": { "type": "json_object" },
        "tools": [{ "type": "function", "function": { "name": "f" } }],
    });
    assert_eq!(fields(OLD, both)["system"], "Answer with one JSON object and nothing else.");
}

#[test]
fn an_effort_becomes_thoughts_where_the_model_has_them() {
    let effort = |effort: &str| json!({ "reasoning_effort": effort, "temperature": 0.5 });
    assert_eq!(fields(OLD, effort("high")), json!({ "temperature": 0.5 }));
    assert_eq!(
        fields(MIDDLE, effort("medium")),
        json!({ "thinking": { "type": "enabled", "budget_tokens": 2048 } })
    );
    assert_eq!(
        fields(NEW, effort("xhigh")),
        json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "max" } })
    );
    for none in ["none", "minimal"] {
        assert_eq!(fields(NEW, effort(none)), json!({ "temperature": 0.5 }));
    }
    let few = json!({ "reasoning_effort": "low", "max_tokens": 1500 });
    assert_eq!(fields(MIDDLE, few), json!({}));
    let between_calls = json!({ "reasoning_effort": "low", "messages": [
        { "role": "user", "content": "x" },
        { "role": "assistant", "tool_calls": [{ "id": "a", "function": { "name": "f" } }] },
        { "role": "tool", "tool_call_id": "a", "content": "y" },
    ] });
    assert_eq!(fields(MIDDLE, between_calls.clone()), json!({}));
    assert_eq!(fields(NEW, between_calls.clone())["thinking"], json!({ "type": "adaptive" }));
    let thoughts = json!([
        { "type": "thinking", "thinking": "hm", "signature": "s" },
        { "type": "redacted_thinking", "data": "x" },
    ]);
    let mut told = between_calls;
    told["messages"][1]["thinking_blocks"] = thoughts.clone();
    let sent = Value::Object(asked(MIDDLE, told).unwrap().body);
    assert_eq!(sent["thinking"]["type"], "enabled");
    let content = sent["messages"][1]["content"].as_array().unwrap();
    assert_eq!(content[..2], thoughts.as_array().unwrap()[..]);
    assert_eq!(content[2]["type"], "tool_use");
    let forced = json!({ "reasoning_effort": "low", "tool_choice": "required",
        "tools": [{ "type": "function", "function": { "name": "f" } }] });
    assert_eq!(fields(NEW, forced)["thinking"], Value::Null);
    let own = json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } });
    assert_eq!(fields(OLD, own.clone()), own);
}

#[test]
fn what_anthropics_form_cannot_say_is_named_with_its_place() {
    let user = |part: Value| json!({ "messages": [{ "role": "user", "content": [part] }] });
    let assistant =
        |call: Value| json!({ "messages": [{ "role": "assistant", "tool_calls": [call] }] });
    let image = |url: &str| user(json!({ "type": "image_url", "image_url": { "url": url } }));
    for (more, expected) in [
        (json!({ "n": 2 }), "Anthropic gives one answer to a request: `n` must be 1"),
        (
            json!({ "messages": [{ "role": "robot", "content": "x" }] }),
            "`messages[0].role` cannot be `robot`: use `system`, `developer`, `user`, `assistant` or `tool`",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": 7 }] }),
            "`messages[0].content` must be a text or a list of parts",
        ),
        (
            user(json!({ "type": "input_audio" })),
            "`messages[0].content[0]` is of type `input_audio`, which Anthropic does not take; use `text`, `image_url` or `file`",
        ),
        (
            image("data:image/bmp;base64,AA"),
            "`messages[0].content[0]` has an image of the type `image/bmp`; use JPEG, PNG, GIF or WebP",
        ),
        (
            image("data:image/png,AA"),
            "`messages[0].content[0]` has an image that is neither a web address nor a `data:` URL in base64",
        ),
        (
            image("\u{e9}\u{e9}\u{e9}"),
            "`messages[0].content[0]` has an image that is neither a web address nor a `data:` URL in base64",
        ),
        (
            user(json!({ "type": "file", "file": { "file_id": "x" } })),
            "`messages[0].content[0]` has no `file.file_data`",
        ),
        (
            assistant(json!({ "id": "a", "function": { "name": "f", "arguments": "[1]" } })),
            "`messages[0].tool_calls[0].function.arguments` is not a JSON object in a string",
        ),
        (assistant(json!({ "id": "a" })), "`messages[0].tool_calls[0].function.name` is missing"),
        (
            json!({ "tools": [{ "type": "web_search" }] }),
            "`tools[0]` must be of the type `function`",
        ),
        (
            json!({ "tools": [{ "type": "function", "function": {} }] }),
            "`tools[0].function.name` is missing",
        ),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "f" } }], "tool_choice": "maybe" }),
            "`tool_choice` must be `auto`, `none`, `required`, or name a function, not `maybe`",
        ),
        (
            json!({ "response_format": { "type": "xml" } }),
            "`response_format.type` must be `text`, `json_object` or `json_schema`, not `xml`",
        ),
        (
            json!({ "response_format": { "type": "json_schema" } }),
            "`response_format.json_schema.schema` must be a JSON schema",
        ),
    ] {
        assert_eq!(refused(NEW, more), expected);
    }
    let list = json!({ "response_format": { "type": "json_schema",
        "json_schema": { "schema": { "type": "array" } } } });
    assert!(refused(OLD, list).contains("only to schemas of objects"));
}
