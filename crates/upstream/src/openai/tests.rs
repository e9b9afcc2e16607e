use super::*;
use crate::{Http, HttpOptions, Tls};
use bytes::Bytes;
use chaski_api::{
    Error, ErrorKind, Result, Secret,
    openai::{ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_testkit::{Answer as Script, FakeUpstream, Gate, eventually};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

const DIALECT: Dialect =
    Dialect { name: "vLLM", request_id: Some("x-request-id"), ..Dialect::OPENAI };

fn connection(upstream: &FakeUpstream) -> Connection {
    let settings = Settings {
        url: format!("{}/v1/", upstream.url()),
        tls: Tls::Verified,
        key: Some(Secret::new("configured-key")),
        max_tokens: Some(4096),
        ..Settings::default()
    };
    let http = Http::new(HttpOptions::default()).unwrap();
    Connection::new(http, &DIALECT, settings).unwrap()
}

fn chat(stream: bool) -> ChatRequest {
    let mut request = ChatRequest::new("m", vec![json!({ "role": "user", "content": "hi" })]);
    request.body.insert("stream".to_owned(), stream.into());
    request
}

/// The events of an answer of three words, without the `[DONE]`.
fn events() -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        json!({ "id": "c", "object": "chat.completion.chunk", "choices": choices }).to_string()
    };
    let word = |text: &str| chunk(json!({ "content": text }), Value::Null);
    vec![
        chunk(json!({ "role": "assistant" }), Value::Null),
        word("Grüße, "),
        word("\"error\" 世界 "),
        word("\"finish_reason\": \"stop\" 🎉"),
        chunk(json!({}), json!("stop")),
        json!({ "id": "c", "choices": [], "usage": { "total_tokens": 3 } }).to_string(),
    ]
}

fn script() -> Script {
    Script::events(events().iter().map(String::as_str).chain(["[DONE]"]))
}

async fn relay(upstream: &FakeUpstream) -> Result<Box<Relay>> {
    match connection(upstream).chat(Call::default(), chat(true)).await? {
        Answer::Stream(relay) => Ok(relay),
        Answer::Full(_) => panic!("a stream was asked for"),
    }
}

/// The texts that come, and the error at the end, if there is one.
async fn collected(upstream: &FakeUpstream) -> (Vec<String>, Option<Error>) {
    let mut relay = match relay(upstream).await {
        Ok(relay) => relay,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut texts = Vec::new();
    while let Some(item) = relay.next().await {
        match item {
            Ok(text) => texts.push(String::from_utf8(text.to_vec()).unwrap()),
            Err(error) => {
                assert!(relay.next().await.is_none(), "the error is the last item");
                return (texts, Some(error));
            }
        }
    }
    assert!(relay.next().await.is_none());
    (texts, None)
}

#[tokio::test]
async fn requests_arrive_as_they_are_with_key_and_id() {
    let upstream = FakeUpstream::answering(Script::json(json!({ "choices": [] }))).await;
    let connection = connection(&upstream);
    let mut request = chat(false);
    request.body.insert("unknown_field".to_owned(), json!({ "a": [1, null] }));
    let call = Call { request_id: "req-1", ..Call::default() };
    connection.chat(call, request).await.unwrap();
    let call = Call { key: Some("own-key"), ..Call::default() };
    let body = json!({ "model": "m", "prompt": "p", "max_tokens": 7 });
    let request = TextCompletionRequest { body: body.as_object().unwrap().clone().into() };
    connection.completion(call, request).await.unwrap();
    let body = json!({ "model": "m", "input": ["a"], "encoding_format": "base64" });
    let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
    connection.embeddings(Call::default(), request).await.unwrap();

    let [chat, completion, embeddings] = &upstream.requests()[..] else { panic!("three calls") };
    assert_eq!(chat.path, "/v1/chat/completions");
    assert_eq!(
        chat.json(),
        json!({
            "model": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": false,
            "unknown_field": { "a": [1, null] }, "max_tokens": 4096,
        })
    );
    assert_eq!(chat.header("authorization"), "Bearer configured-key");
    assert_eq!(chat.header("x-request-id"), "req-1");
    assert_eq!(completion.path, "/v1/completions");
    assert_eq!(completion.header("authorization"), "Bearer own-key");
    assert_eq!(completion.header("x-request-id"), "");
    assert_eq!(embeddings.path, "/v1/embeddings");
    assert_eq!(
        embeddings.json(),
        json!({ "model": "m", "input": ["a"], "encoding_format": "base64" })
    );
}

#[tokio::test]
async fn a_full_answer_is_passed_on_byte_by_byte() {
    let body = "{\n \"id\": \"c\", \"error\": null,  \"odd\":1e400, \"choices\": []}";
    let upstream = FakeUpstream::answering(Script::new("application/json", body)).await;
    let answer = connection(&upstream).chat(Call::default(), chat(false)).await.unwrap();
    let Answer::Full(bytes) = answer else { panic!("no stream was asked for") };
    assert_eq!(bytes, Bytes::from_static(body.as_bytes()));
}

#[tokio::test]
async fn events_are_passed_on_wherever_the_network_cuts() {
    for piece in [1, 2, 3, 7, 16, 100, 10_000] {
        let upstream = FakeUpstream::answering(script().in_pieces_of(piece)).await;
        let (texts, error) = collected(&upstream).await;
        assert_eq!(texts, events(), "pieces of {piece}");
        assert!(error.is_none());
        assert_eq!(upstream.only_request().header("accept"), "text/event-stream");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_anywhere_ends_with_an_error() {
    let whole: usize = events().iter().map(|event| event.len() + "data: \n\n".len()).sum();
    for after in (0..whole).step_by(13) {
        let upstream = FakeUpstream::answering(script().cut_after(after)).await;
        let (texts, error) = collected(&upstream).await;
        assert_eq!(texts, events()[..texts.len()], "cut after {after}");
        let error = error.unwrap_or_else(|| panic!("cut after {after}"));
        assert_eq!(error.kind, ErrorKind::Upstream { status: None });
        assert!(error.message.contains("vLLM"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_stream_without_done_is_complete_if_its_answer_has_finished() {
    let all = events();
    for (count, complete) in [(0, false), (1, false), (4, false), (5, true), (6, true)] {
        let upstream = FakeUpstream::answering(Script::events(&all[..count])).await;
        let (texts, error) = collected(&upstream).await;
        assert_eq!(texts, all[..count]);
        assert_eq!(error.is_none(), complete, "{count} events");
    }
    // The last blank line is missing, too.
    let body = format!("data: {}", all[4]);
    let upstream = FakeUpstream::answering(Script::new("text/event-stream", body)).await;
    assert_eq!(collected(&upstream).await.0, all[4..5]);
    let body = format!("data: {}\n\ndata: {}", all[4], &all[5][..all[5].len() - 3]);
    let upstream = FakeUpstream::answering(Script::new("text/event-stream", body)).await;
    let (texts, error) = collected(&upstream).await;
    assert_eq!((texts, error.is_none()), (all[4..5].to_vec(), true));
}

#[tokio::test]
async fn an_error_in_the_stream_is_an_error() {
    let cases = [
        (json!({ "error": { "message": "no memory", "code": 503 } }), Some(503), "no memory"),
        (json!({ "object": "error", "message": "too long", "code": 400 }), Some(400), "too long"),
        (json!({ "id": "c", "choices": [], "error": "gone" }), None, "gone"),
    ];
    for (event, status, message) in cases {
        let all = events();
        let sent = [all[0].as_str(), &event.to_string(), &all[1]].map(str::to_owned);
        let upstream = FakeUpstream::answering(Script::events(sent)).await;
        let (texts, error) = collected(&upstream).await;
        assert_eq!(texts, all[..1]);
        let error = error.unwrap();
        assert_eq!(error.kind, ErrorKind::Upstream { status });
        assert_eq!(error.message, message);
    }
}

#[tokio::test]
async fn what_is_no_event_stream_is_an_error() {
    let cases = [
        (Script::json(json!({ "error": { "message": "full" } })), "full"),
        (Script::json(json!({ "choices": [] })), "in place of a stream of events"),
        (Script::new("text/html", "<html>login</html>"), "not a JSON object"),
        (Script::text("what?"), "ended its answer before it was complete"),
        (Script::new("text/event-stream", ""), "ended its answer before it was complete"),
        (Script::events(["<html>"]), "not a JSON object"),
        (Script::events(["[1]"]), "not a JSON object"),
        (Script::new("text/event-stream", &b"data: {\"a\":\"\xff\"}\n\n"[..]), "not a JSON object"),
        (
            Script::json(json!({ "detail": "nope" })).status(500).header("x-should-retry", "false"),
            "nope",
        ),
    ];
    for (script, expected) in cases {
        let upstream = FakeUpstream::answering(script).await;
        let (texts, error) = collected(&upstream).await;
        assert!(texts.is_empty());
        let message = error.unwrap().message;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_object_is_an_error() {
    let cases = [
        (Script::text("what?"), "not a JSON object"),
        (Script::new("application/json", "{\"a\": 1"), "not a JSON object"),
        (Script::new("application/json", "[]"), "not a JSON object"),
        (Script::new("application/json", ""), "not a JSON object"),
        (Script::new("application/json", &b"{\"a\":\"\xff\"}"[..]), "not a JSON object"),
        (Script::json(json!({ "error": "full" })), "full"),
        (Script::json(json!({ "object": "error", "message": "full" })), "full"),
        (Script::json(json!({ "a": "0123456789" })).cut_after(9), "was lost"),
    ];
    for (script, expected) in cases {
        let upstream = FakeUpstream::answering(script).await;
        let outcome = connection(&upstream).chat(Call::default(), chat(false)).await;
        let error = outcome.err().unwrap();
        assert!(matches!(error.kind, ErrorKind::Upstream { .. }), "{error:?}");
        assert!(error.message.contains(expected), "{}", error.message);
    }
}

#[tokio::test]
async fn an_endless_event_is_cut_off() {
    let body = format!("data: {{\"a\": \"{}", "x".repeat(9 * 1024 * 1024));
    let upstream = FakeUpstream::answering(Script::new("text/event-stream", body)).await;
    let (texts, error) = collected(&upstream).await;
    assert!(texts.is_empty());
    assert_eq!(error.unwrap().message, "vLLM sent an event that is too long");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_to_the_upstream() {
    let gate = Gate::closed();
    let first = events()[0].len() + "data: \n\n".len();
    let upstream = FakeUpstream::answering(script().held_after(first, &gate)).await;
    let mut relay = relay(&upstream).await.unwrap();
    relay.next().await.unwrap().unwrap();
    drop(relay);
    upstream.deserted().await;

    let upstream = FakeUpstream::answering(Script::never()).await;
    let connection = connection(&upstream);
    let call =
        tokio::spawn(async move { connection.chat(Call::default(), chat(false)).await.map(drop) });
    upstream.received(1).await;
    call.abort();
    upstream.deserted().await;
}

#[tokio::test]
async fn an_upstream_that_stays_open_after_done_does_not_hold_the_client() {
    let gate = Gate::closed();
    let length = script_length();
    let after = Script::new("text/event-stream", format!("{}: bye\n\n", script_text()));
    let upstream = FakeUpstream::answering(after.held_after(length, &gate)).await;
    let (texts, error) = chaski_testkit::within("the end", collected(&upstream)).await;
    assert_eq!(texts, events());
    assert!(error.is_none());
    eventually("the connection to be given up", || upstream.gone() == 1).await;
}

fn script_text() -> String {
    let mut text = String::new();
    for event in events().iter().map(String::as_str).chain(["[DONE]"]) {
        text.push_str("data: ");
        text.push_str(event);
        text.push_str("\n\n");
    }
    text
}

fn script_length() -> usize {
    script_text().len()
}

#[tokio::test]
async fn models_are_listed_in_the_forms_that_upstreams_use() {
    let body = json!({ "object": "list", "data": [
        { "id": "a", "object": "model", "created": 1_700_000_000, "max_model_len": 131_072 },
        { "id": "b", "context_length": null },
        { "id": "c", "context_window": 8192, "context_length": 8192 },
    ]});
    let upstream = FakeUpstream::answering(Script::json(body)).await;
    let listed = connection(&upstream).models(Call::default(), Duration::from_secs(5)).await;
    let listed = listed.unwrap();
    assert_eq!(listed[0].context_length, Some(131_072));
    assert_eq!(listed[0].created, Some(1_700_000_000));
    assert_eq!((listed[1].id.as_str(), listed[1].created), ("b", None));
    assert_eq!(listed[1].context_length, None);
    assert_eq!(listed[2].context_length, Some(8192));
    assert_eq!(upstream.only_request().path, "/v1/models");
    for body in [json!({}), json!({ "data": [{}] }), json!({ "data": {} })] {
        let upstream = FakeUpstream::answering(Script::json(body)).await;
        let error = connection(&upstream).models(Call::default(), Duration::from_secs(5)).await;
        let message = error.unwrap_err().message;
        assert_eq!(message, "vLLM sent a list of models that cannot be understood");
    }
}

#[tokio::test]
async fn a_dialect_may_have_a_header_of_its_own_for_the_key() {
    const OTHER: Dialect = Dialect { key_header: ("api-key", ""), ..Dialect::OPENAI };
    let upstream = FakeUpstream::answering(Script::json(json!({}))).await;
    let settings = Settings {
        url: upstream.url(),
        tls: Tls::Verified,
        key: Some(Secret::new("k-1")),
        max_tokens: None,
        ..Settings::default()
    };
    let http = Http::new(HttpOptions::default()).unwrap();
    let connection = Connection::new(http, &OTHER, settings).unwrap();
    connection.chat(Call::default(), chat(false)).await.unwrap();
    let seen = upstream.only_request();
    assert_eq!((seen.header("api-key"), seen.header("authorization")), ("k-1", ""));
}

#[test]
fn a_base_url_must_be_a_web_address_and_a_key_must_fit_into_a_header() {
    let build = |url: &str, key: &str| {
        let settings = Settings {
            url: url.to_owned(),
            tls: Tls::Verified,
            key: Some(Secret::new(key)),
            max_tokens: None,
            ..Settings::default()
        };
        let http = Http::new(HttpOptions::default()).unwrap();
        Connection::new(http, &DIALECT, settings)
    };
    for url in ["", "localhost:8000", "ftp://x/", "http://", "/v1"] {
        let message = build(url, "k").unwrap_err().message;
        assert!(message.contains("use one such as `http://localhost:8000/v1`"), "{message}");
    }
    let message = build("http://x/v1", "sk-\nsecret").unwrap_err().message;
    assert!(!message.contains("secret"), "{message}");
    assert!(!build("http://x/v1", "").unwrap().has_key());
    assert!(!format!("{:?}", build("http://x/v1", "sk-secret").unwrap()).contains("sk-secret"));
}
