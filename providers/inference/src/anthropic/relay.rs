//! The events of the upstream, passed on as they came.

use super::api::broken;
use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result, Secret};
use chaski_upstream::{ByteStream, framing::Events};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::Deserialize;
use std::{borrow::Cow, time::Duration};

/// The longest event: a tool call may carry a whole file.
const EVENT_BYTES: usize = 8 * 1024 * 1024;
/// How long the end of the body is waited for after the last event, so that the connection can be
/// used again.
const FAREWELL: Duration = Duration::from_millis(100);
/// Shorter keys are left in messages: they may be words.
const SECRET_CHARS: usize = 8;

/// The statuses that stand for the types of errors (Anthropic API, "Errors").
const STATUSES: &[(&str, u16)] = &[
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

/// What has to be known about a text that is passed on.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    error: Option<Said>,
}

/// What the upstream says about its error.
#[derive(Deserialize)]
struct Said {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

impl Said {
    fn into_error(self, key: Option<&Secret>) -> Error {
        let status =
            STATUSES.iter().find(|(kind, _)| *kind == self.kind).map(|(_, status)| *status);
        let kind = match status {
            Some(429) => ErrorKind::RateLimited { retry_after: None },
            _ => ErrorKind::Upstream { status },
        };
        let mut message = self.message;
        if message.is_empty() {
            message = broken("reported an error without a message").message;
        }
        if let Some(key) = key.filter(|key| key.expose().len() >= SECRET_CHARS) {
            message = message.replace(key.expose(), Secret::REDACTED);
        }
        let error = Error::new(kind, message);
        if self.kind.is_empty() { error } else { error.with_code(self.kind) }
    }
}

/// Lets a JSON object pass that is no error.
///
/// # Errors
/// `Upstream` if it is no object, and the error that it stands for.
pub(super) fn check(text: &[u8], key: Option<&Secret>) -> Result<()> {
    probe(text, key).map(drop)
}

/// The type of an object that is no error.
fn probe<'a>(text: &'a [u8], key: Option<&Secret>) -> Result<Cow<'a, str>> {
    let unclear = || broken("sent an answer that is not a JSON object");
    let text = std::str::from_utf8(text).map_err(|error| unclear().caused_by(error))?;
    let probe: Probe<'a> =
        serde_json::from_str(text).map_err(|error| unclear().caused_by(error))?;
    if !text.trim_start().starts_with('{') {
        return Err(unclear());
    }
    match probe.error {
        Some(said) => Err(said.into_error(key)),
        None => Ok(probe.kind.unwrap_or_default()),
    }
}

struct Progress {
    source: ByteStream,
    frames: Events,
    key: Option<Secret>,
    /// Whether the message has ended by itself.
    complete: bool,
}

impl Progress {
    /// The next event; nothing at the end.
    async fn next(&mut self) -> Option<Result<Bytes>> {
        if self.complete {
            let rest = async { while let Some(Ok(_)) = self.source.next().await {} };
            let _late = tokio::time::timeout(FAREWELL, rest).await;
            return None;
        }
        loop {
            match self.frames.next_event() {
                Some(Ok(event)) => match self.judge(event.data).transpose() {
                    Some(verdict) => return Some(verdict),
                    None => continue,
                },
                Some(Err(error)) => {
                    return Some(Err(broken("sent an event that is too long").caused_by(error)));
                }
                None => {}
            }
            match self.source.next().await {
                Some(Ok(piece)) => self.frames.feed(piece),
                Some(Err(error)) => return Some(Err(error)),
                None => return Some(self.last()),
            }
        }
    }

    /// The event, unless it says nothing.
    fn judge(&mut self, data: Bytes) -> Result<Option<Bytes>> {
        let text = data.trim_ascii();
        // Some servers end their streams as OpenAI's do.
        if text.is_empty() || text == b"[DONE]" {
            return Ok(None);
        }
        self.complete = probe(text, self.key.as_ref())? == "message_stop";
        Ok(Some(data))
    }

    /// What is left at the end of the body: a last event without a blank line, or an error.
    fn last(&mut self) -> Result<Bytes> {
        let cut = || broken("ended its answer before it was complete");
        let Some(event) = self.frames.finish() else { return Err(cut()) };
        match self.judge(event.data) {
            Ok(Some(data)) if self.complete => Ok(data),
            Err(error) if error.code.is_some() => Err(error),
            Ok(_) | Err(_) => Err(cut()),
        }
    }
}

/// The events as the upstream sent them: JSON objects, the last one `message_stop`. The first error
/// is the last item; dropping the stream cancels the request.
pub(super) fn events(source: ByteStream, key: Option<Secret>) -> BoxStream<'static, Result<Bytes>> {
    let frames = Events::new(EVENT_BYTES);
    let progress = Progress { source, frames, key, complete: false };
    stream::unfold(Some(progress), |progress| async move {
        let mut progress = progress?;
        let event = progress.next().await?;
        let rest = event.is_ok().then_some(progress);
        Some((event, rest))
    })
    .boxed()
}
