//! Streams of events on the wire.
//!
//! Events that are ready together are written together; nothing is asked of the source before the
//! connection has taken what came before, so that a slow reader slows its upstream and costs no
//! memory.

use crate::{
    body::ResponseBody,
    failures::{self, Recipient},
};
use bytes::{BufMut, Bytes, BytesMut};
use chaski_api::{Error, ErrorKind, Face, Result};
use futures_util::stream::BoxStream;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};
use serde::Deserialize;
use std::{
    borrow::Cow,
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// How many bytes are gathered into one piece.
const PIECE: usize = 16 * 1024;

/// What Anthropic's API sends when there is nothing else to send.
const PING: &[u8] = br#"{"type":"ping"}"#;

/// Appends an event. Those of Anthropic's API have their `type` as name.
fn write(out: &mut BytesMut, event: &[u8], face: Face) {
    out.reserve(event.len() + 8);
    if face == Face::Anthropic
        && let Some(name) = type_of(event)
    {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_slice(b"\n");
    }
    out.put_slice(b"data: ");
    // An event is one line; a line break inside would end it early.
    if event.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend(event.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    } else {
        out.put_slice(event);
    }
    out.put_slice(b"\n\n");
}

/// The `type` of an event, if it can stand in a line of its own.
fn type_of(event: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    // The type comes first in what this server writes, and in what Anthropic sends.
    let start = event.strip_prefix(br#"{"type":"#).map(<[u8]>::trim_ascii_start);
    let name = start.and_then(|rest| rest.strip_prefix(b"\"")).and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        std::str::from_utf8(&rest[..end]).ok()
    });
    if let Some(name) = name.filter(|name| is_name(name)) {
        return Some(name.into());
    }
    let typed = serde_json::from_slice::<Typed<'_>>(event).ok()?;
    is_name(&typed.kind).then_some(typed.kind)
}

/// A stream of events as a body.
pub(crate) struct EventBody {
    /// What was taken from the events before the body was asked for.
    first: Option<Result<Bytes>>,
    /// Nothing after the end.
    events: Option<BoxStream<'static, Result<Bytes>>>,
    to: Recipient,
    keep_alive: Duration,
    /// When the stream is cut.
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    /// When something was last sent.
    sent: Instant,
}

/// The answer that sends these events, after `first` if that was taken already.
pub(crate) fn response(
    first: Option<Result<Bytes>>,
    events: BoxStream<'static, Result<Bytes>>,
    to: Recipient,
    keep_alive: Duration,
    deadline: Instant,
) -> Response<ResponseBody> {
    let now = Instant::now();
    let body = EventBody {
        first,
        events: Some(events),
        to,
        keep_alive,
        deadline,
        timer: Box::pin(sleep_until(deadline.min(now + keep_alive))),
        sent: now,
    };
    let mut response = Response::new(ResponseBody::stream(body));
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl EventBody {
    fn fail(&mut self, out: &mut BytesMut, error: &Error) {
        self.events = None;
        crate::log::failure(error);
        let event = failures::event(error, &self.to);
        write(out, event.as_bytes(), self.to.face);
    }

    fn end(&mut self, out: &mut BytesMut) {
        self.events = None;
        if self.to.face == Face::OpenAi {
            write(out, b"[DONE]", self.to.face);
        }
    }
}

impl EventBody {
    /// The next event. A fault of the source ends this stream and nothing else.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(events) = &mut self.events else { return Poll::Ready(None) };
        catch_unwind(AssertUnwindSafe(|| events.as_mut().poll_next(cx))).unwrap_or_else(|_| {
            Poll::Ready(Some(Err(Error::internal("the source of a stream panicked"))))
        })
    }

    /// Waits for the next thing that the clock demands, and writes it.
    fn tick(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<()> {
        while out.is_empty() {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= self.deadline {
                self.late(out);
                break;
            }
            if now >= self.sent + self.keep_alive {
                match self.to.face {
                    Face::Anthropic => write(out, PING, Face::Anthropic),
                    Face::LlamaStack | Face::OpenAi => out.put_slice(b": keep-alive\n\n"),
                }
                self.sent = now;
            }
            self.timer.as_mut().reset(self.deadline.min(self.sent + self.keep_alive));
        }
        Poll::Ready(())
    }

    fn late(&mut self, out: &mut BytesMut) {
        let message = "the answer took longer than the server allows";
        self.fail(out, &Error::new(ErrorKind::Timeout, message));
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let mut out = BytesMut::new();
        if this.events.is_some() && this.sent >= this.deadline {
            this.late(&mut out);
        }
        while this.events.is_some() && out.len() < PIECE {
            match this.next(cx) {
                Poll::Ready(Some(Ok(event))) => write(&mut out, &event, this.to.face),
                Poll::Ready(Some(Err(error))) => this.fail(&mut out, &error),
                Poll::Ready(None) => this.end(&mut out),
                Poll::Pending if out.is_empty() => {
                    ready!(this.tick(cx, &mut out));
                    break;
                }
                Poll::Pending => break,
            }
        }
        if out.is_empty() {
            return Poll::Ready(None);
        }
        this.sent = Instant::now();
        Poll::Ready(Some(Ok(Frame::data(out.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: &str, face: Face, expected: &str) {
        let mut out = BytesMut::new();
        write(&mut out, event.as_bytes(), face);
        assert_eq!(out, expected, "{event}");
    }

    #[test]
    fn events_of_anthropics_api_are_named_by_their_type() {
        for (event, name) in [
            (r#"{"type":"message_stop"}"#, "message_stop"),
            (r#"{"type": "ping", "a": 1}"#, "ping"),
            (r#"{"index":0,"type":"content_block_stop"}"#, "content_block_stop"),
            (r#" {"type":"p\u0069ng"}"#, "ping"),
        ] {
            check(event, Face::Anthropic, &format!("event: {name}\ndata: {event}\n\n"));
            check(event, Face::OpenAi, &format!("data: {event}\n\n"));
        }
    }

    #[test]
    fn what_is_no_name_stays_out_of_the_line_of_the_name() {
        for event in [r#"{"type":"a\nb"}"#, r#"{"type":7}"#, r#"{"type":""}"#, "{}", "x", ""] {
            check(event, Face::Anthropic, &format!("data: {event}\n\n"));
        }
    }
}
