//! The way of a request: limits, request id, authentication, decoding, handler, answer.

use crate::{
    app::{Action, App, Page, Target},
    auth::{Question, credentials_shown},
    body::{RequestBody, ResponseBody},
    cors, docs_page,
    failures::{self, Recipient},
    hosts,
    input::{self, Input},
    json, log, request_id,
    router::{Found, Parameters},
    routes::{Answered, Handler, Handling},
    spans, sse,
    streamed::Asked,
    trail, version,
};
use bytes::{Bytes, BytesMut};
use chaski_api::{Api, Error, ErrorKind, Face, Result};
use chaski_provider::{ApiHeaders, Context, Principal, ProviderData, SpanContext};
use chaski_stack::Served;
use chaski_upstream::Repeats;
use futures_util::{FutureExt, StreamExt};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header,
    request::Parts,
};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use std::{
    convert::Infallible, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant,
};
use tokio::time::{timeout, timeout_at};
use tracing::Instrument;

/// Credentials of the caller for providers, as a JSON object.
const PROVIDER_DATA: [HeaderName; 2] = [
    HeaderName::from_static("x-chaski-provider-data"),
    HeaderName::from_static("x-llamastack-provider-data"),
];

/// The id of a request, as Anthropic's clients look for it.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// What Anthropic's clients say about the API that they speak.
const ANTHROPIC_HEADERS: [&str; 2] = ["anthropic-version", "anthropic-beta"];

/// Where a request came in.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// The address of this machine that it came to.
    pub(crate) local: SocketAddr,
    pub(crate) tls: bool,
}

/// Answers a request, whatever happens. What is awaited is small, because each connection has room
/// for it.
pub(crate) fn answer(
    app: App,
    arrival: Arrival,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let id = request_id::of(request.headers());
    let trace = tracing::field::Empty;
    let span = tracing::info_span!(target: "server", "request", id = &*id, trace);
    guarded(app, arrival, request, id).map(Ok).instrument(span)
}

fn guarded(
    app: App,
    arrival: Arrival,
    request: Request<Incoming>,
    id: Arc<str>,
) -> impl Future<Output = Response<ResponseBody>> {
    let since = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let origin = cors::allowed_origin(request.headers(), &app.options.cors);
    let id_value = HeaderValue::from_str(&id);
    let stranger = Recipient { face: Face::LlamaStack, request_id: Arc::clone(&id) };
    let work = Box::pin(work(app, arrival, request, id, since));
    async move {
        // A fault in one request is the fault of that request alone.
        let mut response = AssertUnwindSafe(work)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| refuse(&Error::internal("a handler panicked"), &stranger));
        let headers = response.headers_mut();
        if let Ok(id) = id_value {
            headers.insert(request_id::HEADER, id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(origin) = origin {
            cors::adorn(headers, origin);
        }
        log::answered(&method, uri.path(), response.status(), since);
        response
    }
}

async fn work(
    app: App,
    arrival: Arrival,
    request: Request<Incoming>,
    id: Arc<str>,
    since: Instant,
) -> Response<ResponseBody> {
    let (head, body) = request.into_parts();
    let (body, rest) = RequestBody::watched(body);
    let mut response = routed(app, arrival, &head, body, id, since).await;
    if rest.may_come() && head.version < Version::HTTP_2 {
        // The connection ends with this answer, because its next request cannot be found behind a
        // body that nobody reads. A client that is not told would send into a closed connection.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn routed(
    app: App,
    arrival: Arrival,
    head: &Parts,
    body: RequestBody,
    id: Arc<str>,
    since: Instant,
) -> Response<ResponseBody> {
    let (found, face) = app.find(&head.method, head.uri.path());
    let to = Recipient { face, request_id: id };
    let mut response = match admit(&app, arrival, head, &found, &to, since).await {
        Err(response) => *response,
        Ok(mut cx) => match found {
            Found::Nothing => not_found(&to, head),
            Found::OtherMethods(methods) => other_method(&to, &methods),
            Found::Elsewhere(path) => elsewhere(arrival, head, &path),
            Found::Endpoint(target, parameters) => {
                let trail = Arc::clone(&cx.trail);
                let span = match &target.action {
                    Action::Endpoint(route) => spans::begin(&app, &route.spec, head, &mut cx),
                    Action::Reserved(_) | Action::Page(_) => None,
                };
                let served = serve(&app, target, parameters, cx, &to, head, body).await;
                let mut response = served.unwrap_or_else(|error| refuse(&error, &to));
                let status = response.status();
                trail::adorn(response.headers_mut(), status, &trail);
                spans::until_sent(span, response)
            }
        },
    };
    if face == Face::Anthropic
        && let Ok(id) = HeaderValue::from_str(&to.request_id)
    {
        response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id);
    }
    response
}

/// Who asks, and whether that may be. Nothing of the body has been read when this returns.
async fn admit(
    app: &App,
    arrival: Arrival,
    head: &Parts,
    found: &Found<'_, Target>,
    to: &Recipient,
    since: Instant,
) -> Result<Context, Box<Response<ResponseBody>>> {
    let refused = |error: Error| Box::new(refuse(&error, to));
    let is_public = matches!(found, Found::Endpoint(target, _) if target.public);
    if app.is_draining() && !is_public {
        let mut response = refused(Error::unavailable("the server is shutting down"));
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Err(response);
    }
    let mut principal = None;
    if let Some(auth) = &app.auth {
        if let Some(response) = cors::preflight(&head.method, &head.headers, &app.options.cors) {
            return Err(Box::new(response));
        }
        // Probes show no credentials. Where some are shown, they are to be right.
        if !is_public || credentials_shown(&head.headers) {
            let (path, query) = (head.uri.path(), head.uri.query());
            let question = Question { path, query, headers: &head.headers };
            match auth.check(question).await {
                Ok(found) => principal = Some(found),
                Err(error) if is_public && error.kind != ErrorKind::Unauthenticated => {}
                Err(error) => return Err(refused(error)),
            }
        }
    } else {
        let names = &app.options.allowed_hosts;
        hosts::check_host(&head.uri, &head.headers, arrival.local, names).map_err(refused)?;
        if let Some(response) = cors::preflight(&head.method, &head.headers, &app.options.cors) {
            return Err(Box::new(response));
        }
        hosts::check_origin(&head.method, &head.uri, &head.headers, &app.options.cors)
            .map_err(refused)?;
    }
    if app.options.version_check
        && let Some(response) = version::refusal(&head.headers, &app.options.version)
    {
        return Err(Box::new(response));
    }
    Ok(context(app, &head.headers, to, principal, since))
}

fn context(
    app: &App,
    headers: &HeaderMap,
    to: &Recipient,
    principal: Option<Arc<Principal>>,
    since: Instant,
) -> Context {
    Context {
        request_id: Arc::clone(&to.request_id),
        principal,
        provider_data: provider_data(headers, app.options.limits.json_depth),
        api_headers: api_headers(headers, to.face),
        deadline: since.checked_add(app.options.limits.total_timeout),
        cache: trail::cache_control(headers),
        trail: Arc::default(),
        spans: SpanContext::default(),
        repeats: Repeats::default(),
    }
}

/// The caller's credentials for providers. What cannot be read counts as not given.
fn provider_data(headers: &HeaderMap, depth: usize) -> ProviderData {
    let given = PROVIDER_DATA.iter().find_map(|name| headers.get(name));
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return ProviderData::default();
    };
    if let Ok(Value::Object(values)) = json::parse(given.as_bytes(), depth) {
        return ProviderData::new(values);
    }
    tracing::warn!(target: "server", "the provider-data header is not a JSON object");
    ProviderData::default()
}

/// What the caller says about the API that it speaks; of several values, all.
fn api_headers(headers: &HeaderMap, face: Face) -> ApiHeaders {
    if face != Face::Anthropic {
        return ApiHeaders::default();
    }
    let values = |name: &'static str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let values: Vec<&str> = values.collect();
        (!values.is_empty()).then(|| (name, values.join(",")))
    };
    ApiHeaders::new(ANTHROPIC_HEADERS.into_iter().filter_map(values).collect())
}

/// Answers a request that was admitted and has somewhere to go.
async fn serve(
    app: &App,
    target: &Target,
    parameters: Parameters,
    cx: Context,
    to: &Recipient,
    head: &Parts,
    body: RequestBody,
) -> Result<Response<ResponseBody>> {
    let (spec, route) = match &target.action {
        Action::Page(page) => return Ok(show(page)),
        Action::Reserved(spec) => (spec, None),
        Action::Endpoint(route) => (&route.spec, Some(route)),
    };
    match app.stack.served(spec.api) {
        Served::Yes => {}
        Served::NotServed => return Ok(not_found(to, head)),
        Served::Unavailable(reason) => return Err(Error::unsupported(reason)),
    }
    let Some(route) = route else {
        return Err(Error::unsupported(format!(
            "this build does not serve `{}` of `{}` yet",
            spec.operation, spec.api
        )));
    };
    // What answers from memory answers however much else goes on.
    let permit = if matches!(route.spec.api, Api::Inspect | Api::Providers) {
        None
    } else {
        let permit = Arc::clone(&app.permits).try_acquire_owned();
        Some(
            permit
                .map_err(|_| Error::unavailable("the server has too many requests to work on"))?,
        )
    };
    let response = match &route.handling {
        Handling::Typed(handler) => match read(app, head, body).await {
            Ok(body) => {
                let query = head.uri.query().map(str::to_owned);
                let content_type = Input::content_type(&head.headers);
                let input = Input { body, content_type, query, parameters };
                run(app, handler.as_ref(), to, cx, input).await
            }
            Err(unread) => unread.into_answer(to),
        },
        Handling::Raw(handler) => {
            let deadline = cx.deadline.unwrap_or_else(Instant::now);
            let headers = head.headers.clone();
            let query = head.uri.query().map(str::to_owned);
            let work = handler(app.clone(), cx, Asked { headers, body, parameters, query });
            let answered = timeout_at(deadline.into(), work).await.unwrap_or(Err(Unread::Late));
            answered.or_else(|unread| unread.into_answer(to))
        }
    }?;
    Ok(match permit {
        Some(permit) => response.map(|body| body.holding(permit)),
        None => response,
    })
}

/// Runs the handler and waits for the answer to begin.
async fn run(
    app: &App,
    handler: &Handler,
    to: &Recipient,
    cx: Context,
    input: Input,
) -> Result<Response<ResponseBody>> {
    let limits = &app.options.limits;
    let deadline = cx.deadline.unwrap_or_else(Instant::now);
    let slow = || {
        let seconds = limits.first_byte_timeout.as_secs_f64();
        Error::new(ErrorKind::Timeout, format!("there was no answer within {seconds} s"))
    };
    let spans = cx.spans.clone();
    let work = handler(app.clone(), cx, input);
    let mut events = match timeout(limits.first_byte_timeout, work).await.map_err(|_| slow())?? {
        Answered::Json(text) => return Ok(failures::json_response(StatusCode::OK, text)),
        Answered::Events(events) => events,
    };
    // A stream that fails before its first event has a status that says so. One that takes long
    // begins without it, so that nobody in between gives up.
    let first = timeout(app.options.keep_alive, events.next()).await.ok();
    let first = match first {
        Some(Some(Err(error))) if !app.options.stream_errors_as_events => return Err(error),
        Some(first) => first,
        None => None,
    };
    if spans.is_kept() {
        events = spans::watched(spans, first.as_ref(), events);
    }
    Ok(sse::response(first, events, to.clone(), app.options.keep_alive, deadline.into()))
}

fn show(page: &Page) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(page.text.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(page.media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(docs_page::POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

pub(crate) enum Unread {
    Refused(Error),
    Late,
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Unread {
    fn into_answer(self, to: &Recipient) -> Result<Response<ResponseBody>> {
        match self {
            Self::Refused(error) => Err(error),
            Self::Late => Ok(late(to)),
        }
    }
}

/// The body, unless it is too large or too slow.
async fn read(app: &App, head: &Parts, mut body: RequestBody) -> Result<Bytes, Unread> {
    let limits = &app.options.limits;
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let refused = |error| Err(Unread::Refused(error));
    input::uncompressed(&head.headers)?;
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return refused(input::too_large(limits.body_bytes));
    }
    let gather = async {
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        loop {
            let frame =
                timeout(limits.body_timeout, body.frame()).await.map_err(|_| Unread::Late)?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| {
                Unread::Refused(Error::invalid("the body could not be read").caused_by(error))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let read = first.as_ref().map_or(0, Bytes::len).max(rest.len());
            if read + data.len() > limits.body_bytes {
                return refused(input::too_large(limits.body_bytes));
            }
            // Most bodies come in one piece, which is not copied.
            match &first {
                None => first = Some(data),
                Some(begin) => {
                    if rest.is_empty() {
                        rest.extend_from_slice(begin);
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
        Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
    };
    timeout(limits.first_byte_timeout, gather).await.unwrap_or(Err(Unread::Late))
}

/// The answer to a request that failed, which is logged here.
fn refuse(error: &Error, to: &Recipient) -> Response<ResponseBody> {
    log::failure(error);
    failures::response(error, to)
}

/// The texts here are those of the reference.
fn not_found(to: &Recipient, head: &Parts) -> Response<ResponseBody> {
    match to.face {
        Face::LlamaStack => {
            failures::json_response(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#)
        }
        Face::OpenAi | Face::Anthropic => {
            let (method, path) = (&head.method, head.uri.path());
            let message = format!("unknown request URL: {method} {path}");
            failures::response(&Error::not_found(message).with_code("unknown_url"), to)
        }
    }
}

fn other_method(to: &Recipient, methods: &[&'static str]) -> Response<ResponseBody> {
    let mut response = match to.face {
        Face::LlamaStack => {
            let text = r#"{"detail":"Method Not Allowed"}"#;
            failures::json_response(StatusCode::METHOD_NOT_ALLOWED, text)
        }
        Face::OpenAi | Face::Anthropic => {
            let error = Error::invalid("this path does not take this method");
            failures::response(&error.with_code("method_not_supported"), to)
        }
    };
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

fn elsewhere(arrival: Arrival, head: &Parts, path: &str) -> Response<ResponseBody> {
    let path = percent_encoding::utf8_percent_encode(path, PATH).to_string();
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let scheme = if arrival.tls { "https" } else { "http" };
    let location = match hosts::authority(&head.uri, &head.headers) {
        Some(Ok(host)) => format!("{scheme}://{host}{path}{query}"),
        Some(Err(())) | None => format!("{path}{query}"),
    };
    let mut response = Response::new(ResponseBody::text(""));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What must not stand in a path as it is.
const PATH: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'%');

fn late(to: &Recipient) -> Response<ResponseBody> {
    let message = "the body did not arrive in time";
    let mut response = failures::response(&Error::new(ErrorKind::Timeout, message), to);
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
