//! The bodies of requests and answers.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    any::Any,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

/// Whether some of a request body may still come.
pub(crate) struct Rest(Arc<AtomicBool>);

impl Rest {
    pub(crate) fn may_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body of a request, which tells its [`Rest`] when it has been read to the end.
pub(crate) struct RequestBody {
    body: Incoming,
    rest: Arc<AtomicBool>,
}

impl RequestBody {
    pub(crate) fn watched(body: Incoming) -> (Self, Rest) {
        let rest = Arc::new(AtomicBool::new(!body.is_end_stream()));
        (Self { body, rest: rest.clone() }, Rest(rest))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.rest.store(false, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body, together with what must be held until it has been sent.
pub(crate) struct ResponseBody {
    content: Content,
    /// What ends together with the answer, such as a permit.
    held: Option<Box<dyn Any + Send>>,
}

enum Content {
    Text(Option<Bytes>),
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = Infallible> + Send>>),
}

impl ResponseBody {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self { content: Content::Text((!text.is_empty()).then_some(text)), held: None }
    }

    pub(crate) fn stream(
        stream: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
    ) -> Self {
        Self { content: Content::Stream(Box::pin(stream)), held: None }
    }

    /// Keeps `guard` until the body has been sent or dropped.
    pub(crate) fn holding(self, guard: impl Any + Send) -> Self {
        Self { held: Some(Box::new((self.held, guard))), content: self.content }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Content::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Content::Stream(stream) => stream.size_hint(),
        }
    }
}
