//! What carries requests: a bare HTTP/1.1 client where an upstream is reached without TLS and
//! without a proxy, and a complete one for all others. The bare one takes a third of the
//! instructions, which counts where the upstream stands beside the server.

use super::{
    HttpOptions, Request,
    failure::{Cause, Failure},
};
use bytes::Bytes;
use http::{HeaderValue, Uri, header};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec::IntoIter,
};
use tower::Service;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);
const KEEP_ALIVE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Bare(Arc<Bare>),
    Complete(reqwest::Client),
}

/// A client for `http` addresses.
#[derive(Debug, Clone)]
pub(crate) struct Bare {
    client: Client<HttpConnector<Resolver>, Full<Bytes>>,
    user_agent: HeaderValue,
}

/// The body of an answer.
pub(crate) enum Body {
    Bare(Incoming),
    Complete(reqwest::Body),
}

impl Transport {
    pub(super) fn bare(options: &HttpOptions) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEP_ALIVE));
        connector.set_connect_timeout(Some(options.connect_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let user_agent = HeaderValue::from_str(&options.user_agent);
        let user_agent = user_agent.unwrap_or_else(|_| HeaderValue::from_static("chaski"));
        Self::Bare(Arc::new(Bare { client, user_agent }))
    }

    /// Sends the request once to `uri`, which is its address, and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        request: &Request,
        uri: Uri,
    ) -> Result<http::Response<Body>, Failure> {
        match self {
            Self::Bare(bare) => bare.send(request, uri).await,
            Self::Complete(client) => {
                let mut builder = client
                    .request(request.method.clone(), request.url.clone())
                    .headers(request.headers.clone());
                if let Some(body) = &request.body {
                    builder = builder.body(body.clone());
                }
                let answer = builder.send().await.map_err(Failure::from_reqwest)?;
                Ok(http::Response::from(answer).map(Body::Complete))
            }
        }
    }
}

impl Bare {
    async fn send(&self, request: &Request, uri: Uri) -> Result<http::Response<Body>, Failure> {
        let body = Full::new(request.body.clone().unwrap_or_default());
        let mut message = http::Request::new(body);
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = uri;
        let headers = message.headers_mut();
        headers.clone_from(&request.headers);
        headers.entry(header::USER_AGENT).or_insert_with(|| self.user_agent.clone());
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let answer = self.client.request(message).await.map_err(|error| {
            if error.is_connect() {
                Failure::Unreached(error.into())
            } else {
                Failure::Unanswered(error.into())
            }
        })?;
        Ok(answer.map(Body::Bare))
    }
}

impl Body {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match self {
            Self::Bare(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| Some(frame?.map_err(Into::into)))
            }
            Self::Complete(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| Some(frame?.map_err(|error| error.without_url().into()))),
        }
    }
}

/// The resolver of the system, whose failures are told apart from others.
#[derive(Debug, Clone)]
struct Resolver(GaiResolver);

/// A name has no address.
#[derive(Debug)]
pub(super) struct Unresolved(io::Error);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name cannot be resolved: {}", self.0)
    }
}

impl std::error::Error for Unresolved {}

impl Service<Name> for Resolver {
    type Response = IntoIter<std::net::SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.0.call(name);
        Box::pin(async move {
            let found = found.await.map_err(Unresolved)?;
            Ok(found.collect::<Vec<_>>().into_iter())
        })
    }
}
