//! Anthropic's face.

use super::harness::{Running, start, status_of};
use crate::{AuthOptions, Limits, ServerOptions};
use chaski_testkit::{Answer, FakeUpstream};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

async fn server() -> Running {
    start(ServerOptions::default()).await
}

fn ask(text: &str, stream: bool) -> Value {
    let messages = json!([{ "role": "user", "content": text }]);
    json!({ "model": "m", "max_tokens": 9, "messages": messages, "stream": stream })
}

/// The error of an answer: its status, its type and its message.
fn error(answer: &super::harness::Answer) -> (u16, String, String) {
    let body = answer.json();
    assert_eq!(body["type"], "error", "{body}");
    assert_eq!(body["request_id"], answer.header("x-request-id"), "{body}");
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    let text = |key: &str| body["error"][key].as_str().unwrap().to_owned();
    (answer.status, text("type"), text("message"))
}

async fn check(server: &Running, body: &Value, status: u16, kind: &str, message: &str) {
    let answer = server.post(MESSAGES, body).await;
    assert_eq!(error(&answer), (status, kind.to_owned(), message.to_owned()), "{body}");
}

#[tokio::test]
async fn a_message_is_answered() {
    let answer = server().await.post(MESSAGES, &ask("say hello", false)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let message = answer.json();
    assert_eq!(message["content"], json!([{ "type": "text", "text": "hello" }]));
    assert_eq!((&message["model"], &message["stop_reason"]), (&json!("m"), &json!("end_turn")));
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
}

#[tokio::test]
async fn a_stream_has_named_events_and_no_mark_at_its_end() {
    let answer = server().await.post(MESSAGES, &ask("say a", true)).await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let (start, rest) = answer.text.split_once("\n\n").unwrap();
    assert!(
        start.starts_with("event: message_start\ndata: {\"type\":\"message_start\""),
        "{start}"
    );
    assert_eq!(
        rest,
        "event: content_block_start\n\
         data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
         event: ping\ndata: {\"type\":\"ping\"}\n\n\
         event: content_block_delta\n\
         data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n\
         event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
         event: message_delta\n\
         data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":null,\"cache_read_input_tokens\":null,\"output_tokens\":1}}\n\n\
         event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    );
}

#[tokio::test]
async fn an_upstream_that_speaks_the_api_is_passed_through() {
    let server = server().await;
    let headers = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a,b"),
        ("x-other", "not passed on"),
    ];
    let mut request = ask("relay x", false);
    request["messages"][0]["unknown"] = json!([null, 1.0]);
    let answer = server.post_with(MESSAGES, &request, &headers).await;
    let given = json!([["anthropic-version", "2023-06-01"], ["anthropic-beta", "a,b"]]);
    assert_eq!(answer.json(), json!(["m", request, given]));
    let events = r#"{"type":"new_event","x":1.50} {"x":1,"type":"ping"}"#;
    let answer = server.post(MESSAGES, &ask(&format!("relay {events}"), true)).await;
    assert_eq!(
        answer.text,
        "event: new_event\ndata: {\"type\":\"new_event\",\"x\":1.50}\n\n\
         event: ping\ndata: {\"x\":1,\"type\":\"ping\"}\n\n"
    );
    let count = json!({ "model": "m", "messages": [{ "role": "user", "content": "relay a b c" }] });
    assert_eq!(server.post(COUNT, &count).await.line(), r#"200 {"input_tokens":3}"#);
}

#[tokio::test]
async fn tokens_are_estimated_where_nobody_counts() {
    let server = server().await;
    let count = async |text: &str| {
        let messages = json!([{ "role": "user", "content": text }]);
        let body = json!({ "model": "m", "messages": messages });
        server.post(COUNT, &body).await.json()["input_tokens"].as_i64().unwrap()
    };
    let (one, many) = (count("hello").await, count(&"hello ".repeat(10_000)).await);
    assert!(one > 0 && (9_000..12_000).contains(&many), "{one} {many}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_with_its_place() {
    let server = server().await;
    let invalid = "invalid_request_error";
    let mut request = ask("say x", false);
    request["messages"][0] = json!({ "role": "user", "content": [{ "type": "text" }] });
    check(&server, &request, 400, invalid, "messages.0.content.0.text.text: Field required").await;
    request["max_tokens"] = 0.into();
    let message = "max_tokens: must be an integer from 1 to 10000000, not 0";
    check(&server, &request, 400, invalid, message).await;
    check(&server, &json!([]), 400, invalid, "the body must be a JSON object, not a list").await;
    let missing = "model: Field required; messages: Field required; max_tokens: Field required";
    check(&server, &json!({}), 400, invalid, missing).await;
    let mut unknown = ask("say x", false);
    unknown["model"] = "nope".into();
    check(&server, &unknown, 404, "not_found_error", "Model 'nope' not found").await;
    unknown["model"] = "e".into();
    let message = "Model 'e' is an embedding model and does not support chat completions";
    check(&server, &unknown, 400, invalid, message).await;
    assert_eq!(server.post(COUNT, &json!({ "model": "m", "messages": [] })).await.status, 400);
}

#[tokio::test]
async fn failures_of_upstreams_have_anthropics_types() {
    let server = server().await;
    for (order, status, kind) in [
        ("fail 529", 529, "overloaded_error"),
        ("fail 401", 401, "authentication_error"),
        ("fail timeout", 504, "timeout_error"),
        ("break-at-once", 503, "overloaded_error"),
    ] {
        let answer = server.post(MESSAGES, &ask(order, false)).await;
        let (found, found_kind, _) = error(&answer);
        assert_eq!((found, found_kind.as_str()), (status, kind), "{order}");
    }
    let limited = server.post(MESSAGES, &ask("fail limit", true)).await;
    assert_eq!(error(&limited), (429, "rate_limit_error".into(), "slow down".into()));
    assert_eq!(limited.header("retry-after"), "7");
    let fault = error(&server.post(MESSAGES, &ask("fail internal", false)).await);
    assert_eq!((fault.0, fault.1.as_str()), (500, "api_error"));
    assert!(!fault.2.contains("secret"), "{}", fault.2);
}

#[tokio::test]
async fn what_fails_in_the_middle_of_a_stream_is_an_event_of_its_own() {
    let server = server().await;
    let headers = [("x-request-id", "req-7")];
    let answer = server.post_with(MESSAGES, &ask("break a b", true), &headers).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text.ends_with(
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\
             \"message\":\"the upstream says no\"},\"request_id\":\"req-7\"}\n\n"
        ),
        "{}",
        answer.text
    );
    let answer = server.post(MESSAGES, &ask("panic-later a", true)).await;
    assert!(answer.text.contains("event: error\ndata: "), "{}", answer.text);
    assert!(!answer.text.contains("message_stop"), "{}", answer.text);
}

#[tokio::test]
async fn silence_is_filled_with_pings() {
    let limits = Limits { total_timeout: Duration::from_millis(400), ..Limits::default() };
    let keep_alive = Duration::from_millis(50);
    let server = start(ServerOptions { limits, keep_alive, ..ServerOptions::default() }).await;
    let answer = server.post(MESSAGES, &ask("stall a", true)).await;
    let pings = answer.text.matches("event: ping\ndata: {\"type\":\"ping\"}\n\n").count();
    assert!(pings >= 3 && !answer.text.contains("keep-alive"), "{}", answer.text);
    assert!(answer.text.contains("longer than the server allows"), "{}", answer.text);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_refused_in_anthropics_form() {
    let server = server().await;
    for path in ["/v1/messages/batches", "/v1/messages/count_tokens/x"] {
        let (status, kind, message) = error(&server.get(path).await);
        assert_eq!((status, kind.as_str()), (404, "not_found_error"), "{path}");
        assert_eq!(message, format!("unknown request URL: GET {path}"));
    }
    for path in [MESSAGES, COUNT] {
        let answer = server.send(server.request(Method::DELETE, path)).await;
        let (status, kind, _) = error(&answer);
        assert_eq!(
            (status, kind.as_str(), answer.header("allow")),
            (405, "invalid_request_error", "POST")
        );
    }
    // What only begins alike is Llama Stack's.
    assert_eq!(server.get("/v1/messages-x").await.line(), r#"404 {"detail":"Not Found"}"#);
}

#[tokio::test]
async fn bodies_that_are_too_large_or_no_json_are_refused_in_anthropics_form() {
    let limits = Limits { body_bytes: 2000, ..Limits::default() };
    let server = start(ServerOptions { limits, ..ServerOptions::default() }).await;
    let large = server.post(MESSAGES, &ask(&"x".repeat(3000), false)).await;
    let (status, kind, _) = error(&large);
    assert_eq!((status, kind.as_str()), (413, "request_too_large"));
    let raw = server
        .raw_request("POST /v1/messages", "content-type: application/json\r\n", b"{\"a\":")
        .await;
    assert_eq!(status_of(&raw), 400);
    assert!(raw.contains("the body is not JSON: JSON decode error at character 5"), "{raw}");
    let raw = server.raw_request("POST /v1/messages", "content-type: text/plain\r\n", b"hi").await;
    assert!(raw.contains("`content-type: application/json`"), "{raw}");
}

#[tokio::test]
async fn the_key_of_anthropics_clients_opens_what_a_bearer_token_opens() {
    let decide = |seen: &chaski_testkit::Seen| {
        let key = seen.json()["api_key"].as_str().unwrap().to_owned();
        let status = if key.starts_with("ok") { 200 } else { 401 };
        Answer::json(json!({ "principal": key, "attributes": {} })).status(status)
    };
    let service = FakeUpstream::start(decide).await;
    let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
    let auth = Some(AuthOptions::new(endpoint));
    let server = start(ServerOptions { auth, ..ServerOptions::default() }).await;
    let who = async |headers: &[(&str, &str)]| {
        server.post_with(MESSAGES, &ask("who", false), headers).await
    };
    let bearer = who(&[("authorization", "Bearer ok-1")]).await;
    let key = who(&[("x-api-key", "ok-1")]).await;
    assert_eq!((bearer.status, key.status), (200, 200));
    assert_eq!(bearer.json()["content"], key.json()["content"]);
    assert!(key.text.contains("ok-1"), "{}", key.text);
    // One decision serves both, since the token is the same.
    assert_eq!(service.requests().len(), 1);
    for headers in [&[][..], &[("x-api-key", "bad")], &[("x-api-key", "")]] {
        let refused = who(headers).await;
        let (status, kind, _) = error(&refused);
        assert_eq!((status, kind.as_str()), (401, "authentication_error"), "{headers:?}");
        assert!(refused.header("www-authenticate").starts_with("Bearer"));
    }
}
