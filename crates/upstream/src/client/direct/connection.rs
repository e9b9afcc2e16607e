//! One connection: a request out, the head of its answer in.

use super::body::Framing;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::{
    fmt,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How much is read at a time at first, in bytes, and how much where that is not enough.
const READ: usize = 8 * 1024;
const READ_MORE: usize = 64 * 1024;
/// The most bytes and headers of the head of an answer.
const HEAD: usize = 256 * 1024;
const HEADERS: usize = 128;

/// A connection, and what was read from it and not used yet.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) buffer: BytesMut,
    /// How much the next read takes.
    room: usize,
}

/// The head of an answer, and where its body comes from.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    pub(super) connection: Box<Connection>,
    /// Whether the connection can be used again after the body.
    pub(super) reusable: bool,
}

/// Why there is no answer, or no end of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The connection was closed and nothing of the request was taken.
    #[error("the connection was closed before the request")]
    Unused,
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the connection was closed before the end of the answer")]
    Cut,
    #[error("the answer is not HTTP/1.1: {0}")]
    Malformed(Malformed),
}

/// What is wrong with an answer.
#[derive(Debug)]
pub(super) enum Malformed {
    Head(httparse::Error),
    Header,
    Length,
    Chunk,
    TooLong,
    Switch,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => write!(f, "{error}"),
            Self::Header => f.write_str("a header cannot be read"),
            Self::Length => f.write_str("its length cannot be told"),
            Self::Chunk => f.write_str("a chunk has no size"),
            Self::TooLong => f.write_str("a line or the head is too long"),
            Self::Switch => f.write_str("it changes to another protocol"),
        }
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new(), room: READ }
    }

    /// Whether it is as it was left: open, and with nothing to read.
    pub(super) fn is_idle(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.try_read(&mut byte);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request, whose body begins in `head` and goes on in `rest`, and reads the head of the
    /// answer. An answer that comes before all is sent ends the sending.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        head: &[u8],
        rest: &Bytes,
        method: &Method,
    ) -> Result<Answer, Lost> {
        let mut out = Buf::chain(head, rest.clone());
        let mut taken = false;
        loop {
            let known = self.buffer.len();
            let read = poll_fn(|cx| {
                while out.has_remaining() {
                    match pin!(self.stream.write_buf(&mut out)).poll(cx) {
                        Poll::Ready(Ok(_)) => taken = true,
                        // The answer can say why.
                        Poll::Ready(Err(error)) if taken => {
                            tracing::debug!(target: "core", %error, "a request was not taken");
                            out.advance(out.remaining());
                            break;
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Lost::Unused)),
                        Poll::Pending => break,
                    }
                }
                self.poll_fill(cx).map_err(Into::into)
            })
            .await?;
            if read == 0 {
                return Err(Lost::Cut);
            }
            // What comes in many pieces is looked at anew only where it may be complete.
            if known > 0 && !has_end(&self.buffer[known.saturating_sub(2)..]) {
                if self.buffer.len() > HEAD {
                    return Err(Lost::Malformed(Malformed::TooLong));
                }
                continue;
            }
            while let Some((status, version, headers)) = parsed(&mut self.buffer)? {
                if status == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(Lost::Malformed(Malformed::Switch));
                }
                if status.is_informational() {
                    continue;
                }
                let framing = Framing::of(method, status, &headers)?;
                let persistent = persistent(version, &headers) && framing != Framing::UntilClose;
                let reusable = persistent && !out.has_remaining();
                return Ok(Answer { status, headers, framing, connection: self, reusable });
            }
        }
    }

    fn spare(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Gives back memory that the next answer hardly needs; whether nothing is left to read.
    pub(super) fn is_clean(&mut self) -> bool {
        if self.buffer.is_empty() && self.buffer.capacity() > READ {
            self.buffer = BytesMut::new();
        }
        self.buffer.is_empty()
    }

    /// Reads more into the buffer: so many bytes, none at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.spare() < self.room / 4 {
            self.buffer.reserve(self.room);
        }
        let spare = self.spare();
        let read = ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(cx))?;
        self.room = if read == spare { READ_MORE } else { READ };
        Poll::Ready(Ok(read))
    }
}

/// Whether an empty line ends here.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes)
        .any(|at| matches!(&bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// The head at the beginning of `buffer`, taken out of it; nothing if it is not complete.
fn parsed(buffer: &mut BytesMut) -> Result<Option<(StatusCode, u8, HeaderMap)>, Lost> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let malformed = |error| Lost::Malformed(Malformed::Head(error));
    let mut space = [const { MaybeUninit::uninit() }; HEADERS];
    let mut answer = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut answer, buffer, &mut space)
        .map_err(malformed)?;
    let httparse::Status::Complete(length) = status else {
        return if buffer.len() > HEAD {
            Err(Lost::Malformed(Malformed::TooLong))
        } else {
            Ok(None)
        };
    };
    let unreadable = || Lost::Malformed(Malformed::Header);
    let status = StatusCode::from_u16(answer.code.unwrap_or_default()).map_err(|_| unreadable())?;
    let version = answer.version.unwrap_or_default();
    let mut headers = HeaderMap::with_capacity(answer.headers.len());
    for header in &*answer.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| unreadable())?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| unreadable())?;
        headers.append(name, value);
    }
    buffer.advance(length);
    Ok(Some((status, version, headers)))
}

/// Whether the connection stays open after the answer (RFC 9112, section 9.3).
fn persistent(version: u8, headers: &HeaderMap) -> bool {
    let said = |wanted: &str| {
        headers.get_all(header::CONNECTION).iter().any(|value| {
            let mut words = value.as_bytes().split(|byte| *byte == b',');
            words.any(|word| word.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
        })
    };
    if version == 0 { said("keep-alive") } else { !said("close") }
}
