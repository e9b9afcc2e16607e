//! Streams of events on the wire.
//!
//! Events that are ready together are written together; nothing is asked of the source before the
//! connection has taken what came before, so that a slow reader slows its upstream and costs no
//! memory.

use crate::{body::ResponseBody, failures};
use bytes::{BufMut, Bytes, BytesMut};
use chaski_api::{Error, ErrorKind, Face, Result};
use futures_util::stream::BoxStream;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};
use std::{
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

/// Appends an event.
fn write(out: &mut BytesMut, event: &[u8]) {
    out.reserve(event.len() + 8);
    out.put_slice(b"data: ");
    // An event is one line; a line break inside would end it early.
    if event.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend(event.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    } else {
        out.put_slice(event);
    }
    out.put_slice(b"\n\n");
}

/// A stream of events as a body.
pub(crate) struct EventBody {
    /// What was taken from the events before the body was asked for.
    first: Option<Result<Bytes>>,
    /// Nothing after the end.
    events: Option<BoxStream<'static, Result<Bytes>>>,
    face: Face,
    keep_alive: Duration,
    /// When the stream is cut.
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    /// When something was last sent.
    sent: Instant,
    span: tracing::Span,
}

/// The answer that sends these events, after `first` if that was taken already.
pub(crate) fn response(
    first: Option<Result<Bytes>>,
    events: BoxStream<'static, Result<Bytes>>,
    face: Face,
    keep_alive: Duration,
    deadline: Instant,
) -> Response<ResponseBody> {
    let now = Instant::now();
    let body = EventBody {
        first,
        events: Some(events),
        face,
        keep_alive,
        deadline,
        timer: Box::pin(sleep_until(deadline.min(now + keep_alive))),
        sent: now,
        span: tracing::Span::current(),
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
        self.span.in_scope(|| crate::log::failure(error));
        let event = failures::event(error, self.face);
        write(out, event.as_bytes());
    }

    fn end(&mut self, out: &mut BytesMut) {
        self.events = None;
        if self.face == Face::OpenAi {
            write(out, b"[DONE]");
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
                out.put_slice(b": keep-alive\n\n");
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
                Poll::Ready(Some(Ok(event))) => write(&mut out, &event),
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
