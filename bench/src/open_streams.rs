//! Many streams that are open at the same time: what they take, and whether others are served.

use crate::{
    load::{self, Kind, QUESTION},
    relay::{FACE, OPENAI},
    server::{Server, Setup},
    upstream::{ENDLESS, Upstream},
};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{path::Path, process::Command, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How many are wanted; fewer where the system does not let a process have so many files.
const STREAMS: usize = 10_000;
/// How many are opened at a time.
const AT_ONCE: usize = 200;

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct OpenStreams {
    pub(crate) streams: usize,
    /// Resident memory of the server without and with them, in MB.
    pub(crate) before_megabytes: f64,
    pub(crate) after_megabytes: f64,
    /// The median of the time that other requests take meanwhile.
    pub(crate) others_p50_ms: f64,
}

pub(crate) async fn measure(binary: &Path) -> Result<OpenStreams> {
    // Each stream takes two files of the server and two of this process.
    let streams = STREAMS.min(files()?.saturating_sub(500) / 2);
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
    while open.len() < streams {
        let more = AT_ONCE.min(streams - open.len());
        let opening = (0..more).map(|_| begun(server.port, Rc::clone(&request)));
        open.extend(futures_util::future::try_join_all(opening).await?);
    }
    let after_megabytes = server.memory()?;
    let other = crate::relay::Target::through(FACE, &server);
    let pace = load::Pace::Closed { concurrency: 1 };
    let row = other.measure(Kind::Plain, pace, QUESTION).await?;
    Ok(OpenStreams { streams, before_megabytes, after_megabytes, others_p50_ms: row.p50_ms })
}

/// A stream whose first event has come.
async fn begun(port: u16, request: Rc<Vec<u8>>) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.write_all(&request).await?;
    let mut answer = Vec::new();
    while !answer.windows(6).any(|part| part == b"data: ") {
        let mut piece = [0; 2048];
        let read = socket.read(&mut piece).await.context("a stream broke")?;
        ensure!(read > 0, "a stream ended: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    Ok(socket)
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
