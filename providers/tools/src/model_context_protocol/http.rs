//! Streamable HTTP: the transport of the SDK over the one client for everything outbound, which
//! guards addresses and bounds answers.

use bytes::Bytes;
use chaski_api::Error;
use chaski_upstream::{ByteStream, Http, Request, Response, Url};
use futures_util::{StreamExt, stream::BoxStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::{
        StreamableHttpClientTransport,
        common::client_side_sse::ExponentialBackoff,
        streamable_http_client::{
            SseError, StreamableHttpClient, StreamableHttpClientTransportConfig,
            StreamableHttpError, StreamableHttpPostResponse,
        },
    },
};
use sse_stream::{Sse, SseStream};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The most bytes of a message of a server.
pub(super) const MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// How long a stream of notifications may be silent.
const SILENCE: Duration = Duration::from_hours(24);
/// How often a stream that broke off is asked for again.
const RECONNECTIONS: usize = 3;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";

/// An error of the outbound client, as the SDK carries it.
#[derive(Debug)]
pub(super) struct Failed(pub(super) Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

type Outcome<T> = Result<T, StreamableHttpError<Failed>>;
pub(super) type Events = BoxStream<'static, Result<Sse, SseError>>;

/// A server at an address.
#[derive(Clone)]
pub(super) struct Client {
    http: Http,
    /// What messages call it.
    name: Arc<str>,
    /// Those of the caller and of the configuration.
    headers: Arc<HeaderMap>,
    /// For an answer to begin, and between two pieces of it.
    limit: Duration,
}

impl Client {
    pub(super) fn new(http: Http, name: &str, headers: HeaderMap, limit: Duration) -> Self {
        Self { http, name: name.into(), headers: Arc::new(headers), limit }
    }

    /// The transport of the SDK to this server.
    pub(super) fn transport(self, url: &Url) -> StreamableHttpClientTransport<Self> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
        let mut backoff = ExponentialBackoff::default();
        backoff.max_times = Some(RECONNECTIONS);
        config.retry_config = Arc::new(backoff);
        StreamableHttpClientTransport::with_client(self, config)
    }

    fn request(&self, method: Method, url: Url, accept: &'static str) -> Request {
        Request::new(format!("MCP server `{}`", self.name), method, url)
            .headers(&self.headers)
            .header(header::ACCEPT, HeaderValue::from_static(accept))
            .first_byte_timeout(self.limit)
            .read_timeout(self.limit)
    }

    /// Posts a message.
    pub(super) async fn post(
        &self,
        url: Url,
        message: &ClientJsonRpcMessage,
        more: &HeaderMap,
    ) -> Result<Response, Error> {
        let body = serde_json::to_vec(message)
            .map_err(|error| Error::internal("a message cannot be written").caused_by(error))?;
        let accept = "application/json, text/event-stream";
        self.http.send(self.request(Method::POST, url, accept).headers(more).json(body)).await
    }

    /// Asks for a stream of events.
    pub(super) async fn listen(&self, url: Url, more: &HeaderMap) -> Result<Response, Error> {
        let request = self.request(Method::GET, url, EVENT_STREAM).headers(more);
        self.http.send(request.read_timeout(SILENCE)).await
    }
}

/// The events of an answer. One that is too large ends it.
pub(super) fn events(body: ByteStream) -> Events {
    let pending = Arc::new(AtomicUsize::new(0));
    let counted = {
        let pending = Arc::clone(&pending);
        body.map(move |piece| -> Result<Bytes, Failed> {
            let piece = piece.map_err(Failed)?;
            let before = pending.fetch_add(piece.len(), Ordering::Relaxed);
            if before.saturating_add(piece.len()) > MESSAGE_BYTES {
                let message = format!("an event has more than {MESSAGE_BYTES} bytes");
                return Err(Failed(super::failure::upstream(message)));
            }
            Ok(piece)
        })
    };
    let events = SseStream::from_bytes_stream(counted);
    let mut over = false;
    events
        .inspect(move |_| pending.store(0, Ordering::Relaxed))
        .take_while(move |event| {
            let go_on = !over;
            over = event.is_err();
            std::future::ready(go_on)
        })
        .boxed()
}

pub(super) fn is_events(response: &Response) -> bool {
    response.media_type() == EVENT_STREAM
}

/// The answer, or what the server said went wrong.
pub(super) async fn succeeded(response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_redirection() {
        // A redirect could lead the credentials of the caller elsewhere.
        let message = format!("it redirects (status {status}); give the address that it means");
        let kind = chaski_api::ErrorKind::Upstream { status: Some(status.as_u16()) };
        return Err(Error::new(kind, message));
    }
    response.success().await
}

fn address(uri: &str) -> Outcome<Url> {
    Url::parse(uri).map_err(|_| failed(Error::invalid(format!("`{uri}` is not an address"))))
}

fn failed(error: Error) -> StreamableHttpError<Failed> {
    StreamableHttpError::Client(Failed(error))
}

fn headers(
    session: Option<&str>,
    last_event: Option<&str>,
    custom: HashMap<HeaderName, HeaderValue>,
) -> HeaderMap {
    let mut headers: HeaderMap = custom.into_iter().collect();
    let given = [(SESSION_ID, session), (LAST_EVENT_ID, last_event)];
    for (name, value) in given {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

impl StreamableHttpClient for Client {
    type Error = Failed;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<StreamableHttpPostResponse> {
        let more = headers(session_id.as_deref(), None, custom_headers);
        let response = self.post(address(&uri)?, &message, &more).await.map_err(failed)?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND && session_id.is_some() {
            return Err(StreamableHttpError::SessionExpired);
        }
        let is_request = matches!(message, ClientJsonRpcMessage::Request(_));
        let response = succeeded(response).await.map_err(failed)?;
        if !is_request || matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let session = response.headers().get(SESSION_ID);
        let session = session.and_then(|value| value.to_str().ok()).map(str::to_owned);
        if is_events(&response) {
            return Ok(StreamableHttpPostResponse::Sse(events(response.stream()), session));
        }
        let media_type = response.media_type();
        if media_type != "application/json" {
            return Err(StreamableHttpError::UnexpectedContentType(Some(media_type)));
        }
        let body = response.bytes(MESSAGE_BYTES).await.map_err(failed)?;
        let message: ServerJsonRpcMessage = serde_json::from_slice(&body)?;
        Ok(StreamableHttpPostResponse::Json(message, session))
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<()> {
        let more = headers(Some(&session_id), None, custom_headers);
        let request = self.request(Method::DELETE, address(&uri)?, "application/json");
        let response = self.http.send(request.headers(&more)).await.map_err(failed)?;
        match response.status() {
            StatusCode::METHOD_NOT_ALLOWED => Ok(()),
            _ => succeeded(response).await.map(drop).map_err(failed),
        }
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Outcome<Events> {
        let more = headers(session_id.as_deref(), last_event_id.as_deref(), custom_headers);
        let response = self.listen(address(&uri)?, &more).await.map_err(failed)?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        let response = succeeded(response).await.map_err(failed)?;
        if !is_events(&response) {
            return Err(StreamableHttpError::UnexpectedContentType(Some(response.media_type())));
        }
        Ok(events(response.stream()))
    }
}
