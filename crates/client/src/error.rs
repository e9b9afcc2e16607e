//! What can go wrong with a call.

use serde_json::Value;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Messages of the server are cut here.
const MESSAGE_CHARS: usize = 2000;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be sent as it stands.
    #[error("{0}")]
    Request(String),
    /// The server was not reached, or the connection was lost.
    #[error(transparent)]
    Transport(chaski_api::Error),
    /// The server refused or failed.
    #[error("the server answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        message: String,
        /// When to try again, if the server said it.
        retry_after: Option<Duration>,
    },
    /// The server reported an error in the middle of a stream.
    #[error("the server ended the stream: {0}")]
    Stream(String),
    /// The answer is not what the endpoint declares.
    #[error("the answer of the server cannot be understood: {0}")]
    Answer(String),
}

impl Error {
    /// The HTTP status that the server answered with, if it answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Request(_) | Self::Transport(_) | Self::Stream(_) | Self::Answer(_) => None,
        }
    }
}

/// The message in an error body, whichever envelope it has.
pub(crate) fn message(body: &[u8]) -> String {
    let text = serde_json::from_slice(body)
        .ok()
        .and_then(|body: Value| spoken(&body))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    if text.is_empty() {
        "no message".to_owned()
    } else {
        text.chars().take(MESSAGE_CHARS).collect()
    }
}

/// `detail`, `error.message`, `error.detail` or `error.detail.errors`.
pub(crate) fn spoken(body: &Value) -> Option<String> {
    let error = &body["error"];
    let text = [&body["detail"], &error["message"], &error["detail"], error, &body["message"]]
        .into_iter()
        .find_map(Value::as_str);
    text.map(str::to_owned).or_else(|| {
        let issues = error["detail"]["errors"].as_array()?;
        let issues: Vec<String> = issues.iter().map(issue).collect();
        Some(issues.join("; "))
    })
}

fn issue(issue: &Value) -> String {
    let place = issue["loc"].as_array().into_iter().flatten();
    let place: Vec<String> =
        place.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned)).collect();
    format!("{}: {}", place.join("."), issue["msg"].as_str().unwrap_or_default())
}
