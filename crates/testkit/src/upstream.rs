//! An HTTP server on a free port that answers from a script and remembers what it was asked.

use crate::{Answer, Certificate, eventually};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// A request that the upstream received.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    /// The path with the query, as it came.
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    /// The body as JSON; fails the test if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the upstream was sent JSON")
    }

    /// The header `name`; empty if it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    finished: AtomicUsize,
    gone: AtomicUsize,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

impl Record {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a connection as open until it is dropped.
struct Opened(Arc<Record>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A scripted upstream. It speaks HTTP/1.1 and HTTP/2, and stops when dropped.
pub struct FakeUpstream {
    scheme: &'static str,
    address: SocketAddr,
    record: Arc<Record>,
    accepting: JoinHandle<()>,
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl FakeUpstream {
    /// Gives the same answer to every request.
    pub async fn answering(answer: Answer) -> Self {
        Self::start(move |_| answer.clone()).await
    }

    /// Gives these answers one after another, and the last of them to all further requests.
    pub async fn in_turn(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        assert!(!answers.is_empty(), "a script has at least one answer");
        let next = AtomicUsize::new(0);
        Self::start(move |_| {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            answers[turn.min(answers.len() - 1)].clone()
        })
        .await
    }

    /// Answers each request as `script` says.
    pub async fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, Arc::new(script)).await
    }

    /// The same behind TLS with this certificate; `protocols` are offered in this order.
    pub async fn start_tls(
        certificate: &Certificate,
        protocols: &[&str],
        script: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(certificate.acceptor(protocols)), Arc::new(script)).await
    }

    async fn listen(tls: Option<TlsAcceptor>, script: Arc<Script>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let record = Arc::new(Record::default());
        let accepting = tokio::spawn(accept(listener, tls, record.clone(), script));
        Self { scheme, address, record, accepting }
    }

    /// The base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far, in the order in which their bodies were complete.
    pub fn requests(&self) -> Vec<Seen> {
        self.record.seen().clone()
    }

    /// The one request that came; fails the test if there were more or none.
    pub fn only_request(&self) -> Seen {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "expected exactly one request to the upstream");
        requests.into_iter().next().expect("counted on the line above")
    }

    /// Waits until `count` requests have come.
    pub async fn received(&self, count: usize) {
        eventually("a request to the upstream", || self.record.seen().len() >= count).await;
    }

    /// How many connections were made.
    pub fn accepted(&self) -> usize {
        self.record.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.record.open.load(Ordering::SeqCst)
    }

    /// How many answers were sent to their end.
    pub fn finished(&self) -> usize {
        self.record.finished.load(Ordering::SeqCst)
    }

    /// How many times a client went away before its answer was complete.
    pub fn gone(&self) -> usize {
        self.record.gone.load(Ordering::SeqCst)
    }

    /// Waits until a client has gone away before its answer was complete.
    pub async fn deserted(&self) {
        eventually("the client leaving the upstream", || self.gone() > 0).await;
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    record: Arc<Record>,
    script: Arc<Script>,
) {
    // The connections end together with this task, when the upstream is dropped.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    record.accepted.fetch_add(1, Ordering::SeqCst);
                    record.open.fetch_add(1, Ordering::SeqCst);
                    let opened = Opened(record.clone());
                    connections.spawn(welcome(stream, tls.clone(), opened, script.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn welcome(stream: TcpStream, tls: Option<TlsAcceptor>, opened: Opened, script: Arc<Script>) {
    let _without_delay = stream.set_nodelay(true);
    match tls {
        None => serve(stream, &opened.0, script).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, &opened.0, script).await;
            }
        }
    }
}

async fn serve<S>(stream: S, record: &Arc<Record>, script: Arc<Script>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(request, record.clone(), script.clone()));
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    // A connection that the script or the client breaks is part of the test.
    let _outcome = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Counts a client as gone unless the answer came to its end.
struct Watch {
    record: Arc<Record>,
    over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let counter = if self.over { &self.record.finished } else { &self.record.gone };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

async fn answer(
    request: Request<Incoming>,
    record: Arc<Record>,
    script: Arc<Script>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (method, version, headers) = (parts.method, parts.version, parts.headers);
    let seen = Seen { method, path, version, headers, body };
    let answer = script(&seen);
    record.seen().push(seen);

    let watch = Watch { record, over: false };
    if let Some(gate) = &answer.before_head {
        gate.passed().await;
    }
    let mut response = Response::new(());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers.clone();
    Ok(response.map(|()| BodyExt::boxed_unsync(StreamBody::new(pieces(answer, watch)))))
}

/// The body, cut and held as the script says.
fn pieces(
    answer: Answer,
    watch: Watch,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static {
    stream::unfold((answer, watch, 0), |(mut answer, mut watch, sent)| async move {
        if let Some((at, gate)) = &answer.inside_body
            && *at == sent
        {
            gate.passed().await;
            answer.inside_body = None;
        }
        // Gives the connection a chance to send what it has, each piece on its own.
        tokio::task::yield_now().await;
        let left = answer.body.len() - sent;
        if left == 0 {
            watch.over = true;
            let broken = std::mem::take(&mut answer.cut).then(|| Err(io::Error::other("cut")));
            return broken.map(|error| (error, (answer, watch, sent)));
        }
        let until_gate = answer.inside_body.as_ref().map_or(left, |(at, _)| at - sent);
        let next = sent + left.min(answer.piece).min(until_gate);
        let piece = answer.body.slice(sent..next);
        Some((Ok(Frame::data(piece)), (answer, watch, next)))
    })
}

#[cfg(test)]
mod tests;
