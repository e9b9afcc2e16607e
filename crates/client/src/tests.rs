//! The client against a scripted server.

use crate::{Client, ClientOptions, Error, methods};
use chaski_api::{
    Endpoint, Media, Secret, Wire,
    endpoints::{
        self,
        inference::ChatCompletion,
        mcp::{Mcp, McpMessage},
        models::{GetModel, ListModels, ModelRequest, RegisterModelRequest, UnregisterModel},
        openai::CreateChatCompletion,
    },
    inference::ChatCompletionRequest,
    openai::ChatRequest,
};
use chaski_testkit::{Answer, FakeUpstream};
use chaski_upstream::{Http, HttpOptions};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::{collections::HashSet, time::Duration};

fn client(server: &FakeUpstream, options: ClientOptions) -> Client {
    let http = Http::new(HttpOptions::default()).expect("the options are the defaults");
    Client::new(http, &server.url(), options).expect("the address is well formed")
}

fn model() -> Value {
    json!({
        "identifier": "a/b", "provider_resource_id": "b", "provider_id": "p", "type": "model",
        "metadata": {}, "model_type": "llm", "id": "a/b", "object": "model", "created": 0,
        "owned_by": "p", "unknown": true,
    })
}

fn chat() -> ChatCompletionRequest {
    ChatCompletionRequest::from_json(json!({
        "model_id": "m", "messages": [{ "role": "user", "content": "hi" }],
    }))
    .expect("the request is well formed")
}

fn chunk(text: &str) -> String {
    json!({ "metrics": null, "event": {
        "event_type": "progress", "delta": { "type": "text", "text": text },
        "logprobs": null, "stop_reason": null,
    } })
    .to_string()
}

#[test]
fn every_served_endpoint_has_a_method() {
    let declared: HashSet<_> = endpoints::all()
        .filter(|endpoint| endpoint.types.is_some())
        // Those that carry files have methods of their own, and MCP, where not all is answered.
        .filter(|endpoint| (endpoint.spec.takes, endpoint.spec.gives) == (Media::Json, Media::Json))
        .filter(|endpoint| endpoint.spec.path != Mcp::SPEC.path)
        .map(|endpoint| (endpoint.spec.method, endpoint.spec.path, endpoint.spec.streams))
        .collect();
    let written: HashSet<_> =
        methods::ALL.iter().map(|(spec, streams)| (spec.method, spec.path, *streams)).collect();
    assert_eq!(declared, written);
}

#[tokio::test]
async fn a_message_of_mcp_is_answered_unless_it_is_a_notification() {
    let server = FakeUpstream::start(|seen| match seen.json().get("id") {
        Some(id) => Answer::json(json!({ "jsonrpc": "2.0", "id": id, "result": {} })),
        None => Answer::text("").status(202),
    })
    .await;
    let client = client(&server, ClientOptions::default());
    let message = |id: Option<Value>, method: &str| McpMessage {
        jsonrpc: "2.0".to_owned(),
        id,
        method: method.to_owned(),
        params: None,
    };
    let reply = client.mcp(message(Some(json!(7)), "ping")).await.unwrap().unwrap();
    assert_eq!((reply.id, reply.result), (Some(json!(7)), Some(json!({}))));
    let note = client.mcp(message(None, "notifications/initialized")).await.unwrap();
    assert_eq!(note, None);
}

#[tokio::test]
async fn a_call_sends_what_the_endpoint_declares() {
    let server = FakeUpstream::start(|seen| match seen.method.as_str() {
        "DELETE" => Answer::json(Value::Null),
        "POST" => Answer::json(model()),
        _ if seen.path == "/v1/models" => {
            Answer::json(json!({ "object": "list", "data": [model()] }))
        }
        _ => Answer::json(model()),
    })
    .await;
    let options = ClientOptions {
        api_key: Some(Secret::new("key")),
        provider_data: [("vllm_api_token".to_owned(), "tökén".into())].into_iter().collect(),
        ..ClientOptions::default()
    };
    let client = client(&server, options);
    let list = client.call::<ListModels>(endpoints::inspect::NoParameters {}).await.unwrap();
    assert_eq!(list.data[0].identifier, "a/b");
    let id = || ModelRequest { model_id: "a/b".to_owned() };
    assert_eq!(client.call::<GetModel>(id()).await.unwrap().provider_id, "p");
    client.call::<UnregisterModel>(id()).await.unwrap();
    let register = RegisterModelRequest::from_json(json!({ "model_id": "a/b" })).unwrap();
    client.register_model(register).await.unwrap();

    let seen = server.requests();
    let lines: Vec<String> =
        seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(
        lines,
        ["GET /v1/models", "GET /v1/models/a/b", "DELETE /v1/models/a/b", "POST /v1/models"]
    );
    assert_eq!(seen[3].json()["model_id"], "a/b");
    assert_eq!(seen[0].header("authorization"), "Bearer key");
    assert_eq!(seen[0].header("x-chaski-provider-data"), r#"{"vllm_api_token":"t\u00f6k\u00e9n"}"#);
}

#[tokio::test]
async fn errors_carry_the_status_and_the_message_of_the_server() {
    for (body, expected) in [
        (json!({ "detail": "Invalid value: no" }), "Invalid value: no"),
        (json!({ "error": { "message": "no" } }), "no"),
        (json!({ "error": { "detail": "no" } }), "no"),
        (
            json!({ "error": { "detail": { "errors": [
                { "loc": ["body", "messages", 0], "msg": "Field required", "type": "missing" },
            ] } } }),
            "body.messages.0: Field required",
        ),
        (json!({}), "{}"),
    ] {
        let answer = Answer::json(body).status(429).header("retry-after", "3");
        let server = FakeUpstream::answering(answer).await;
        let error = client(&server, ClientOptions::default()).call::<ChatCompletion>(chat()).await;
        let Err(Error::Status { status, message, retry_after }) = error else {
            panic!("the call fails with a status: {error:?}")
        };
        assert_eq!((status, message.as_str()), (429, expected));
        assert_eq!(retry_after, Some(Duration::from_secs(3)));
    }
}

#[tokio::test]
async fn a_stream_gives_its_events_however_they_are_cut() {
    let body = [
        ": comment".to_owned(),
        format!("data: {}", chunk("Grüße")),
        format!("data: {}", chunk("!")),
    ];
    let body = body.join("\n\n") + "\n\n";
    for size in [1, 2, 3, 7, 64, 4096] {
        let answer = Answer::new("text/event-stream; charset=utf-8", body.clone());
        let server = FakeUpstream::answering(answer.in_pieces_of(size)).await;
        let client = client(&server, ClientOptions::default());
        let events = client.stream::<ChatCompletion>(chat()).await.unwrap();
        let texts: Vec<String> = events
            .map(|event| serde_json::to_value(event.unwrap()).unwrap())
            .map(|event| event["event"]["delta"]["text"].as_str().unwrap().to_owned())
            .collect()
            .await;
        assert_eq!(texts, ["Grüße", "!"], "in pieces of {size}");
        assert_eq!(server.only_request().json()["stream"], true);
    }
}

#[tokio::test]
async fn an_error_event_ends_a_stream() {
    let error = r#"{"error": {"message": "400: Invalid value: no"}}"#;
    let server =
        FakeUpstream::answering(Answer::events([chunk("a"), error.to_owned(), chunk("b")])).await;
    let client = client(&server, ClientOptions::default());
    let events = client.chat_completion_stream(chat()).await.unwrap();
    let events: Vec<_> = events.collect().await;
    assert_eq!(events.len(), 2);
    let Err(Error::Stream(message)) = &events[1] else { panic!("the last item is an error") };
    assert_eq!(message, "400: Invalid value: no");
}

#[tokio::test]
async fn a_stream_of_openai_ends_with_done_or_too_early() {
    let chunk = json!({ "choices": [{ "delta": { "content": "a" } }] }).to_string();
    for (events, complete) in
        [(vec![chunk.clone(), "[DONE]".to_owned()], true), (vec![chunk.clone()], false)]
    {
        let body = format!("data: {}\n\n", events.join("\n\ndata: "));
        let server = FakeUpstream::answering(Answer::new("text/event-stream", body)).await;
        let client = client(&server, ClientOptions::default());
        let request = ChatRequest::new("m", Vec::new());
        let events = client.stream::<CreateChatCompletion>(request).await.unwrap();
        let events: Vec<_> = events.collect().await;
        let last = events.last().expect("there is an event");
        assert_eq!(last.is_ok(), complete, "{complete}");
        assert_eq!(events.len(), if complete { 1 } else { 2 });
    }
}

#[tokio::test]
async fn answers_of_another_kind_are_errors() {
    let server = FakeUpstream::answering(Answer::json(json!({ "data": 5 }))).await;
    let client = client(&server, ClientOptions::default());
    let list = client.list_models(endpoints::inspect::NoParameters {}).await;
    assert!(matches!(list, Err(Error::Answer(_))), "{list:?}");
    let stream = client.stream::<ChatCompletion>(chat()).await;
    assert!(matches!(stream, Err(Error::Answer(_))));
    let none = client.stream::<ListModels>(endpoints::inspect::NoParameters {}).await;
    assert!(matches!(none, Err(Error::Request(_))));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_so() {
    let http = Http::new(HttpOptions::default()).expect("the options are the defaults");
    // Port 9 (discard) is not served on machines that run tests.
    let client = Client::new(http.clone(), "http://127.0.0.1:9", ClientOptions::default()).unwrap();
    let error = client.health(endpoints::inspect::NoParameters {}).await.unwrap_err();
    assert!(matches!(error, Error::Transport(_)), "{error}");
    assert_eq!(error.status(), None);
    for wrong in ["nonsense", "ftp://host", ""] {
        assert!(Client::new(http.clone(), wrong, ClientOptions::default()).is_err(), "{wrong}");
    }
}
