//! A server that writes bytes to its connections as a script says, whether or not they are HTTP.

use crate::eventually;
use bytes::Bytes;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// One step of an answer.
#[derive(Debug, Clone)]
pub enum Act {
    /// Writes these bytes.
    Write(Bytes),
    /// Writes these bytes again and again, as fast as they are taken, until the client leaves.
    Repeat(Bytes),
    /// Writes them one after another, each after a pause.
    Trickle(Bytes, Duration),
    /// Writes what this makes at that time.
    Make(fn() -> Bytes),
    /// Waits for so long.
    Pause(Duration),
    /// Says nothing more, and waits until the client leaves.
    Hold,
    /// Ends the connection in order.
    Close,
    /// Breaks the connection.
    Reset,
}

impl Act {
    /// Writes this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Write(text.into().into())
    }
}

#[derive(Default)]
struct Record {
    requests: AtomicUsize,
    accepted: AtomicUsize,
    open: AtomicUsize,
    written: AtomicU64,
}

/// Counts a connection as open until it is dropped.
struct Opened(Arc<Record>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

type Script = dyn Fn(usize, &str) -> Vec<Act> + Send + Sync;

/// A server on a free port that follows a script byte by byte. It stops when dropped.
pub struct RawUpstream {
    address: SocketAddr,
    record: Arc<Record>,
    accepting: JoinHandle<()>,
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl RawUpstream {
    /// Does the same for every request.
    pub async fn doing(acts: impl Into<Vec<Act>>) -> Self {
        let acts = acts.into();
        Self::start(move |_, _| acts.clone()).await
    }

    /// Does for each request what `script` says, given how many requests came before and the head
    /// and body of this one. A connection whose acts are all done waits for its next request.
    pub async fn start(script: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let record = Arc::new(Record::default());
        let script: Arc<Script> = Arc::new(script);
        let accepting = tokio::spawn(accept(listener, record.clone(), script));
        Self { address, record, accepting }
    }

    /// The base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.record.requests.load(Ordering::SeqCst)
    }

    /// How many connections were made.
    pub fn accepted(&self) -> usize {
        self.record.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.record.open.load(Ordering::SeqCst)
    }

    /// How many bytes the clients have taken, what waits in buffers of the network included.
    pub fn written(&self) -> u64 {
        self.record.written.load(Ordering::SeqCst)
    }

    /// Waits until no connection is open.
    pub async fn deserted(&self) {
        eventually("all connections to the upstream to be closed", || self.open() == 0).await;
    }
}

async fn accept(listener: TcpListener, record: Arc<Record>, script: Arc<Script>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                record.accepted.fetch_add(1, Ordering::SeqCst);
                record.open.fetch_add(1, Ordering::SeqCst);
                connections.spawn(converse(stream, Opened(record.clone()), script.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, opened: Opened, script: Arc<Script>) {
    let _without_delay = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(request) = next_request(&mut stream).await {
        let number = opened.0.requests.fetch_add(1, Ordering::SeqCst);
        for act in script(number, &request) {
            if perform(act, &mut stream, &opened.0).await.is_none() {
                return;
            }
        }
    }
}

/// The head and the body of a request; nothing if the client has left.
async fn next_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut request = String::new();
    let mut length = 0;
    loop {
        let start = request.len();
        if stream.read_line(&mut request).await.ok()? == 0 {
            return None;
        }
        let line = request[start..].trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    request.push_str(&String::from_utf8_lossy(&body));
    Some(request)
}

/// Nothing once the connection is over.
async fn perform(act: Act, stream: &mut BufReader<TcpStream>, record: &Record) -> Option<()> {
    match act {
        Act::Write(bytes) => write(&bytes, stream, record).await,
        Act::Repeat(bytes) => loop {
            write(&bytes, stream, record).await?;
        },
        Act::Trickle(bytes, pause) => {
            for byte in bytes.chunks(1) {
                tokio::time::sleep(pause).await;
                write(byte, stream, record).await?;
            }
            Some(())
        }
        Act::Make(make) => write(&make(), stream, record).await,
        Act::Pause(time) => {
            tokio::time::sleep(time).await;
            Some(())
        }
        Act::Hold => {
            let mut ignored = [0; 1024];
            while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
            None
        }
        Act::Close => {
            let _closed = stream.shutdown().await;
            None
        }
        Act::Reset => {
            // Closing with nothing to linger for sends a reset.
            let _set = stream.get_ref().set_zero_linger();
            None
        }
    }
}

async fn write(bytes: &[u8], stream: &mut BufReader<TcpStream>, record: &Record) -> Option<()> {
    stream.write_all(bytes).await.ok()?;
    record.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    Some(())
}
