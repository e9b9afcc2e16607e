//! HTTP/1.1 to upstreams that are reached without TLS and without a proxy (RFC 9112).
//!
//! A request is written and its answer is read in the task that asks, with no channel and no other
//! task between: the parts of a client that can also do something else cost more than the request.
//! Dropping the answer before its end closes the connection, which cancels the work behind it.

mod body;
mod connection;
mod pool;
#[cfg(test)]
mod tests;

use super::{
    HttpOptions, Request,
    failure::{Cause, Failure},
    request::Message,
};
use bytes::Bytes;
use connection::{Answer, Connection, Lost};
use http::{HeaderName, HeaderValue, Method, header};
use hyper_util::client::legacy::connect::{
    HttpConnector,
    dns::{GaiResolver, Name},
};
use pool::{Home, Pool};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec::IntoIter,
};
use tower::Service;
use url::{Position, Url};

pub(crate) use body::DirectBody;

/// How often the system asks whether a silent peer is still there.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// Bodies up to this many bytes are written together with the head.
const TOGETHER: usize = 16 * 1024;

/// A client for `http` addresses.
#[derive(Debug)]
pub(crate) struct Direct {
    connector: HttpConnector<Resolver>,
    pool: Arc<Pool>,
    user_agent: HeaderValue,
}

impl Direct {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEP_ALIVE));
        connector.set_connect_timeout(Some(options.connect_timeout));
        let user_agent = HeaderValue::from_str(&options.user_agent);
        let user_agent = user_agent.unwrap_or_else(|_| HeaderValue::from_static("chaski"));
        Self { connector, pool: Arc::default(), user_agent }
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        request: &Request,
    ) -> Result<http::Response<DirectBody>, Failure> {
        let (head, rest) = self.message(request);
        let place = authority(&request.0.url);
        loop {
            let (home, kept) = self.pool.take(place);
            let is_kept = kept.is_some();
            let connection = match kept {
                Some(connection) => connection,
                None => self.connect(request).await?,
            };
            match connection.exchange(&head, &rest, &request.0.method).await {
                Ok(answer) => return Ok(answered(answer, home)),
                // A connection that was kept can turn out to be closed before anything has arrived.
                Err(Lost::Unused) if is_kept => {}
                // To ask again changes nothing.
                Err(Lost::Cut | Lost::Io(_)) if is_kept && request.0.method.is_safe() => {}
                Err(lost) => return Err(Failure::Unanswered(lost.into())),
            }
        }
    }

    async fn connect(&self, request: &Request) -> Result<Box<Connection>, Failure> {
        let uri = request.0.url.as_str().parse();
        let uri = uri.map_err(|error: http::uri::InvalidUri| Failure::Invalid(error.into()))?;
        let mut connector = self.connector.clone();
        let unreached = |error: Cause| Failure::Unreached(error);
        poll_fn(|cx| connector.poll_ready(cx)).await.map_err(|error| unreached(error.into()))?;
        let stream = connector.call(uri).await.map_err(|error| unreached(error.into()))?;
        Ok(Box::new(Connection::new(stream.into_inner())))
    }

    /// The head of a request together with its body, or the head and then a long body.
    fn message(&self, request: &Request) -> (Vec<u8>, Bytes) {
        let Message { method, url, headers, .. } = &*request.0;
        let body = request.0.body.clone().unwrap_or_default();
        let together = if body.len() <= TOGETHER { &body[..] } else { &[] };
        let mut head = Vec::with_capacity(512 + 2 * url.as_str().len() + together.len());
        head.extend_from_slice(method.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(url.path().as_bytes());
        if let Some(query) = url.query() {
            head.push(b'?');
            head.extend_from_slice(query.as_bytes());
        }
        head.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        head.extend_from_slice(host.unwrap_or_else(|| authority(url).as_bytes()));
        head.extend_from_slice(b"\r\n");
        let own = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        for (name, value) in headers.iter().filter(|(name, _)| !own.contains(name)) {
            line(&mut head, name, value);
        }
        let mut default = |name: HeaderName, value: &HeaderValue| {
            if !headers.contains_key(&name) {
                line(&mut head, &name, value);
            }
        };
        default(header::USER_AGENT, &self.user_agent);
        default(header::ACCEPT, &HeaderValue::from_static("*/*"));
        let empty = body.is_empty() && matches!(*method, Method::GET | Method::HEAD);
        if !empty {
            head.extend_from_slice(b"content-length: ");
            head.extend_from_slice(body.len().to_string().as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(together);
        let rest = if together.is_empty() { body } else { Bytes::new() };
        (head, rest)
    }
}

fn answered(answer: Answer, home: Home) -> http::Response<DirectBody> {
    let Answer { status, headers, framing, connection, reusable } = answer;
    let home = reusable.then_some(home);
    let mut response = http::Response::new(DirectBody::new(connection, framing, home));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn line(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// Where the upstream is: its host and, where that is not the usual one, its port.
fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
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
