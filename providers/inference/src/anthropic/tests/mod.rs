//! The provider in front of a scripted server, and its translations.

mod answers;
mod calls;
mod requests;
mod sources;

use crate::tests::{Served, build};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};

pub(super) const MESSAGE: &str = include_str!("../fixtures/message.json");
pub(super) const STREAM: &str = include_str!("../fixtures/stream.txt");
pub(super) const ERROR: &str = include_str!("../fixtures/error.json");
pub(super) const STREAM_ERROR: &str = include_str!("../fixtures/stream_error.txt");
pub(super) const MODELS: &str = include_str!("../fixtures/models.json");

pub(super) async fn anthropic(upstream: &FakeUpstream, key: Option<&str>) -> Served {
    build("remote::anthropic", json!({ "api_key": key, "base_url": upstream.url() }), &[])
        .await
        .unwrap()
}

pub(super) fn message() -> Answer {
    Answer::new("application/json", MESSAGE)
}

pub(super) fn events() -> Answer {
    Answer::new("text/event-stream; charset=utf-8", STREAM)
}

/// An error in the form of Anthropic's API.
pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({
        "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1",
    })
}
