//! The answer of an upstream, read with limits.

use super::{Request, bounded, failure};
use bytes::{Bytes, BytesMut};
use chaski_api::{Error, ErrorKind, Result};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// How much of an error answer is read.
const ERROR_BODY: usize = 64 * 1024;

/// The head of an answer, and its body to come. Dropping it cancels the request.
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    secrets: Vec<String>,
    body: ByteStream,
}

impl Response {
    pub(super) fn new(answer: reqwest::Response, request: &Request, idle: Duration) -> Self {
        let (parts, body) = http::Response::from(answer).into_parts();
        let body = ByteStream {
            body: Some(body),
            idle,
            deadline: request.deadline,
            timer: None,
            waiting: false,
            service: request.service.clone(),
        };
        Self { status: parts.status, headers: parts.headers, secrets: request.secrets(), body }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The media type without its parameters, in lower case; empty if there is none.
    pub fn media_type(&self) -> String {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = value.and_then(|value| value.split(';').next()).unwrap_or_default();
        media_type.trim().to_ascii_lowercase()
    }

    /// The answer itself if it is a success.
    ///
    /// # Errors
    /// What the upstream said went wrong, with its status.
    pub async fn success(self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let (status, headers, secrets) = (self.status, self.headers, self.secrets);
        let service = self.body.service.clone();
        // The status says enough if the rest cannot be read.
        let body = self.body.start_of(ERROR_BODY).await;
        Err(failure::from_answer(&service, status, &headers, &body, &secrets))
    }

    /// The whole body.
    ///
    /// # Errors
    /// `Upstream` if it has more than `max_bytes` bytes or is cut short, and `Timeout`.
    pub async fn bytes(self, max_bytes: usize) -> Result<Bytes> {
        let length = self.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > max_bytes) {
            return Err(too_large(&self.body.service, max_bytes));
        }
        let mut body = self.body;
        let Some(first) = body.next().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = body.next().await.transpose()? else {
            return if first.len() > max_bytes {
                Err(too_large(&body.service, max_bytes))
            } else {
                Ok(first)
            };
        };
        let mut whole = BytesMut::with_capacity(length.unwrap_or(first.len() + second.len()));
        let mut next = Some(second);
        whole.extend_from_slice(&first);
        while let Some(piece) = next {
            if whole.len() + piece.len() > max_bytes {
                return Err(too_large(&body.service, max_bytes));
            }
            whole.extend_from_slice(&piece);
            next = body.next().await.transpose()?;
        }
        Ok(whole.freeze())
    }

    /// The body in the pieces in which it comes.
    pub fn stream(self) -> ByteStream {
        self.body
    }

    /// The texts that must not appear in messages about this answer.
    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

fn too_large(service: &str, max_bytes: usize) -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("the answer of {service} has more than {max_bytes} bytes"))
}

/// The pieces of a body; the first error is the last item.
pub struct ByteStream {
    /// Nothing after the end or an error.
    body: Option<reqwest::Body>,
    idle: Duration,
    deadline: Option<Instant>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Whether the timer runs for the piece that is waited for.
    waiting: bool,
    service: Cow<'static, str>,
}

impl ByteStream {
    pub(crate) fn service(&self) -> &Cow<'static, str> {
        &self.service
    }

    /// At most `max_bytes` bytes, as far as they can be read.
    async fn start_of(mut self, max_bytes: usize) -> Bytes {
        let mut start = BytesMut::new();
        while let Some(Ok(piece)) = self.next().await {
            let room = max_bytes - start.len();
            start.extend_from_slice(&piece[..piece.len().min(room)]);
            if start.len() == max_bytes {
                break;
            }
        }
        start.freeze()
    }

    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.waiting {
            let until = tokio::time::Instant::now() + bounded(self.idle, self.deadline);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(until),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(until))),
            }
            self.waiting = true;
        }
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = false;
                    match frame.into_data() {
                        Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                        Ok(_) | Err(_) => {}
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    let error = failure::lost(&self.service, error);
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    self.body = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    if !self.late(cx) {
                        return Poll::Pending;
                    }
                    self.body = None;
                    let error = failure::late(&self.service, self.idle);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
