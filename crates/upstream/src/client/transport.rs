//! What carries requests: a lean HTTP/1.1 client where an upstream is reached without TLS and without
//! a proxy, which counts where the upstream stands beside the server, and a complete one for all
//! others.

use super::{
    HttpOptions, Request,
    direct::{Direct, DirectBody},
    failure::{Cause, Failure},
};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Direct(Arc<Direct>),
    Complete(reqwest::Client),
}

/// The body of an answer.
pub(crate) enum Body {
    Direct(DirectBody),
    Complete(reqwest::Body),
}

impl Transport {
    pub(super) fn direct(options: &HttpOptions) -> Self {
        Self::Direct(Arc::new(Direct::new(options)))
    }

    /// Sends the request once and waits for the head of the answer.
    pub(super) async fn send(&self, request: &Request) -> Result<http::Response<Body>, Failure> {
        match self {
            Self::Direct(direct) => Ok(direct.send(request).await?.map(Body::Direct)),
            Self::Complete(client) => {
                let mut builder = client
                    .request(request.0.method.clone(), request.0.url.clone())
                    .headers(request.0.headers.clone());
                if let Some(body) = &request.0.body {
                    builder = builder.body(body.clone());
                }
                let answer = builder.send().await.map_err(Failure::from_reqwest)?;
                Ok(http::Response::from(answer).map(Body::Complete))
            }
        }
    }
}

impl Body {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match self {
            Self::Direct(body) => body.poll_frame(cx),
            Self::Complete(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| Some(frame?.map_err(|error| error.without_url().into()))),
        }
    }
}
