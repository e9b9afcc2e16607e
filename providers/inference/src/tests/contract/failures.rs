//! The promises about failures.

use super::{
    Does, PIECES, REFUSAL, Scene, Subject, cx,
    streams::{Heard, Kind},
};
use crate::tests::Served;
use chaski_api::{Error, ErrorKind, Result};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How far apart the places are at which a stream is cut that is passed on as it comes: one reader
/// serves all of these providers. A stream that is translated is cut at every byte.
const STEP: usize = 29;

/// Asks for a stream that fails, before its first event or in it.
async fn failing(subject: Subject, provider: &Served, kind: Kind) -> (Heard, Result<()>) {
    match subject.ask(provider, kind, json!({})).await {
        Ok(stream) => stream.hear().await,
        Err(error) => (Heard::default(), Err(error)),
    }
}

/// The outcomes of all that the provider does but chats and completions.
async fn others(subject: Subject, provider: &Served) -> Vec<Option<Error>> {
    let mut outcomes = Vec::new();
    if subject.does(Does::Embeddings) {
        let request = subject.embeddings(json!({}));
        outcomes.push(provider.embeddings(&cx(), request).await.err());
    }
    if subject.does(Does::Rerank) {
        outcomes.push(provider.rerank(&cx(), subject.rerank()).await.err());
    }
    outcomes
}

/// The outcome of what is asked for without a stream.
async fn whole(subject: Subject, provider: &Served, kind: Kind, more: Value) -> Option<Error> {
    match kind {
        Kind::Chat => provider.chat(&cx(), subject.chat(more)).await.err(),
        Kind::Completion => provider.completion(&cx(), subject.completion(more)).await.err(),
    }
}

pub(super) async fn inside(subject: Subject) {
    for kind in subject.kinds() {
        let upstream = subject.upstream(Scene::Fails).await;
        let stream = subject.ask(&subject.over(&upstream).await, kind, json!({})).await;
        let (heard, outcome) = stream.expect("the first events are no error").hear().await;
        assert_eq!(heard.text, PIECES[..2].concat(), "{kind:?}");
        let error = outcome.expect_err("the error in the stream");
        assert!(error.message.contains(REFUSAL), "{error}");
        let from_upstream =
            matches!(error.kind, ErrorKind::Upstream { .. } | ErrorKind::RateLimited { .. });
        assert!(from_upstream, "{error:?}");
    }
}

pub(super) async fn broken(subject: Subject) {
    for kind in subject.kinds() {
        let place = Arc::new(AtomicUsize::new(usize::MAX));
        let at = place.clone();
        let cut = move |answer: Answer| match at.load(Ordering::SeqCst) {
            usize::MAX => answer,
            after => answer.cut_after(after),
        };
        let upstream = subject.upstream_with(Scene::Plain, cut).await;
        let provider = subject.over(&upstream).await;
        failing(subject, &provider, kind).await.1.expect("the stream is whole");
        let asked = subject.calls(&upstream);
        let length = subject.script.answer(asked.last().unwrap(), Scene::Plain).len();
        let step = if subject.script.is_translated() { 1 } else { STEP };
        for after in (0..length).step_by(step) {
            place.store(after, Ordering::SeqCst);
            let (heard, outcome) = failing(subject, &provider, kind).await;
            let case = format!("{kind:?} cut after {after} of {length} bytes: {heard:?}");
            assert!(PIECES.concat().starts_with(&heard.text), "{case}");
            match outcome {
                // The upstream had said that the answer is over.
                Ok(()) => assert!(heard.finish_reason.is_some(), "{case}"),
                Err(error) => {
                    let kind = ErrorKind::Upstream { status: None };
                    assert_eq!(error.kind, kind, "{case}: {error}");
                }
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
        let upstream = subject.upstream(Scene::Refused(status)).await;
        let provider = subject.over(&upstream).await;
        let mut failures = others(subject, &provider).await;
        for kind in subject.kinds() {
            failures.push(whole(subject, &provider, kind, json!({})).await);
            failures.push(subject.ask(&provider, kind, json!({})).await.err());
        }
        for error in failures {
            let error = error.unwrap_or_else(|| panic!("status {status} is no error"));
            assert_eq!(error.kind, kind, "status {status}: {error}");
            assert!(error.message.contains(REFUSAL), "status {status}: {error}");
        }
    }
    let wait = |answer: Answer| answer.header("retry-after", "7");
    let upstream = subject.upstream_with(Scene::Refused(429), wait).await;
    let provider = subject.over(&upstream).await;
    for kind in subject.kinds() {
        let error = failing(subject, &provider, kind).await.1.unwrap_err();
        let retry_after = Some(std::time::Duration::from_secs(7));
        assert_eq!(error.kind, ErrorKind::RateLimited { retry_after });
    }
}

pub(super) async fn odd(subject: Subject) {
    for (media_type, body) in [
        ("text/html", "<html><body>Welcome to the proxy</body></html>"),
        ("application/json", "[]"),
        ("application/json", "{\"choices\": [{\"mess"),
        ("application/json", ""),
        ("text/plain", "\u{0}\u{1}"),
    ] {
        let odd = move |_| Answer::new(media_type, body);
        let upstream: FakeUpstream = subject.upstream_with(Scene::Plain, odd).await;
        let provider = subject.over(&upstream).await;
        let mut failures = Vec::new();
        for kind in subject.kinds() {
            failures.push((kind, "whole", whole(subject, &provider, kind, json!({})).await));
            failures.push((kind, "streamed", failing(subject, &provider, kind).await.1.err()));
        }
        for (kind, form, error) in failures {
            let case = format!("{kind:?} {form}, {media_type} `{body}`");
            let error = error.unwrap_or_else(|| panic!("{case} is no error"));
            let kind = ErrorKind::Upstream { status: None };
            assert_eq!(error.kind, kind, "{case}: {error}");
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
