//! The answer of an upstream, read with limits.

use super::{
    End, Http, Request, bounded,
    failure::{self, Phase},
    places::Place,
    transport::Body,
};
use bytes::{Bytes, BytesMut};
use chaski_api::{Error, ErrorKind, Result};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, StatusCode, header};
use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// How much of an error answer is read.
const ERROR_BODY: usize = 64 * 1024;

/// The head of an answer, and its body to come. Dropping it cancels the request.
pub struct Response(Box<Answer>);

/// What an answer has. It is handed through many calls, each of which would copy it.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    secrets: Vec<String>,
    body: ByteStream,
}

impl Response {
    /// `idle` and `end` limit the body; `place` is held until it ends.
    pub(super) fn new(
        answer: http::Response<Body>,
        request: &Request,
        http: Http,
        (idle, end): (Duration, Option<End>),
        place: Option<Place>,
    ) -> Self {
        let (parts, body) = answer.into_parts();
        let body = ByteStream {
            body: Some(body),
            idle,
            end,
            timer: None,
            waiting: None,
            service: request.0.service.clone(),
            http,
            place,
            trailers: None,
        };
        let (status, headers) = (parts.status, parts.headers);
        Self(Box::new(Answer { status, headers, secrets: request.secrets(), body }))
    }

    /// An answer that no upstream sent.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn scripted(answer: reqwest::Response, request: &Request, http: Http) -> Self {
        let answer = http::Response::from(answer).map(Body::Complete);
        Self::new(answer, request, http, (Duration::from_mins(1), None), None)
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The media type without its parameters, in lower case; empty if there is none.
    pub fn media_type(&self) -> String {
        let value = self.0.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = value.and_then(|value| value.split(';').next()).unwrap_or_default();
        media_type.trim().to_ascii_lowercase()
    }

    /// The answer itself if it is a success.
    ///
    /// # Errors
    /// What the upstream said went wrong, with its status.
    pub async fn success(mut self) -> Result<Self> {
        if self.0.status.is_success() {
            return Ok(self);
        }
        // The status says enough if the rest cannot be read.
        let start = self.0.body.start_of(ERROR_BODY).await;
        let Answer { status, headers, secrets, body } = &*self.0;
        Err(failure::from_answer(&body.service, *status, headers, &start, secrets))
    }

    /// The whole body.
    ///
    /// # Errors
    /// `Upstream` if it has more than `max_bytes` bytes or is cut short, and `Timeout`.
    pub async fn bytes(self, max_bytes: usize) -> Result<Bytes> {
        self.whole(max_bytes).await.map(|(body, _)| body)
    }

    /// The whole body, and the headers behind it.
    pub(crate) async fn whole(mut self, max_bytes: usize) -> Result<(Bytes, HeaderMap)> {
        let length = self.0.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > max_bytes) {
            return Err(too_large(&self.0.body.service, max_bytes));
        }
        let body = &mut self.0.body;
        let Some(first) = body.next().await.transpose()? else {
            return Ok((Bytes::new(), body.trailers()));
        };
        let Some(second) = body.next().await.transpose()? else {
            return if first.len() > max_bytes {
                Err(too_large(&body.service, max_bytes))
            } else {
                Ok((first, body.trailers()))
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
        Ok((whole.freeze(), body.trailers()))
    }

    /// The body in the pieces in which it comes.
    pub fn stream(self) -> ByteStream {
        self.0.body
    }

    /// The texts that must not appear in messages about this answer.
    pub(crate) fn secrets(&self) -> &[String] {
        &self.0.secrets
    }
}

fn too_large(service: &str, max_bytes: usize) -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("the answer of {service} has more than {max_bytes} bytes"))
}

/// The pieces of a body; the first error is the last item.
pub struct ByteStream {
    /// Nothing after the end or an error.
    body: Option<Body>,
    /// How long a piece may take.
    idle: Duration,
    /// When all of them must have come.
    end: Option<End>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    /// What the timer runs for, while a piece is waited for.
    waiting: Option<(Phase, Duration)>,
    service: Cow<'static, str>,
    http: Http,
    /// Free for another call once the body has ended.
    place: Option<Place>,
    /// The headers behind the body, as far as they have come.
    trailers: Option<Box<HeaderMap>>,
}

impl ByteStream {
    pub(crate) fn service(&self) -> &Cow<'static, str> {
        &self.service
    }

    fn trailers(&mut self) -> HeaderMap {
        self.trailers.take().map(|trailers| *trailers).unwrap_or_default()
    }

    /// At most `max_bytes` bytes, as far as they can be read.
    async fn start_of(&mut self, max_bytes: usize) -> Bytes {
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

    /// Which time limit has passed, if one has.
    fn late(&mut self, cx: &mut Context<'_>) -> Option<(Phase, Duration)> {
        let waiting = self.waiting.unwrap_or_else(|| {
            let (until, phase, limit) = bounded(self.idle, Phase::Pause, self.end);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(until),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(until))),
            }
            (phase, limit)
        });
        self.waiting = Some(waiting);
        let over = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        over.then_some(waiting)
    }

    /// Notes the end of the body, and gives the place to the next call.
    fn over(&mut self) {
        self.body = None;
        self.place = None;
    }

    fn given_up(&mut self, (phase, limit): (Phase, Duration)) -> Error {
        self.over();
        if phase != Phase::Caller {
            self.http.broke("an answer took too long");
        }
        failure::late(&self.http.named(&self.service), phase, limit)
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            match body.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.waiting = None;
                    // Pieces that never keep anybody waiting must end some time, too.
                    if let Some(end) = this.end.filter(|end| end.at <= Instant::now()) {
                        return Poll::Ready(Some(Err(this.given_up((end.phase, end.limit)))));
                    }
                    match frame.into_data() {
                        Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                        Ok(_) => {}
                        Err(frame) => {
                            if let Ok(trailers) = frame.into_trailers() {
                                this.trailers = Some(Box::new(trailers));
                            }
                        }
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.over();
                    this.http.broke("an answer broke off");
                    let error = failure::lost(&this.http.named(&this.service), error);
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    this.over();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let Some(limit) = this.late(cx) else { return Poll::Pending };
                    return Poll::Ready(Some(Err(this.given_up(limit))));
                }
            }
        }
    }
}
