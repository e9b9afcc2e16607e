//! The fixed upstream: the same answer to every chat request, plain or as events.

use anyhow::Result;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{
    Response,
    header::{CONNECTION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    sync::OnceLock,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The model whose streams stay open: an event now, and the rest after a long while.
pub(crate) const ENDLESS: &str = "endless";
/// How long such a stream is silent.
const SILENCE: Duration = Duration::from_mins(10);

/// The events with text in a streamed answer.
pub(crate) const EVENTS: usize = 20;

/// Nanoseconds since the start of this process; what events carry, so that their way can be timed.
pub(crate) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) struct Upstream {
    pub(crate) port: u16,
    accepting: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Upstream {
    /// An upstream that waits `thinking` before it answers, and `between` before each event.
    pub(crate) async fn start(thinking: Duration, between: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _without_delay = socket.set_nodelay(true);
                let service = service_fn(move |request| answer(request, thinking, between));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Ok(Self { port, accepting })
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Where it decides on tokens: everybody is let in.
pub(crate) const AUTH: &str = "/auth";
const MODELS: &str = r#"{"object":"list","data":[{"id":"m","object":"model","created":1,"owned_by":"bench"},{"id":"endless","object":"model","created":1,"owned_by":"bench"}]}"#;
const PLAIN: &str = concat!(
    r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"#,
    r#""message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and "#,
    r#"then it rests in the shade of an old tree until the evening."},"logprobs":null,"#,
    r#""finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":24,"total_tokens":36}}"#,
);

async fn answer(
    request: http::Request<Incoming>,
    thinking: Duration,
    between: Duration,
) -> Result<Response<Body>, Infallible> {
    let is_chat = request.method() == http::Method::POST;
    let is_auth = request.uri().path() == AUTH;
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    if is_auth {
        return Ok(json(r#"{"principal":"bench"}"#));
    }
    if !is_chat {
        let mut models = json(MODELS);
        // The reference asks once in an event loop that it then closes, connections and all: its next
        // request fails when it takes up a connection of that loop.
        models.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
        return Ok(models);
    }
    pause(thinking).await;
    if has(&body, ENDLESS.as_bytes()) {
        return Ok(endless());
    }
    if has(&body, br#""tools":["#) && !has(&body, br#""role":"tool""#) {
        return Ok(call());
    }
    let wants_stream = has(&body, br#""stream":true"#);
    Ok(if wants_stream { events(between) } else { json(PLAIN) })
}

fn has(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|part| part == wanted)
}

/// A call of the tool `get_weather`, as events.
fn call() -> Response<Body> {
    let head = r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get_weather","arguments":""}}]}"#;
    let arguments =
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\": \"Quito\"}"}}]}"#;
    // As vLLM does; the reference takes its first event for a beginning without contents.
    let first = event(r#"{"role":"assistant","content":""}"#, "null");
    let text = first + &event(head, "null") + &event(arguments, "null");
    let text = text + &event("{}", r#""tool_calls""#) + "data: [DONE]\n\n";
    streamed(stream::once(async { Ok::<_, Infallible>(Frame::data(Bytes::from(text))) }))
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn json(text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// One event: `delta` is JSON, `finish` too.
fn event(delta: &str, finish: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]}}"#
    ) + "\n\n"
}

fn events(between: Duration) -> Response<Body> {
    let pieces = stream::iter(0..EVENTS + 2).then(move |number| async move {
        if number > 0 {
            pause(between).await;
        }
        let text = match number {
            0 => event(r#"{"role":"assistant","content":""}"#, "null"),
            number if number <= EVENTS => event(&format!(r#"{{"content":"t{} "}}"#, now()), "null"),
            _ => event("{}", r#""stop""#) + "data: [DONE]\n\n",
        };
        // Each event leaves on its own, as from an engine.
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Frame::data(Bytes::from(text)))
    });
    streamed(pieces)
}

/// One event, and then nothing for a long time.
fn endless() -> Response<Body> {
    let first = Frame::data(Bytes::from(event(r#"{"role":"assistant","content":"a"}"#, "null")));
    let last = async {
        pause(SILENCE).await;
        Frame::data(Bytes::from(event("{}", r#""stop""#) + "data: [DONE]\n\n"))
    };
    streamed(stream::once(async { first }).chain(stream::once(last)).map(Ok::<_, Infallible>))
}

fn streamed<S>(pieces: S) -> Response<Body>
where
    S: futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
{
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(pieces)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
    response
}
