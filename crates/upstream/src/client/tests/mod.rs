use super::*;
use bytes::Bytes;
use chaski_api::Secret;
use chaski_testkit::{Answer, FakeUpstream, Gate, within};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

mod connections;
mod errors;
mod limits;
mod proxies;

pub(crate) fn http() -> Http {
    Http::new(HttpOptions::default()).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn post(upstream: &FakeUpstream) -> Request {
    Request::post("vLLM", url(&format!("{}/v1/x", upstream.url()))).json(r#"{"a":1}"#)
}

/// An answer that may be repeated at once.
fn at_once(status: u16) -> Answer {
    Answer::json(json!({ "error": "busy" })).status(status).header("retry-after-ms", "1")
}

#[tokio::test]
async fn a_request_arrives_with_its_headers_and_its_body() {
    let upstream = FakeUpstream::answering(Answer::json(json!({ "b": 2 }))).await;
    let request = post(&upstream).bearer(&Secret::new("key")).unwrap();
    let answer = http().send(request).await.unwrap().success().await.unwrap();
    assert_eq!(answer.media_type(), "application/json");
    assert_eq!(answer.bytes(1000).await.unwrap(), Bytes::from_static(b"{\"b\":2}"));
    let seen = upstream.only_request();
    assert_eq!(seen.path, "/v1/x");
    assert_eq!(seen.json(), json!({ "a": 1 }));
    assert_eq!(seen.header("authorization"), "Bearer key");
    assert_eq!(seen.header("content-type"), "application/json");
    assert!(seen.header("user-agent").starts_with("chaski/"));
}

#[tokio::test]
async fn attempts_are_repeated_on_statuses_that_may_pass() {
    for status in [408, 409, 429, 500, 503] {
        let answers = [at_once(status), at_once(status), Answer::json(json!({}))];
        let upstream = FakeUpstream::in_turn(answers).await;
        let answer = http().send(post(&upstream).retries(2)).await.unwrap();
        assert_eq!(answer.status(), 200, "after {status}");
        assert_eq!(upstream.requests().len(), 3);
        assert_eq!(upstream.requests()[2].json(), json!({ "a": 1 }));
    }
}

#[tokio::test]
async fn other_statuses_and_the_last_attempt_are_final() {
    for (status, requests) in [(400, 1), (401, 1), (404, 1), (422, 1), (429, 3), (500, 3)] {
        let upstream = FakeUpstream::answering(at_once(status)).await;
        let answer = http().send(post(&upstream).retries(2)).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(upstream.requests().len(), requests, "{status}");
    }
}

#[derive(Default)]
struct Counted(AtomicU32);

impl CountRepeats for Counted {
    fn repeated(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_call_says_whether_it_is_repeated_and_hears_of_each_repeat() {
    let upstream = FakeUpstream::answering(at_once(503)).await;
    let counted = Arc::new(Counted::default());
    let repeats = Repeats::counted(Arc::clone(&counted) as Arc<dyn CountRepeats>);
    http().send(post(&upstream).retries(2).repeats(Some(&repeats))).await.unwrap();
    assert_eq!((upstream.requests().len(), counted.0.load(Ordering::Relaxed)), (3, 2));
    http().send(post(&upstream).retries(2).repeats(Some(&repeats.off()))).await.unwrap();
    assert_eq!((upstream.requests().len(), counted.0.load(Ordering::Relaxed)), (4, 2));
}

#[tokio::test]
async fn the_upstream_decides_whether_to_repeat_and_a_long_pause_is_left_to_the_caller() {
    let refused = Answer::text("").status(500).header("x-should-retry", "false");
    let later = Answer::text("").status(503).header("retry-after", "3600");
    for answer in [refused, later] {
        let upstream = FakeUpstream::answering(answer).await;
        http().send(post(&upstream).retries(2)).await.unwrap();
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn no_attempt_is_made_after_the_deadline() {
    let later = Answer::text("").status(503).header("retry-after", "30");
    let upstream = FakeUpstream::answering(later).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let request = post(&upstream).retries(2).deadline(Some(deadline));
    within("the answer", http().send(request)).await.unwrap();
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_a_timeout() {
    let upstream = FakeUpstream::answering(Answer::never()).await;
    let request = post(&upstream).retries(2).first_byte_timeout(Duration::from_millis(300));
    let error = http().send(request).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(error.message, "no answer from vLLM within 0.3 seconds");
    upstream.deserted().await;

    let soon = Instant::now() + Duration::from_millis(50);
    let error = http().send(post(&upstream).deadline(Some(soon))).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout);
}

#[tokio::test]
async fn an_upstream_that_stops_in_the_middle_is_a_timeout() {
    let gate = Gate::closed();
    let upstream = FakeUpstream::answering(Answer::text("0123456789").held_after(4, &gate)).await;
    let request = post(&upstream).read_timeout(Duration::from_millis(50));
    let mut pieces = http().send(request).await.unwrap().stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), Bytes::from_static(b"0123"));
    assert_eq!(pieces.next().await.unwrap().unwrap_err().kind, ErrorKind::Timeout);
    assert!(pieces.next().await.is_none());
    upstream.deserted().await;
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit() {
    let body = "0123456789".repeat(100);
    for answer in [
        Answer::text(body.clone()).in_pieces_of(7),
        Answer::text(body.clone()),
        Answer::text(body.clone()).header("content-length", "1000"),
    ] {
        let upstream = FakeUpstream::answering(answer).await;
        let read = async |limit| http().send(post(&upstream)).await.unwrap().bytes(limit).await;
        assert_eq!(read(1000).await.unwrap(), body.as_bytes());
        let error = read(999).await.unwrap_err();
        assert_eq!(error.message, "the answer of vLLM has more than 999 bytes");
    }
}

#[tokio::test]
async fn redirects_are_answers_unless_they_are_to_be_followed() {
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/a" => Answer::text("").status(302).header("location", "/b"),
        "/b" => Answer::text("here"),
        _ => Answer::text("").status(302).header("location", "/again"),
    })
    .await;
    let at = |path: &str| Request::get("Hugging Face", url(&format!("{}{path}", upstream.url())));
    assert_eq!(http().send(at("/a")).await.unwrap().status(), 302);
    let answer = http().send(at("/a").redirects(1)).await.unwrap();
    assert_eq!(answer.bytes(10).await.unwrap(), Bytes::from_static(b"here"));
    assert_eq!(http().send(at("/loop").redirects(5)).await.unwrap().status(), 302);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_origin() {
    let other = FakeUpstream::answering(Answer::text("here")).await;
    let there = other.url();
    let upstream = FakeUpstream::start(move |seen| match seen.path.as_str() {
        "/away" => Answer::text("").status(307).header("location", &there),
        "/near" => Answer::text("").status(307).header("location", "/here"),
        _ => Answer::text("here"),
    })
    .await;
    for path in ["/near", "/away"] {
        let request = Request::get("Hugging Face", url(&format!("{}{path}", upstream.url())));
        let request = request.bearer(&Secret::new("key")).unwrap().redirects(3);
        http().send(request).await.unwrap();
    }
    assert_eq!(upstream.requests()[1].path, "/here");
    assert_eq!(upstream.requests()[1].header("authorization"), "Bearer key");
    assert_eq!(other.only_request().header("authorization"), "");
}

#[test]
fn hosts_with_ports_are_read_and_written() {
    for text in ["127.0.0.1:9110", "[::1]:80", "images.example:443"] {
        assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
    }
    for text in ["", "host", ":80", "host:", "host:99999", "::1:80", "[::1:80", "http://host:80"] {
        assert!(text.parse::<HostPort>().is_err(), "{text}");
    }
}
