use super::request::{is_needed, translate};
use crate::tests::{build, hello};
use chaski_api::{
    Error, ErrorKind,
    openai::{ChatChunk, ChatRequest},
};
use chaski_provider::{Context, Reply};
use chaski_testkit::{Answer, FakeUpstream, Gate};
use futures_util::StreamExt;
use serde_json::{Value, json};

const STREAM: &str = include_str!("../fixtures/chat_stream.ndjson");
const TOOLS: &str = include_str!("../fixtures/chat_tools.json");

fn with(fields: Value) -> ChatRequest {
    let mut request = hello("llama3.2:3b");
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    request.body.extend(fields);
    request
}

/// What comes for the request, and the error at the end, if there is one.
async fn stream(upstream: &FakeUpstream, request: ChatRequest) -> (Vec<ChatChunk>, Option<Error>) {
    let provider = build("remote::ollama", json!({ "url": upstream.url() }), &[]).await.unwrap();
    let Reply::Stream(mut events) = provider.chat(&Context::default(), request).await.unwrap()
    else {
        panic!("a stream was asked for")
    };
    let mut chunks = Vec::new();
    while let Some(event) = events.next().await {
        match event.and_then(chaski_provider::Payload::into_value) {
            Ok(chunk) => chunks.push(chunk),
            Err(error) => {
                assert!(events.next().await.is_none());
                return (chunks, Some(error));
            }
        }
    }
    (chunks, None)
}

#[test]
fn only_requests_that_would_lose_something_need_ollamas_own_api() {
    for fields in
        [json!({ "top_k": 3 }), json!({ "repetition_penalty": 1.1 }), json!({ "min_p": 0 })]
    {
        assert!(is_needed(&with(fields)));
    }
    for fields in [
        json!({ "temperature": 0.5, "top_k": null }),
        json!({ "top_k": 3, "n": 2 }),
        json!({ "top_k": 3, "logprobs": true }),
    ] {
        assert!(!is_needed(&with(fields)));
    }
}

#[test]
fn a_request_is_translated_with_everything_in_it() {
    let mut request = with(json!({
        "stream": true, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.2,
        "max_tokens": 7, "stop": ["x"], "seed": 3,
        "tools": [{ "type": "function", "function": { "name": "f" } }], "tool_choice": "auto",
        "response_format": { "type": "json_schema", "json_schema": { "schema": { "type": "object" } } },
    }));
    let call = json!({
        "id": "1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" },
    });
    request.body["messages"] = json!([
        { "role": "developer", "content": "Be terse." },
        { "role": "user", "content": [
            { "type": "text", "text": "What" }, { "type": "text", "text": "is it?" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
        ]},
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "1", "content": "sunny" },
    ]);
    let expected = json!({
        "model": "llama3.2:3b",
        "messages": [
            { "role": "system", "content": "Be terse." },
            { "role": "user", "content": "What\nis it?", "images": ["AAAA"] },
            { "role": "assistant", "content": "",
              "tool_calls": [{ "function": { "name": "f", "arguments": { "a": 1 } } }] },
            { "role": "tool", "content": "sunny", "tool_name": "f" },
        ],
        "stream": true,
        "options": {
            "top_k": 40, "repeat_penalty": 1.2, "temperature": 0.5, "top_p": 0.9, "seed": 3,
            "stop": ["x"], "num_predict": 7,
        },
        "tools": [{ "type": "function", "function": { "name": "f" } }],
        "format": { "type": "object" },
    });
    assert_eq!(translate(&request).unwrap(), expected);
    request.body["messages"][1]["content"][2]["image_url"]["url"] = "ftp://x/y.png".into();
    assert_eq!(translate(&request).unwrap_err().param.as_deref(), Some("messages"));
}

#[tokio::test]
async fn an_answer_with_calls_becomes_openais() {
    let upstream = FakeUpstream::answering(Answer::new("application/json", TOOLS)).await;
    let provider = build("remote::ollama", json!({ "url": upstream.url() }), &[]).await.unwrap();
    let request = with(json!({ "top_k": 3 }));
    let Reply::Full(answer) = provider.chat(&Context::default(), request).await.unwrap() else {
        panic!("no stream was asked for")
    };
    let answer = answer.into_value().unwrap();
    assert_eq!(answer.model, "llama3.2:3b");
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason.as_deref(), Some("tool_calls"));
    assert_eq!(choice.message.role.as_deref(), Some("assistant"));
    let calls = choice.message.tool_calls.as_ref().unwrap();
    assert_eq!(calls[0].function.name.as_deref(), Some("get_weather"));
    assert_eq!(calls[0].function.arguments.as_deref(), Some("{\"city\":\"Tokyo\"}"));
    assert_eq!(answer.usage.as_ref().unwrap().total_tokens, 169 + 15);
    assert_eq!(upstream.only_request().path, "/api/chat");
}

#[tokio::test]
async fn a_stream_is_translated_wherever_the_network_cuts() {
    for piece in [1, 7, 100_000] {
        let answer = Answer::new("application/x-ndjson", STREAM).in_pieces_of(piece);
        let upstream = FakeUpstream::answering(answer).await;
        let options = json!({ "include_usage": true });
        let fields = json!({ "top_k": 3, "stream": true, "stream_options": options });
        let (chunks, error) = stream(&upstream, with(fields)).await;
        assert!(error.is_none());
        let text: String = chunks
            .iter()
            .filter_map(|chunk| chunk.choices.first()?.delta.content.as_deref())
            .collect();
        assert_eq!(text, "Grüße, 世界!");
        assert_eq!(chunks[0].choices[0].delta.role.as_deref(), Some("assistant"));
        let finish = chunks[chunks.len() - 2].choices[0].finish_reason.as_deref();
        assert_eq!(finish, Some("length"));
        let usage = chunks.last().unwrap().usage.as_ref().unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (26, 3));
        assert!(chunks.last().unwrap().choices.is_empty());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error() {
    let fields = || with(json!({ "top_k": 3, "stream": true }));
    let lines: Vec<&str> = STREAM.lines().collect();
    let cases = [
        (format!("{}\n", lines[0]), 1, "ended its answer before it was complete"),
        (format!("{}\n{{\"error\":\"out of memory\"}}\n", lines[0]), 1, "out of memory"),
        ("<html>".to_owned(), 0, "cannot be understood"),
        (String::new(), 0, "ended its answer before it was complete"),
        (format!("{}\n{}", lines[0], &lines[1][..20]), 1, "cannot be understood"),
    ];
    for (body, count, expected) in cases {
        let answer = Answer::new("application/x-ndjson", body);
        let upstream = FakeUpstream::answering(answer).await;
        let (chunks, error) = stream(&upstream, fields()).await;
        assert_eq!(chunks.len(), count);
        let error = error.unwrap();
        assert_eq!(error.kind, ErrorKind::Upstream { status: None });
        assert!(error.message.contains(expected), "{}", error.message);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_to_ollama() {
    let gate = Gate::closed();
    let first = STREAM.lines().next().unwrap().len() + 1;
    let answer = Answer::new("application/x-ndjson", STREAM).held_after(first, &gate);
    let upstream = FakeUpstream::answering(answer).await;
    let provider = build("remote::ollama", json!({ "url": upstream.url() }), &[]).await.unwrap();
    let request = with(json!({ "top_k": 3, "stream": true }));
    let Reply::Stream(mut events) = provider.chat(&Context::default(), request).await.unwrap()
    else {
        panic!("a stream was asked for")
    };
    events.next().await.unwrap().unwrap();
    drop(events);
    upstream.deserted().await;
}
