//! A server with Llama Stack's own routes only.

#![expect(clippy::needless_pass_by_value, reason = "the cases are made by `json!`")]

use super::{passthrough, routes, whole};
use crate::tests::hello;
use chaski_api::{
    Error, ErrorKind,
    openai::{ChatChunk, ChatRequest, EmbeddingRequest, TextCompletion, TextCompletionRequest},
};
use chaski_provider::{Context, Reply};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

/// The server, with this answer to everything but the question for its routes.
async fn server(answer: Answer) -> FakeUpstream {
    FakeUpstream::start(move |seen: &Seen| match seen.path.as_str() {
        "/v1/inspect/routes" => routes(&["/v1/inference/chat-completion", "/v1/models"]),
        _ => answer.clone(),
    })
    .await
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("an object") };
    object
}

fn metrics() -> Value {
    // The reference's own relay turns the counts into fractions.
    json!([
        { "metric": "prompt_tokens", "value": 11.0, "unit": null },
        { "metric": "completion_tokens", "value": 5, "unit": null },
        { "metric": "total_tokens", "value": 16, "unit": null },
    ])
}

fn answered(message: Value) -> Answer {
    Answer::json(json!({ "metrics": metrics(), "completion_message": message, "logprobs": null }))
}

fn said(text: &str) -> Value {
    json!({ "role": "assistant", "content": text, "stop_reason": "end_of_turn", "tool_calls": [] })
}

#[tokio::test]
async fn a_chat_of_all_kinds_of_messages_is_translated() {
    let upstream = server(answered(said("hi"))).await;
    let provider = passthrough(json!({ "url": upstream.url(), "api_key": "pt-key" })).await;
    let call = json!({
        "id": "c1", "type": "function",
        "function": { "name": "get_weather", "arguments": "{\"city\": \"Lisbon\"}" },
    });
    let png = "data:image/png;base64,iVBORw0KGgo=";
    let image = json!({ "type": "image_url", "image_url": { "url": png } });
    let messages = json!([
        { "role": "developer", "content": "Be brief" },
        { "role": "user", "content": [{ "type": "text", "text": "What is this?" }, image] },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c1", "content": "sunny" },
    ]);
    let parameters = json!({
        "type": "object", "required": ["city"],
        "properties": {
            "city": { "type": "string", "description": "The city" },
            "days": { "type": "integer", "default": 1 },
        },
    });
    let function =
        json!({ "name": "get_weather", "description": "Weather", "parameters": parameters });
    let mut request = ChatRequest::new("m", messages.as_array().unwrap().clone());
    request.body.extend(object(json!({
        "tools": [{ "type": "function", "function": function }],
        "tool_choice": { "type": "function", "function": { "name": "get_weather" } },
        "temperature": 0.5, "max_tokens": 7, "stop": "x", "seed": 1,
        "logprobs": true, "top_logprobs": 2,
        "response_format": { "type": "json_schema", "json_schema": { "schema": { "a": 1 } } },
    })));
    let answer = whole(&provider, request).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "hi");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 16);

    let seen = &upstream.requests()[1];
    assert_eq!(seen.path, "/v1/inference/chat-completion");
    assert_eq!(seen.header("authorization"), "Bearer pt-key");
    let called = json!({
        "call_id": "c1", "tool_name": "get_weather", "arguments": { "city": "Lisbon" },
    });
    let picture = json!({ "type": "image", "image": { "url": { "uri": png } } });
    let expected = json!({
        "model_id": "m",
        "messages": [
            { "role": "system", "content": "Be brief" },
            { "role": "user", "content": [{ "type": "text", "text": "What is this?" }, picture] },
            { "role": "assistant", "content": "", "stop_reason": "end_of_message",
              "tool_calls": [called] },
            { "role": "tool", "call_id": "c1", "tool_name": "get_weather", "content": "sunny" },
        ],
        "stream": false,
        "sampling_params": {
            "strategy": { "type": "top_p", "temperature": 0.5, "top_p": 1.0 },
            "max_tokens": 7, "stop": ["x"],
        },
        "response_format": { "type": "json_schema", "json_schema": { "a": 1 } },
        "logprobs": { "top_k": 2 },
        "tools": [{
            "tool_name": "get_weather", "description": "Weather",
            "parameters": {
                "city": { "param_type": "string", "required": true, "description": "The city" },
                "days": { "param_type": "integer", "required": false, "default": 1 },
            },
        }],
        "tool_config": { "tool_choice": "get_weather" },
    });
    assert_eq!(seen.json(), expected);
    // What is sent is what this server itself reads on that route.
    let read =
        <chaski_api::inference::ChatCompletionRequest as chaski_api::Wire>::from_json(expected);
    assert!(read.is_ok(), "{read:?}");
}

#[tokio::test]
async fn sampling_becomes_a_strategy() {
    let check = async |given: Value, expected: Value| {
        let upstream = server(answered(said("hi"))).await;
        let provider = passthrough(json!({ "url": upstream.url() })).await;
        let mut request = hello("m");
        request.body.extend(object(given));
        whole(&provider, request).await;
        let body = upstream.requests()[1].json();
        assert_eq!(body.get("sampling_params").cloned().unwrap_or_default(), expected);
    };
    check(json!({}), Value::Null).await;
    let greedy = json!({ "strategy": { "type": "greedy" } });
    check(json!({ "temperature": 0, "top_p": 0.5 }), greedy).await;
    let top_k = json!({ "strategy": { "type": "top_k", "top_k": 40 } });
    check(json!({ "temperature": 0.7, "top_k": 40 }), top_k).await;
    let top_p = json!({ "strategy": { "type": "top_p", "temperature": null, "top_p": 0.5 } });
    check(json!({ "top_p": 0.5, "top_k": -1 }), top_p).await;
    let more = json!({ "max_tokens": 9, "repetition_penalty": 1.2, "stop": ["a", "b"] });
    check(more.clone(), more).await;
}

#[tokio::test]
async fn calls_and_the_reasons_to_stop_are_translated() {
    let call = |id: &str, arguments: Value| json!({ "call_id": id, "tool_name": "f", "arguments": arguments });
    let message = json!({
        "role": "assistant", "content": [{ "type": "text", "text": "look" }],
        "stop_reason": "end_of_turn",
        "tool_calls": [call("1", json!({ "a": [1, null] })), call("2", json!({}))],
    });
    let upstream = server(answered(message)).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let answer = whole(&provider, hello("m")).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "look");
    let calls = &choice["message"]["tool_calls"];
    assert_eq!(calls[0]["function"]["arguments"], "{\"a\":[1,null]}");
    assert_eq!((&calls[1]["id"], &calls[1]["type"]), (&json!("2"), &json!("function")));

    for (stop_reason, expected) in
        [("end_of_turn", "stop"), ("end_of_message", "stop"), ("out_of_tokens", "length")]
    {
        let mut message = said("x");
        message["stop_reason"] = stop_reason.into();
        let upstream = server(answered(message)).await;
        let provider = passthrough(json!({ "url": upstream.url() })).await;
        let answer = whole(&provider, hello("m")).await;
        assert_eq!(answer["choices"][0]["finish_reason"], expected, "{stop_reason}");
    }
}

#[tokio::test]
async fn log_probabilities_come_in_the_order_of_their_size() {
    let logprobs = json!([{ "logprobs_by_token": { "a": -2.0, "b": -0.5 } }]);
    let answer = json!({ "completion_message": said("b"), "logprobs": logprobs });
    let upstream = server(Answer::json(answer)).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let answer = whole(&provider, hello("m")).await;
    let first = &answer["choices"][0]["logprobs"]["content"][0];
    assert_eq!((&first["token"], &first["logprob"]), (&json!("b"), &json!(-0.5)));
    assert_eq!(first["top_logprobs"][1]["token"], "a");
    assert_eq!(answer["usage"], Value::Null, "a server that does not count says nothing");
}

/// An event of a chat.
fn event(kind: &str, delta: Value, stop_reason: Value) -> Value {
    json!({ "metrics": null, "event": {
        "event_type": kind, "delta": delta, "logprobs": null, "stop_reason": stop_reason,
    }})
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn tool_call(call: Value, status: &str) -> Value {
    json!({ "type": "tool_call", "tool_call": call, "parse_status": status })
}

async fn hear(events: Vec<Value>, bytes: usize) -> (Vec<ChatChunk>, Option<Error>) {
    let events: Vec<String> = events.iter().map(Value::to_string).collect();
    let upstream = server(Answer::events(&events).in_pieces_of(bytes)).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let mut request = hello("m");
    request.body.extend(object(json!({
        "stream": true, "stream_options": { "include_usage": true },
    })));
    let Reply::Stream(mut stream) = provider.chat(&Context::default(), request).await.unwrap()
    else {
        panic!("a stream was asked for")
    };
    let mut heard = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => heard.push(event.into_value().unwrap()),
            Err(error) => {
                assert!(stream.next().await.is_none());
                return (heard, Some(error));
            }
        }
    }
    (heard, None)
}

#[tokio::test]
async fn a_stream_of_text_and_calls_is_translated_wherever_it_is_cut() {
    let call = json!({ "call_id": "c1", "tool_name": "f", "arguments": { "a": 1 } });
    let mut complete = event("complete", text(""), json!("end_of_message"));
    complete["metrics"] = metrics();
    let events = vec![
        event("start", text(""), Value::Null),
        event("progress", text("Grüße"), Value::Null),
        event("progress", text(" 🎉"), Value::Null),
        event("progress", tool_call(json!(""), "started"), Value::Null),
        event("progress", tool_call(json!("{\"a\":"), "in_progress"), Value::Null),
        event("progress", tool_call(call, "succeeded"), Value::Null),
        complete,
    ];
    for bytes in [1, 3, 100_000] {
        let (heard, error) = hear(events.clone(), bytes).await;
        assert!(error.is_none(), "{error:?}");
        let choices: Vec<_> = heard.iter().flat_map(|chunk| &chunk.choices).collect();
        assert_eq!(choices[0].delta.role.as_deref(), Some("assistant"));
        let said: String =
            choices.iter().filter_map(|choice| choice.delta.content.clone()).collect();
        assert_eq!(said, "Grüße 🎉");
        let calls: Vec<_> =
            choices.iter().filter_map(|choice| choice.delta.tool_calls.clone()).flatten().collect();
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].index, calls[0].id.as_deref()), (Some(0), Some("c1")));
        assert_eq!(calls[0].function.arguments.as_deref(), Some("{\"a\":1}"));
        let finish: Vec<_> =
            choices.iter().filter_map(|choice| choice.finish_reason.as_deref()).collect();
        assert_eq!(finish, ["tool_calls"]);
        assert_eq!(heard.last().unwrap().usage.as_ref().unwrap().total_tokens, 16);
    }
}

#[tokio::test]
async fn a_call_that_the_server_could_not_read_comes_as_text() {
    let events = vec![
        event("start", text(""), Value::Null),
        event("progress", tool_call(json!("<|python_tag|>oops"), "failed"), Value::Null),
        event("complete", text(""), json!("end_of_turn")),
    ];
    let (heard, _) = hear(events, 1000).await;
    let said: String = heard
        .iter()
        .flat_map(|chunk| &chunk.choices)
        .filter_map(|choice| choice.delta.content.clone())
        .collect();
    assert_eq!(said, "<|python_tag|>oops");
}

#[tokio::test]
async fn errors_in_a_stream_and_its_early_end_are_errors() {
    let start = || event("start", text("He"), Value::Null);
    let error = |message: &str| json!({ "error": { "message": message } });
    for (last, kind, message) in [
        (
            error("400: Invalid value: nope"),
            ErrorKind::Upstream { status: Some(400) },
            "Invalid value: nope",
        ),
        (error("429: slow"), ErrorKind::RateLimited { retry_after: None }, "slow"),
        (error("went: wrong"), ErrorKind::Upstream { status: None }, "went: wrong"),
        (
            json!({ "event": {} }),
            ErrorKind::Upstream { status: None },
            "the Llama Stack server sent an event that cannot be understood",
        ),
        (
            start(),
            ErrorKind::Upstream { status: None },
            "the Llama Stack server ended its answer before it was complete",
        ),
    ] {
        let (heard, error) = hear(vec![start(), last], 1000).await;
        let error = error.unwrap();
        assert_eq!((error.kind, error.message.as_str()), (kind, message));
        assert!(!heard.is_empty());
    }
}

#[tokio::test]
async fn completions_are_translated() {
    let answer =
        json!({ "content": " blue", "stop_reason": "out_of_tokens", "metrics": metrics() });
    let upstream = server(Answer::json(answer)).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let body = json!({ "model": "m", "prompt": ["Roses"], "max_tokens": 3, "logprobs": 1 });
    let request = TextCompletionRequest { body: object(body).into() };
    let Reply::Full(answer) = provider.completion(&Context::default(), request).await.unwrap()
    else {
        panic!("no stream was asked for")
    };
    let answer = answer.into_value().unwrap();
    assert_eq!(answer.choices[0].text, " blue");
    assert_eq!(answer.choices[0].finish_reason.as_deref(), Some("length"));
    assert_eq!(answer.usage.unwrap().total_tokens, 16);
    let expected = json!({
        "model_id": "m", "content": "Roses", "stream": false,
        "sampling_params": { "max_tokens": 3 }, "logprobs": { "top_k": 1 },
    });
    assert_eq!(upstream.requests()[1].path, "/v1/inference/completion");
    assert_eq!(upstream.requests()[1].json(), expected);

    let chunk = |delta: &str, reason: Value, metrics: Value| {
        json!({ "delta": delta, "stop_reason": reason, "metrics": metrics, "logprobs": null })
            .to_string()
    };
    let events =
        [chunk(" blue", Value::Null, Value::Null), chunk("", json!("end_of_turn"), metrics())];
    let upstream = server(Answer::events(events)).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let body = json!({
        "model": "m", "prompt": "Roses", "stream": true, "stream_options": { "include_usage": true },
    });
    let request = TextCompletionRequest { body: object(body).into() };
    let Reply::Stream(stream) = provider.completion(&Context::default(), request).await.unwrap()
    else {
        panic!("a stream was asked for")
    };
    let heard: Vec<TextCompletion> =
        stream.map(|event| event.unwrap().into_value().unwrap()).collect().await;
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0].choices[0].text, " blue");
    assert_eq!(heard[1].choices[0].finish_reason.as_deref(), Some("stop"));
    assert_eq!(heard[2].usage.as_ref().unwrap().total_tokens, 16);
}

#[tokio::test]
async fn vectors_are_translated() {
    for (format, expected) in
        [(json!("float"), json!([1.0, -2.5])), (json!("base64"), json!("AACAPwAAIMA="))]
    {
        let upstream = server(Answer::json(json!({ "embeddings": [[1.0, -2.5]] }))).await;
        let provider = passthrough(json!({ "url": upstream.url() })).await;
        let body = json!({
            "model": "e", "input": "a", "encoding_format": format, "dimensions": 2,
        });
        let request = EmbeddingRequest { body: object(body).into() };
        let list = provider.embeddings(&Context::default(), request).await.unwrap();
        assert_eq!(list.into_value().unwrap().data[0].embedding, expected);
        let sent = json!({ "model_id": "e", "contents": ["a"], "output_dimension": 2 });
        assert_eq!(upstream.requests()[1].json(), sent);
    }
}

#[tokio::test]
async fn what_the_routes_have_no_form_for_is_refused_before_anything_is_sent() {
    let upstream = server(answered(said("hi"))).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let chat = async |messages: Value, more: Value| {
        let mut request = ChatRequest::new("m", messages.as_array().unwrap().clone());
        request.body.extend(object(more));
        provider.chat(&Context::default(), request).await.err().unwrap()
    };
    let user = || json!([{ "role": "user", "content": "x" }]);
    let calls = json!([{ "role": "assistant", "tool_calls": [
        { "id": "1", "function": { "name": "f", "arguments": "[]" } },
    ]}]);
    for (error, param, expected) in [
        (chat(json!([{ "role": "x" }]), json!({})).await, "messages", "has the role `x`"),
        (chat(json!([{}]), json!({})).await, "messages", "`messages[0]` has no `role`"),
        (chat(calls, json!({})).await, "messages", "arguments that are not a JSON object"),
        (chat(user(), json!({ "n": 2 })).await, "n", "several answers at once"),
        (chat(user(), json!({ "tools": [{}] })).await, "tools", "`tools[0]` has no"),
        (
            chat(user(), json!({ "response_format": { "type": "json_object" } })).await,
            "response_format",
            "the response format `json_object`; use `json_schema`",
        ),
    ] {
        assert_eq!(error.param.as_deref(), Some(param), "{error}");
        assert!(error.message.contains(expected), "{error}");
    }
    let body = json!({ "model": "m", "prompt": ["a", "b"] });
    let request = TextCompletionRequest { body: object(body).into() };
    let error = provider.completion(&Context::default(), request).await.err().unwrap();
    assert!(error.message.starts_with("`prompt` must be one text"), "{error}");
    let request = EmbeddingRequest { body: object(json!({ "model": "m", "input": [1] })).into() };
    let error = provider.embeddings(&Context::default(), request).await.err().unwrap();
    assert!(error.message.starts_with("`input` must be a text"), "{error}");
    assert_eq!(upstream.requests().len(), 1, "only the routes were asked for");
}
