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
    Stream(Streamed),
}

type Source = Pin<Box<dyn Body<Data = Bytes, Error = Infallible> + Send>>;

/// A body that is made while it is sent. What it tells the log then belongs to its request.
struct Streamed {
    /// Nothing once it is dropped.
    source: Option<Source>,
    /// The span of the request.
    span: tracing::Span,
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let source = self.source.take();
        self.span.in_scope(|| drop(source));
    }
}

impl ResponseBody {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self { content: Content::Text((!text.is_empty()).then_some(text)), held: None }
    }

    pub(crate) fn stream(
        stream: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
    ) -> Self {
        Self::within(tracing::Span::current(), stream)
    }

    /// A stream that belongs to the request with this span.
    fn within(
        span: tracing::Span,
        stream: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
    ) -> Self {
        let source: Source = Box::pin(stream);
        Self { content: Content::Stream(Streamed { source: Some(source), span }), held: None }
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
            Content::Stream(Streamed { source, span }) => match source {
                Some(source) => span.in_scope(|| source.as_mut().poll_frame(cx)),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Stream(stream) => stream.source.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Content::Stream(stream) => {
                stream.source.as_ref().map_or_else(SizeHint::default, Body::size_hint)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Mutex, task::Waker};
    use tracing::{
        Event, Metadata, Subscriber, dispatcher,
        span::{Attributes, Id, Record},
    };

    /// Notes the span of each line that is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Noted>>);

    #[derive(Default)]
    struct Noted {
        spans: Vec<&'static str>,
        entered: Vec<Id>,
        lines: Vec<Option<&'static str>>,
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "body_test"
        }
        fn new_span(&self, attributes: &Attributes<'_>) -> Id {
            let mut noted = self.0.lock().unwrap();
            noted.spans.push(attributes.metadata().name());
            Id::from_u64(noted.spans.len() as u64)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            let mut noted = self.0.lock().unwrap();
            let number = noted.entered.last().map(|id| usize::try_from(id.into_u64()).unwrap());
            let span = number.map(|number| noted.spans[number - 1]);
            noted.lines.push(span);
        }
        fn enter(&self, id: &Id) {
            self.0.lock().unwrap().entered.push(id.clone());
        }
        fn exit(&self, _: &Id) {
            self.0.lock().unwrap().entered.pop();
        }
    }

    /// Tells the log when it is asked for more, and when it is dropped.
    struct Talkative;

    impl Body for Talkative {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            tracing::info!(target: "body_test", "asked");
            Poll::Ready(None)
        }
    }

    impl Drop for Talkative {
        fn drop(&mut self) {
            tracing::info!(target: "body_test", "dropped");
        }
    }

    #[test]
    fn what_a_body_logs_while_it_is_sent_belongs_to_its_request() {
        let lines = Lines::default();
        let dispatch = tracing::Dispatch::new(lines.clone());
        dispatcher::with_default(&dispatch, || {
            let span = tracing::info_span!(target: "body_test", "request");
            let mut body = ResponseBody::within(span, Talkative);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut body).poll_frame(&mut cx).is_ready());
            drop(body);
            tracing::info!(target: "body_test", "elsewhere");
        });
        assert_eq!(lines.0.lock().unwrap().lines, [Some("request"), Some("request"), None]);
    }
}
