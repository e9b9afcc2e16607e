//! Streams of events.

use super::{
    harness::{Running, adorned, chat, llama_chat, start},
    provider::was_dropped,
};
use crate::{Limits, ServerOptions};
use chaski_testkit::{eventually, within};
use futures_util::StreamExt;
use http::Method;
use serde_json::Value;
use std::time::Duration;

const CHAT: &str = "/v1/chat/completions";
const LLAMA: &str = "/v1/inference/chat-completion";

async fn server() -> Running {
    start(ServerOptions::default()).await
}

fn events(text: &str) -> Vec<&str> {
    text.split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap_or(event))
        .collect()
}

#[tokio::test]
async fn events_of_openai_end_with_done() {
    let answer = server().await.post(CHAT, &chat("say a b", true)).await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    let events = events(&answer.text);
    let text: Vec<Value> = events[..2]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap())
        .map(|event| event["choices"][0]["delta"]["content"].clone())
        .collect();
    assert_eq!(text, ["a", "b"]);
    assert_eq!(events[2..], ["[DONE]"]);
}

#[tokio::test]
async fn events_of_llama_stack_end_without_a_mark() {
    let answer = server().await.post(LLAMA, &llama_chat("say a b", true)).await;
    let events = events(&answer.text);
    assert_eq!(
        events[0],
        r#"{"metrics":null,"event":{"event_type":"start","delta":{"type":"text","text":""},"logprobs":null,"stop_reason":null}}"#
    );
    assert!(events.last().unwrap().contains(r#""event_type":"complete""#));
    let lax = serde_json::json!({ "model_id": "m", "stream": "true", "messages": [
        { "role": "user", "content": "say a" },
    ] });
    let lax = server().await.post(LLAMA, &lax).await;
    assert!(lax.text.starts_with("data: "));
}

#[tokio::test]
async fn what_fails_before_the_first_event_has_its_status() {
    let server = server().await;
    for order in ["fail 503", "break-at-once"] {
        let answer = server.post(CHAT, &chat(order, true)).await;
        assert_eq!(answer.status, 503, "{order}");
        assert_eq!(answer.json()["error"]["message"], "the upstream says no");
    }
    let mut unknown = llama_chat("x", true);
    unknown["model_id"] = "nope".into();
    let answer = server.post(LLAMA, &unknown).await;
    assert_eq!(answer.line(), r#"400 {"detail":"Invalid value: Model 'nope' not found"}"#);
}

#[tokio::test]
async fn what_fails_before_the_first_event_is_an_event_where_that_is_wanted() {
    let options = ServerOptions { stream_errors_as_events: true, ..ServerOptions::default() };
    let server = start(options).await;
    let mut unknown = llama_chat("x", true);
    unknown["model_id"] = "nope".into();
    let answer = server.post(LLAMA, &unknown).await;
    assert_eq!(
        answer.line(),
        "200 data: {\"error\": {\"message\": \"400: Invalid value: Model 'nope' not found\"}}\n\n"
    );
    // What is wrong with the request itself is said at once all the same.
    unknown["messages"] = 1.into();
    assert_eq!(server.post(LLAMA, &unknown).await.status, 400);
}

#[tokio::test]
async fn what_fails_later_is_the_last_event() {
    let server = server().await;
    let answer = server.post(CHAT, &chat("break a b", true)).await;
    let last: Value = serde_json::from_str(events(&answer.text).last().unwrap()).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(last["error"]["message"], "the upstream says no");
    let answer = server.post(LLAMA, &llama_chat("break a b", true)).await;
    let last = *events(&answer.text).last().unwrap();
    assert_eq!(last, r#"{"error": {"message": "503: the upstream says no"}}"#);
}

#[tokio::test]
async fn a_stream_that_panics_ends_with_an_error_and_hurts_nobody() {
    let server = server().await;
    let answer = server.post(CHAT, &chat("panic-later a", true)).await;
    let last: Value = serde_json::from_str(events(&answer.text).last().unwrap()).unwrap();
    assert_eq!(last["error"]["type"], "server_error");
    assert_eq!(server.chat("say hello").await.status, 200);
}

#[tokio::test]
async fn silence_is_filled_with_comments_and_cut_at_the_deadline() {
    let limits = Limits { total_timeout: Duration::from_millis(400), ..Limits::default() };
    let keep_alive = Duration::from_millis(50);
    let server = start(ServerOptions { limits, keep_alive, ..ServerOptions::default() }).await;
    let answer = server.post(CHAT, &chat("stall a", true)).await;
    let events = events(&answer.text);
    assert!(events.iter().filter(|event| **event == ": keep-alive").count() >= 3, "{events:?}");
    assert!(events.last().unwrap().contains("longer than the server allows"), "{events:?}");
    let endless = server.post(CHAT, &chat("flood", true)).await;
    assert!(endless.text.contains("longer than the server allows"));
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_given_up() {
    let limits = Limits { first_byte_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(ServerOptions { limits, ..ServerOptions::default() }).await;
    let headers = [("x-request-id", "never-begins")];
    let answer = server.post_with(CHAT, &chat("hang", false), &headers).await;
    assert_eq!(answer.status, 504);
    assert!(was_dropped("never-begins"));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work() {
    let server = server().await;
    for (id, order, stream) in
        [("left-1", "hang", false), ("left-2", "stall a", true), ("left-3", "flood", true)]
    {
        let request = server.request(Method::POST, CHAT).json(chat(order, stream).to_string());
        let request = adorned(request, &[("x-request-id", id)]);
        if stream {
            let mut body = server.open(request).await;
            assert!(body.next().await.unwrap().is_ok());
            drop(body);
        } else {
            let leaving = tokio::time::timeout(Duration::from_millis(200), server.send(request));
            assert!(leaving.await.is_err());
        }
        eventually("the work to be dropped", || was_dropped(id)).await;
    }
}

#[tokio::test]
async fn a_slow_reader_gets_everything_and_holds_up_nobody() {
    let server = server().await;
    let request = server.request(Method::POST, CHAT).json(chat("flood", true).to_string());
    let mut slow = server.open(adorned(request, &[("x-request-id", "slow-reader")])).await;
    assert!(slow.next().await.unwrap().is_ok());
    for _ in 0..20 {
        assert_eq!(server.chat("say hello").await.status, 200);
    }
    let more = within("more of the stream", slow.next()).await.unwrap().unwrap();
    assert!(!more.is_empty());
    assert!(!was_dropped("slow-reader"));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_given_up() {
    let limits = Limits { write_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = start(ServerOptions { limits, ..ServerOptions::default() }).await;
    let request = server.request(Method::POST, CHAT).json(chat("flood", true).to_string());
    let stuck = server.open(adorned(request, &[("x-request-id", "stuck-reader")])).await;
    eventually("the work to be dropped", || was_dropped("stuck-reader")).await;
    drop(stuck);
}
