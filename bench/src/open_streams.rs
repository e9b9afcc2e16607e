//! Many streams that are open at the same time: what they take, and whether others are served.

use crate::{
    load::{self, Kind, QUESTION},
    relay::{FACE, OPENAI},
    server::{Server, Setup},
    upstream::{ENDLESS, Upstream},
};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use std::{path::Path, process::Command, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How many are wanted; fewer where the system lets a process have fewer files.
const STREAMS: usize = 10_000;
/// How many are opened at a time.
const AT_ONCE: usize = 200;
/// How many share a connection, where each cannot have one of its own.
const SHARED: usize = 100;
/// Files that are for something else than streams.
const RESERVED: usize = 500;

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct OpenStreams {
    pub(crate) streams: usize,
    /// Those that share connections of HTTP/2 with others.
    pub(crate) sharing: usize,
    /// The files that a process may open.
    pub(crate) files: usize,
    /// Resident memory of the server without and with them, in MB.
    pub(crate) before_megabytes: f64,
    pub(crate) after_megabytes: f64,
    /// The median of the time that other requests take meanwhile.
    pub(crate) others_p50_ms: f64,
}

pub(crate) async fn measure(binary: &Path) -> Result<OpenStreams> {
    // The server has the connection to the upstream, and one to the client unless it is shared; this
    // process has the other ends.
    let files = files()?;
    let room = files.saturating_sub(RESERVED);
    let streams = STREAMS.min(room);
    let sharing = (2 * streams).saturating_sub(room);
    let upstream = Upstream::start(Duration::ZERO, Duration::ZERO).await?;
    let setup = Setup { requests: Some(2 * STREAMS), ..Setup::default() };
    let server = Server::in_front_of(binary, upstream.port, setup).await?;
    let before_megabytes = server.memory()?;
    let body = load::body(false, ENDLESS, Kind::Stream, QUESTION);
    let head = format!(
        "POST {OPENAI} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = Rc::new([head.as_bytes(), &body].concat());
    let mut open = Vec::with_capacity(streams);
    while open.len() < streams - sharing {
        let more = AT_ONCE.min(streams - sharing - open.len());
        let opening = (0..more).map(|_| begun(server.port, Rc::clone(&request)));
        open.extend(try_join_all(opening).await?);
    }
    let mut sharers = Vec::new();
    for first in (0..sharing).step_by(SHARED) {
        sharers.push(begun_on_one(server.port, &body, SHARED.min(sharing - first)).await?);
    }
    let after_megabytes = server.memory()?;
    let other = crate::relay::Target::through(FACE, &server);
    let pace = load::Pace::Closed { concurrency: 1 };
    let row = other.measure(Kind::Plain, pace, QUESTION).await?;
    Ok(OpenStreams {
        streams,
        sharing,
        files,
        before_megabytes,
        after_megabytes,
        others_p50_ms: row.p50_ms,
    })
}

/// A stream whose first event has come.
async fn begun(port: u16, request: Rc<Vec<u8>>) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.write_all(&request).await?;
    let mut answer = Vec::new();
    while !begins(&answer) {
        let mut piece = [0; 2048];
        let read = socket.read(&mut piece).await.context("a stream broke")?;
        ensure!(read > 0, "a stream ended: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    Ok(socket)
}

/// Whether an event is in what came so far.
fn begins(answer: &[u8]) -> bool {
    answer.windows(6).any(|part| part == b"data: ")
}

/// So many streams on one connection of HTTP/2, whose first events have come, and what keeps it open.
async fn begun_on_one(
    port: u16,
    body: &Bytes,
    count: usize,
) -> Result<(SendRequest<Full<Bytes>>, Vec<Incoming>)> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let (requests, driver) = handshake(TokioExecutor::new(), TokioIo::new(socket)).await?;
    tokio::spawn(driver);
    let opening = (0..count).map(|_| one_of_many(requests.clone(), port, body.clone()));
    let events = try_join_all(opening).await?;
    Ok((requests, events))
}

async fn one_of_many(
    mut requests: SendRequest<Full<Bytes>>,
    port: u16,
    body: Bytes,
) -> Result<Incoming> {
    let request = Request::post(format!("http://127.0.0.1:{port}{OPENAI}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    requests.ready().await?;
    let mut events = requests.send_request(request).await?.into_body();
    let mut answer = Vec::new();
    while !begins(&answer) {
        let frame = events.frame().await;
        let frame = frame
            .with_context(|| format!("a stream ended: {}", String::from_utf8_lossy(&answer)))??;
        answer.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    Ok(events)
}

/// The files that this process and its children may open, after asking for more.
fn files() -> Result<usize> {
    let me = std::process::id().to_string();
    let wanted = (2 * STREAMS + 2000).to_string();
    let _refused = Command::new("prlimit")
        .args(["--pid", &me, &format!("--nofile={wanted}:{wanted}")])
        .output();
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().nth(3)).context("no limit of files")?;
    Ok(most.parse().unwrap_or(usize::MAX))
}
