//! The promises about failures.

use super::{
    Does, PIECES, REFUSAL, Scene, Subject, cx,
    streams::{Heard, hear, streamed},
};
use chaski_api::{Error, ErrorKind};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};

/// How far apart the places are at which a stream is cut.
const STEP: usize = 29;

/// Puts a chat to the upstream that fails, before its first event or in its stream.
async fn failure(subject: Subject, upstream: &FakeUpstream, more: Value) -> Option<Error> {
    let provider = subject.over(upstream).await;
    let is_stream = more.get("stream").is_some();
    match provider.chat(&cx(), subject.chat(more)).await {
        Err(error) => Some(error),
        Ok(reply) if is_stream => hear(reply).await.1.err(),
        Ok(_) => None,
    }
}

pub(super) async fn inside(subject: Subject) {
    if !subject.does(Does::Chat) {
        return;
    }
    let upstream = subject.upstream(Scene::Fails).await;
    let request = subject.chat(streamed(json!({})));
    let reply = subject.over(&upstream).await.chat(&cx(), request).await;
    let (heard, outcome) = hear(reply.expect("the first events are no error")).await;
    assert_eq!(heard.text, PIECES[..2].concat());
    let error = outcome.expect_err("the error in the stream");
    assert!(error.message.contains(REFUSAL), "{error}");
    let from_upstream =
        matches!(error.kind, ErrorKind::Upstream { .. } | ErrorKind::RateLimited { .. });
    assert!(from_upstream, "{error:?}");
}

pub(super) async fn broken(subject: Subject) {
    if !subject.does(Does::Chat) {
        return;
    }
    let whole = {
        let upstream = subject.upstream(Scene::Plain).await;
        let request = subject.chat(streamed(json!({})));
        let reply = subject.over(&upstream).await.chat(&cx(), request).await.unwrap();
        hear(reply).await.1.unwrap();
        let asked = subject.calls(&upstream);
        subject.script.answer(asked.last().unwrap(), Scene::Plain).len()
    };
    for after in (0..whole).step_by(STEP) {
        let cut = move |answer: Answer| answer.cut_after(after);
        let upstream = subject.upstream_with(Scene::Plain, cut).await;
        let request = subject.chat(streamed(json!({})));
        let (heard, outcome) = match subject.over(&upstream).await.chat(&cx(), request).await {
            Ok(reply) => hear(reply).await,
            Err(error) => (Heard::default(), Err(error)),
        };
        assert!(PIECES.concat().starts_with(&heard.text), "cut after {after}: {heard:?}");
        match outcome {
            // The upstream had said that the answer is over.
            Ok(()) => assert!(heard.finish_reason.is_some(), "cut after {after}: {heard:?}"),
            Err(error) => {
                let kind = ErrorKind::Upstream { status: None };
                assert_eq!(error.kind, kind, "cut after {after}: {error}");
            }
        }
    }
}

pub(super) async fn before(subject: Subject) {
    for status in [400, 401, 403, 404, 422, 429, 500, 503, 529] {
        let kind = match status {
            429 => ErrorKind::RateLimited { retry_after: None },
            _ => ErrorKind::Upstream { status: Some(status) },
        };
        let mut failures = Vec::new();
        let upstream = subject.upstream(Scene::Refused(status)).await;
        let provider = subject.over(&upstream).await;
        if subject.does(Does::Chat) {
            failures.push(provider.chat(&cx(), subject.chat(json!({}))).await.err());
            let request = subject.chat(streamed(json!({})));
            failures.push(provider.chat(&cx(), request).await.err());
        }
        if subject.does(Does::Completions) {
            let request = subject.completion(json!({}));
            failures.push(provider.completion(&cx(), request).await.err());
        }
        if subject.does(Does::Embeddings) {
            let request = subject.embeddings(json!({}));
            failures.push(provider.embeddings(&cx(), request).await.err());
        }
        for error in failures {
            let error = error.unwrap_or_else(|| panic!("status {status} is no error"));
            assert_eq!(error.kind, kind, "status {status}: {error}");
            assert!(error.message.contains(REFUSAL), "status {status}: {error}");
        }
    }
    let wait = |answer: Answer| answer.header("retry-after", "7");
    let upstream = subject.upstream_with(Scene::Refused(429), wait).await;
    if subject.does(Does::Chat) {
        let error = failure(subject, &upstream, streamed(json!({}))).await.unwrap();
        let retry_after = Some(std::time::Duration::from_secs(7));
        assert_eq!(error.kind, ErrorKind::RateLimited { retry_after });
    }
}

pub(super) async fn odd(subject: Subject) {
    if !subject.does(Does::Chat) {
        return;
    }
    for (media_type, body) in [
        ("text/html", "<html><body>Welcome to the proxy</body></html>"),
        ("application/json", "[]"),
        ("application/json", "{\"choices\": [{\"mess"),
        ("application/json", ""),
        ("text/plain", "\u{0}\u{1}"),
    ] {
        let odd = move |_| Answer::new(media_type, body);
        let upstream = subject.upstream_with(Scene::Plain, odd).await;
        for more in [json!({}), streamed(json!({}))] {
            let error = failure(subject, &upstream, more.clone()).await;
            let error =
                error.unwrap_or_else(|| panic!("{media_type} `{body}` is no error: {more}"));
            let kind = ErrorKind::Upstream { status: None };
            assert_eq!(error.kind, kind, "{media_type} `{body}`: {error}");
        }
    }
}

pub(super) async fn absent(subject: Subject) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = subject.at(&format!("http://{address}")).await;
    let error = if subject.does(Does::Chat) {
        provider.chat(&cx(), subject.chat(json!({}))).await.err()
    } else {
        provider.embeddings(&cx(), subject.embeddings(json!({}))).await.err()
    };
    let error = error.expect("nobody answers");
    assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None }, "{error}");
    let names_it = error.message.contains(&address.port().to_string());
    assert!(!names_it, "the address is the operator's: {error}");
}
