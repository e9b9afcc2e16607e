//! The events of an upstream, passed on as they came.

use crate::{ByteStream, client::error_in, framing::Events};
use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result};
use futures_util::Stream;
use memchr::memmem::Finder;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::{
    future::Future,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::Duration,
};

/// The longest event: a tool call may carry a whole file.
const EVENT_BYTES: usize = 8 * 1024 * 1024;
/// How long the end of the body is waited for after `[DONE]`, so that the connection can be used
/// again.
const FAREWELL: Duration = Duration::from_millis(100);

// Made once: making one takes longer than searching an event.
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
static FINISH_REASON: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new(b"\"finish_reason\""));

/// The events of a completion as the upstream sent them: JSON texts, without `[DONE]`.
///
/// The texts are not decoded. Only errors are, and what tells a complete answer from a broken one
/// is looked for. The first error is the last item; dropping the stream cancels the request.
pub struct Relay {
    source: ByteStream,
    events: Events,
    secrets: Vec<String>,
    state: State,
    /// Whether an answer has ended by itself: it has a `finish_reason`.
    finished: bool,
}

enum State {
    Events,
    /// `[DONE]` has come.
    Farewell(Pin<Box<tokio::time::Sleep>>),
    Over,
}

/// What to do with an event.
enum Verdict {
    Pass(Bytes),
    Skip,
    Done,
    Fail(Error),
}

impl Relay {
    pub(crate) fn new(source: ByteStream, secrets: Vec<String>) -> Self {
        let events = Events::new(EVENT_BYTES);
        Self { source, events, secrets, state: State::Events, finished: false }
    }

    fn judge(&mut self, data: Bytes) -> Verdict {
        let text = data.trim_ascii();
        if text.is_empty() {
            return Verdict::Skip;
        }
        if text == b"[DONE]" {
            return Verdict::Done;
        }
        if !text.starts_with(b"{") || !text.ends_with(b"}") || std::str::from_utf8(text).is_err() {
            return Verdict::Fail(self.broken("sent an event that is not a JSON object"));
        }
        // Inside a JSON string the quotation marks would be escaped, so that these are keys.
        if ERROR.find(text).is_some() {
            let value = serde_json::from_slice::<Value>(text);
            if let Some(error) = value.ok().and_then(|value| error_in(&value, &self.secrets)) {
                return Verdict::Fail(error);
            }
        }
        self.finished = self.finished || has_finish_reason(text);
        Verdict::Pass(data)
    }

    /// What the end of the body leaves: a last event without a blank line, or an error.
    fn at_end(&mut self) -> Option<Result<Bytes>> {
        self.state = State::Over;
        if let Some(event) = self.events.finish() {
            let whole = event.data.as_ref() == b"[DONE]"
                || serde_json::from_slice::<IgnoredAny>(&event.data).is_ok();
            match whole.then(|| self.judge(event.data)) {
                Some(Verdict::Pass(data)) if self.finished => return Some(Ok(data)),
                Some(Verdict::Done) => return None,
                Some(Verdict::Fail(error)) => return Some(Err(error)),
                Some(Verdict::Pass(_) | Verdict::Skip) | None => {}
            }
        }
        (!self.finished).then(|| Err(self.broken("ended its answer before it was complete")))
    }

    fn broken(&self, what: &str) -> Error {
        let kind = ErrorKind::Upstream { status: None };
        Error::new(kind, format!("{} {what}", self.source.service()))
    }
}

/// Whether the event carries a `finish_reason` that is a text.
fn has_finish_reason(text: &[u8]) -> bool {
    FINISH_REASON.find_iter(text).any(|at| {
        let value = text[at + FINISH_REASON.needle().len()..].trim_ascii_start();
        value.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"\""))
    })
}

impl Stream for Relay {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Farewell(timer) => match Pin::new(&mut this.source).poll_next(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Pending if timer.as_mut().poll(cx).is_pending() => return Poll::Pending,
                    Poll::Pending | Poll::Ready(Some(Err(_)) | None) => {
                        this.state = State::Over;
                        return Poll::Ready(None);
                    }
                },
                State::Events => {}
            }
            let item = match this.events.next_event() {
                Some(Ok(event)) => match this.judge(event.data) {
                    Verdict::Pass(data) => Some(Ok(data)),
                    Verdict::Skip => continue,
                    Verdict::Done => {
                        this.state = State::Farewell(Box::pin(tokio::time::sleep(FAREWELL)));
                        continue;
                    }
                    Verdict::Fail(error) => Some(Err(error)),
                },
                Some(Err(error)) => {
                    Some(Err(this.broken("sent an event that is too long").caused_by(error)))
                }
                None => match Pin::new(&mut this.source).poll_next(cx) {
                    Poll::Ready(Some(Ok(piece))) => {
                        this.events.feed(piece);
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => Some(Err(error)),
                    Poll::Ready(None) => this.at_end(),
                    Poll::Pending => return Poll::Pending,
                },
            };
            if !matches!(item, Some(Ok(_))) {
                this.state = State::Over;
            }
            return Poll::Ready(item);
        }
    }
}
