//! The promises about images, which no answer of an upstream can keep or break.

use super::{Does, Scene, Subject, cx};
use chaski_api::{Error, ErrorKind, openai::ChatRequest};
use serde_json::json;

/// An address behind which clouds tell their machines secrets.
const INSIDE: &str = "http://169.254.169.254/latest/meta-data";

fn chat(subject: Subject, url: &str) -> ChatRequest {
    let parts = json!([
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": url } },
    ]);
    subject.chat(json!({ "messages": [{ "role": "user", "content": parts }] }))
}

/// The error of a chat about the image at this address, of which the upstream must hear nothing.
async fn refusal(subject: Subject, url: &str) -> Error {
    let upstream = subject.upstream(Scene::Plain).await;
    let reply = subject.over(&upstream).await.chat(&cx(), chat(subject, url)).await;
    let error = reply.err().unwrap_or_else(|| panic!("`{url}` is not refused"));
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "`{url}`: {error}");
    assert_eq!(subject.calls(&upstream).len(), 0, "the upstream is asked about `{url}`");
    error
}

pub(super) async fn are_checked(subject: Subject) {
    if !subject.does(Does::Chat) {
        return;
    }
    for url in ["file:///etc/passwd", "cat.png", "data:image/png,PNG"] {
        refusal(subject, url).await;
    }
}

/// Images at addresses are fetched by the provider, so that its upstream cannot be led to what only
/// the upstream reaches.
pub(crate) async fn are_fetched(subject: Subject) {
    let error = refusal(subject, INSIDE).await;
    let provider_type = subject.provider_type;
    assert!(error.message.contains("may not be fetched"), "{provider_type}: {error}");
}
