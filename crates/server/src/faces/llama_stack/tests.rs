//! The face over a scripted provider: what is asked, and what comes back.

#![expect(clippy::needless_pass_by_value, reason = "the tests build JSON where they pass it")]

use super::{chat::chat_completion, completion::completion, embeddings::embeddings};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Error, ErrorKind, Result, Wire,
    inference::{ChatCompletionRequest, CompletionRequest, EmbeddingsRequest},
    models::Model,
    openai::{Body, ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, EmbeddingReply, EventStream, Inference, Payload, Reply, TextReply,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Mutex;

mod metrics;
mod own_ways;
mod pieces;

/// Answers with what it was given: one value, or events when a stream is asked for.
struct Scripted {
    events: Mutex<Vec<Result<Value>>>,
    asked: Mutex<Vec<Body>>,
}

impl Scripted {
    fn new(events: impl IntoIterator<Item = Value>) -> Self {
        Self::failing(events.into_iter().map(Ok).collect())
    }

    fn failing(events: Vec<Result<Value>>) -> Self {
        Self { events: Mutex::new(events), asked: Mutex::default() }
    }

    fn reply<F: Wire, E: Wire + Send + 'static>(&self, body: Body) -> Result<Reply<F, E>> {
        let stream = body.get("stream").and_then(Value::as_bool).unwrap_or_default();
        self.asked.lock().unwrap().push(body);
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        if stream {
            let events =
                events.into_iter().map(|event| event.map(|event| Payload::Raw(raw(&event))));
            let events: EventStream<Payload<E>> = stream::iter(events.collect::<Vec<_>>()).boxed();
            return Ok(Reply::Stream(events));
        }
        let first = events.into_iter().next().expect("the script has an answer")?;
        Ok(Reply::Full(Payload::Raw(raw(&first))))
    }

    fn asked(&self) -> Value {
        self.asked.lock().unwrap().last().cloned().map_or(Value::Null, Value::from)
    }
}

fn raw(value: &Value) -> Bytes {
    value.to_string().into()
}

#[async_trait]
impl Inference for Scripted {
    async fn chat(&self, _cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        self.reply(request.body)
    }
    async fn completion(&self, _cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        self.reply(request.body)
    }
    async fn embeddings(&self, _cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        match self.reply::<_, ()>(request.body)? {
            Reply::Full(payload) => Ok(payload),
            Reply::Stream(_) => unreachable!("embeddings are not streamed"),
        }
    }
}

fn model(kind: &str) -> Model {
    named("llama-1b", kind, json!({}))
}

fn named(name: &str, kind: &str, metadata: Value) -> Model {
    Model::from_json(json!({
        "identifier": "m", "provider_resource_id": name, "provider_id": "p", "model_type": kind,
        "metadata": metadata,
    }))
    .unwrap()
}

/// One answer, or the events of a stream; an error of the stream as its last item.
async fn outcome<F: Wire, E: Wire>(reply: Reply<F, E>) -> Vec<Value> {
    match reply {
        Reply::Full(payload) => vec![json(&payload.into_value().unwrap())],
        Reply::Stream(events) => {
            events
                .map(|event| match event {
                    Ok(event) => json(&event.into_value().unwrap()),
                    Err(error) => json!({ "error": error.message }),
                })
                .collect()
                .await
        }
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

async fn chat(provider: &Scripted, fields: Value) -> Result<Vec<Value>> {
    let mut body = json!({ "model_id": "m", "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let request = ChatCompletionRequest::from_json(body).expect("the request is well formed");
    let reply = chat_completion(provider, &model("llm"), &Context::default(), request).await?;
    Ok(outcome(reply).await)
}

async fn complete(provider: &Scripted, fields: Value) -> Result<Vec<Value>> {
    let mut body = json!({ "model_id": "m", "content": "hi" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let request = CompletionRequest::from_json(body).expect("the request is well formed");
    let reply = completion(provider, &model("llm"), &Context::default(), request).await?;
    Ok(outcome(reply).await)
}

fn weather() -> Value {
    json!([{ "tool_name": "get_weather", "parameters": { "location": { "param_type": "string" } } }])
}

fn delta(delta: Value, finish: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn said(text: &str) -> Value {
    delta(json!({ "content": text }), Value::Null)
}

fn finished(reason: &str) -> Value {
    delta(json!({}), reason.into())
}

fn event(kind: &str, delta: Value, stop_reason: Value) -> Value {
    json!({ "metrics": null, "event": {
        "event_type": kind, "delta": delta, "logprobs": null, "stop_reason": stop_reason,
    } })
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn metrics(prompt: u32, answer: u32) -> Value {
    let metric =
        |metric: &str, value: u32| json!({ "metric": metric, "value": value, "unit": null });
    json!([
        metric("prompt_tokens", prompt),
        metric("completion_tokens", answer),
        metric("total_tokens", prompt + answer),
    ])
}

fn complete_event(stop_reason: &str, prompt: u32, answer: u32) -> Value {
    let mut event = event("complete", text(""), stop_reason.into());
    event["metrics"] = metrics(prompt, answer);
    event
}

#[tokio::test]
async fn a_chat_answer_has_message_metrics_and_logprobs() {
    let provider = Scripted::new([json!({ "id": "1", "unknown": {}, "choices": [{
        "message": { "role": "assistant", "content": "Hello world" },
        "finish_reason": "length",
        "logprobs": { "content": [
            { "token": "Hello", "logprob": -0.5, "top_logprobs": [
                { "token": "Hello", "logprob": -0.5 }, { "token": "Hi", "logprob": -1.5 },
            ] },
            { "token": " world", "logprob": -0.25 },
        ] },
    }] })]);
    let out = chat(&provider, json!({ "logprobs": { "top_k": 2 } })).await.unwrap();
    assert_eq!(
        out,
        [json!({
            "metrics": metrics(11, 12),
            "completion_message": {
                "role": "assistant",
                "content": "Hello world",
                "stop_reason": "out_of_tokens",
                "tool_calls": [],
            },
            "logprobs": [
                { "logprobs_by_token": { "Hello": -0.5, "Hi": -1.5 } },
                { "logprobs_by_token": { " world": -0.25 } },
            ],
        })]
    );
    assert_eq!(
        provider.asked(),
        json!({
            "model": "m",
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }],
            "stream": false,
            "temperature": 0.0,
            "logprobs": true,
            "top_logprobs": 2,
        })
    );
}

#[tokio::test]
async fn tool_calls_are_parsed_and_end_the_message() {
    let provider = Scripted::new([
        json!({ "id": "1", "choices": [{ "finish_reason": "stop", "message": {
        "content": null,
        "tool_calls": [
            { "id": "a", "function": { "name": "get_weather", "arguments": "{\"location\": \"Rome\"}" } },
            { "id": "b", "function": { "name": "get_weather", "arguments": "" } },
        ],
    } }] }),
    ]);
    let out = chat(&provider, json!({ "tools": weather() })).await.unwrap();
    let message = &out[0]["completion_message"];
    assert_eq!(message["stop_reason"], "end_of_message");
    assert_eq!(
        message["tool_calls"],
        json!([
            { "call_id": "a", "tool_name": "get_weather", "arguments": { "location": "Rome" } },
            { "call_id": "b", "tool_name": "get_weather", "arguments": {} },
        ])
    );
}

#[tokio::test]
async fn arguments_that_are_not_json_are_an_error() {
    let provider = Scripted::new([json!({ "id": "1", "choices": [{ "message": { "tool_calls": [
        { "id": "a", "function": { "name": "get_weather", "arguments": "{\"broken\": " } },
    ] } }] })]);
    let error = chat(&provider, json!({ "tools": weather() })).await.unwrap_err();
    assert_eq!(error.message, "Expecting value: line 1 column 12 (char 11)");
}

#[tokio::test]
async fn a_stream_starts_goes_on_and_completes() {
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 1 } });
    let provider = Scripted::new([
        delta(json!({ "role": "assistant", "content": "" }), Value::Null),
        said("Hello"),
        json!({ "choices": [{ "index": 1, "delta": { "content": "another answer" } }] }),
        delta(json!({ "content": " world" }), "stop".into()),
        usage,
    ]);
    let out = chat(&provider, json!({ "stream": true })).await.unwrap();
    assert_eq!(
        out,
        [
            event("start", text(""), Value::Null),
            event("progress", text("Hello"), Value::Null),
            event("progress", text(" world"), Value::Null),
            complete_event("end_of_turn", 11, 12),
        ]
    );
    assert_eq!(provider.asked()["stream"], true);
}

#[tokio::test]
async fn parallel_calls_of_a_stream_come_whole_and_in_order() {
    let piece = |index: i64, id: Value, arguments: &str| {
        let name = if id.is_null() { Value::Null } else { "get_weather".into() };
        delta(
            json!({ "tool_calls": [
                { "index": index, "id": id, "function": { "name": name, "arguments": arguments } },
            ] }),
            Value::Null,
        )
    };
    let provider = Scripted::new([
        said("Let me see."),
        piece(0, "a".into(), ""),
        piece(1, "b".into(), "{\"broken\": "),
        piece(0, Value::Null, "{\"location\":"),
        piece(0, Value::Null, " \"Rome\"}"),
        finished("tool_calls"),
    ]);
    let out = chat(&provider, json!({ "stream": true, "tools": weather() })).await.unwrap();
    let call = json!({
        "call_id": "a", "tool_name": "get_weather", "arguments": { "location": "Rome" },
    });
    let raw = "call_id='b' tool_name='get_weather' arguments='{\"broken\": '";
    let tool_call = |call: Value, status: &str| {
        let delta = json!({ "type": "tool_call", "tool_call": call, "parse_status": status });
        event("progress", delta, Value::Null)
    };
    assert_eq!(
        out,
        [
            event("start", text(""), Value::Null),
            event("progress", text("Let me see."), Value::Null),
            tool_call(call, "succeeded"),
            tool_call(raw.into(), "failed"),
            complete_event("end_of_message", 11, 14),
        ]
    );
}

#[tokio::test]
async fn a_python_tag_announces_a_call_that_may_not_be_offered() {
    let script = || {
        Scripted::new([
            said("<|python_tag|>"),
            said("get_weather"),
            said(".call(query=\"Rome\")"),
            finished("stop"),
        ])
    };
    let parts = |out: &[Value]| {
        let parts = out.iter().map(|event| &event["event"]["delta"]);
        let parts = parts.filter(|delta| delta["type"] == "tool_call");
        let parts = parts.map(|delta| (delta["parse_status"].clone(), delta["tool_call"].clone()));
        parts.collect::<Vec<_>>()
    };
    let refused = chat(&script(), json!({ "stream": true })).await.unwrap();
    assert_eq!(
        parts(&refused),
        [
            ("started".into(), "".into()),
            ("in_progress".into(), "get_weather".into()),
            ("in_progress".into(), ".call(query=\"Rome\")".into()),
            ("failed".into(), "<|python_tag|>get_weather.call(query=\"Rome\")".into()),
        ]
    );
    assert_eq!(refused.last(), Some(&complete_event("end_of_turn", 11, 10)));
    let offered = chat(&script(), json!({ "stream": true, "tools": weather() })).await.unwrap();
    let (status, call) = parts(&offered).pop().unwrap();
    assert_eq!(status, "succeeded");
    assert_eq!(call["arguments"], json!({ "query": "Rome" }));
}

#[tokio::test]
async fn a_chat_without_messages_is_refused() {
    let provider = Scripted::new([]);
    let error = chat(&provider, json!({ "messages": [] })).await.unwrap_err();
    assert_eq!(error.message, "`messages` must hold at least one message");
}

#[tokio::test]
async fn an_error_ends_the_stream() {
    let lost = Error::new(ErrorKind::Upstream { status: None }, "lost");
    let provider = Scripted::failing(vec![Ok(said("a")), Err(lost), Ok(said("b"))]);
    let out = chat(&provider, json!({ "stream": true })).await.unwrap();
    assert_eq!(out.len(), 3, "{out:?}");
    assert_eq!(out[2], json!({ "error": "lost" }));
}

#[tokio::test]
async fn hostile_upstreams_give_errors_or_empty_answers() {
    for hostile in [
        json!([]),
        json!(null),
        json!({ "choices": 5 }),
        json!({ "choices": [{ "delta": "text" }] }),
        json!({ "choices": [{ "delta": { "tool_calls": [{}] } }] }),
        json!({ "choices": [{ "delta": { "content": { "a": 1 } } }] }),
    ] {
        let provider = Scripted::new([said("a"), hostile.clone()]);
        let out = chat(&provider, json!({ "stream": true })).await.unwrap();
        let last = out.last().unwrap();
        assert!(last["error"].is_string(), "{hostile}: {last}");
        assert!(chat(&Scripted::new([hostile.clone()]), json!({})).await.is_err(), "{hostile}");
        assert!(complete(&Scripted::new([hostile.clone()]), json!({})).await.is_err(), "{hostile}");
    }
    let nothing = chat(&Scripted::new([]), json!({ "stream": true })).await.unwrap();
    assert_eq!(
        nothing,
        [event("start", text(""), Value::Null), complete_event("end_of_turn", 11, 10)]
    );
    let no_choice = chat(&Scripted::new([json!({ "id": "1", "choices": [] })]), json!({})).await;
    assert!(matches!(no_choice.unwrap_err().kind, ErrorKind::Upstream { .. }));
}

#[tokio::test]
async fn a_completion_streams_its_pieces_and_then_the_reason() {
    let chunk = |text: &str, finish: Value| {
        json!({ "choices": [{ "text": text, "finish_reason": finish, "logprobs": {
            "top_logprobs": [{ text: -0.5 }],
        } }] })
    };
    let provider = Scripted::new([
        chunk("Hello", Value::Null),
        chunk(" world", "length".into()),
        chunk("", Value::Null),
    ]);
    let fields = json!({ "stream": true, "logprobs": { "top_k": 1 } });
    let out = complete(&provider, fields).await.unwrap();
    let piece = |text: &str, logprobs: Value| json!({ "metrics": null, "delta": text, "stop_reason": null, "logprobs": logprobs });
    let by_token = |text: &str| json!([{ "logprobs_by_token": { text: -0.5 } }]);
    assert_eq!(
        out,
        [
            piece("Hello", by_token("Hello")),
            piece(" world", by_token(" world")),
            piece("", Value::Null),
            json!({
                "metrics": metrics(2, 3),
                "delta": "",
                "stop_reason": "out_of_tokens",
                "logprobs": null,
            }),
        ]
    );
    assert_eq!(
        provider.asked(),
        json!({ "model": "m", "prompt": "hi", "stream": true, "temperature": 0.0, "logprobs": 1 })
    );
}

#[tokio::test]
async fn a_completion_takes_items_of_text_and_no_images() {
    let answer = json!({ "choices": [{ "text": "Hello world", "finish_reason": "stop" }] });
    let items = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
    let provider = Scripted::new([answer.clone()]);
    let out = complete(&provider, json!({ "content": items })).await.unwrap();
    assert_eq!(provider.asked()["prompt"], "a b");
    assert_eq!(out[0]["metrics"], metrics(0, 3));
    assert_eq!(out[0]["content"], "Hello world");
    let image = json!({ "type": "image", "image": { "url": { "uri": "https://a/b.png" } } });
    let error = complete(&Scripted::new([answer]), json!({ "content": image })).await.unwrap_err();
    assert_eq!(error.message, "completions take text only, not images");
}

#[tokio::test]
async fn embeddings_come_in_the_order_of_the_request() {
    let provider = Scripted::new([json!({ "data": [
        { "index": 1, "embedding": [1.0, 0.0] }, { "index": 0, "embedding": "AAAAPwAAAAA=" },
    ] })]);
    let request = |contents: Value| {
        EmbeddingsRequest::from_json(json!({ "model_id": "m", "contents": contents }))
            .expect("the request is well formed")
    };
    let (cx, embedder) = (Context::default(), model("embedding"));
    let out = embeddings(&provider, &embedder, &cx, request(json!(["a", "b"]))).await.unwrap();
    assert_eq!(out.embeddings, [[0.5, 0.0], [1.0, 0.0]]);
    assert_eq!(
        provider.asked(),
        json!({ "model": "m", "input": ["a", "b"], "encoding_format": "base64" })
    );
    let nothing = embeddings(&provider, &embedder, &cx, request(json!([]))).await.unwrap();
    assert!(nothing.embeddings.is_empty());
    let few = Scripted::new([json!({ "data": [{ "embedding": [1.0] }] })]);
    assert!(embeddings(&few, &embedder, &cx, request(json!(["a", "b"]))).await.is_err());
    let image = json!([{ "type": "image", "image": { "data": "iVBORw0KGgo" } }]);
    let error = embeddings(&provider, &embedder, &cx, request(image)).await.unwrap_err();
    assert_eq!(error.message, "embedding models take text only, not images");
}

#[tokio::test]
async fn models_of_the_other_kind_are_refused() {
    let provider = Scripted::new([]);
    let cx = Context::default();
    let request =
        CompletionRequest::from_json(json!({ "model_id": "m", "content": "hi" })).unwrap();
    let refused = completion(&provider, &model("embedding"), &cx, request).await;
    assert_eq!(
        refused.err().unwrap().message,
        "Model 'm' is an embedding model and does not support chat completions"
    );
    let request = EmbeddingsRequest::from_json(json!({ "model_id": "m", "contents": [] })).unwrap();
    let refused = embeddings(&provider, &model("llm"), &cx, request).await;
    assert_eq!(
        refused.unwrap_err().message,
        "Model 'm' is an LLM model and does not support embeddings"
    );
}
