//! The body of an answer: where it ends, and its pieces (RFC 9112, sections 6 and 7).

use super::{
    connection::{Connection, Lost, Malformed},
    pool::Home,
};
use crate::client::failure::Cause;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use std::task::{Context, Poll, ready};

/// The most bytes of the line of a chunk, and of the trailers.
const LINE: usize = 4 * 1024;
const TRAILERS: usize = 16 * 1024;
/// The most bytes of all lines of chunks beyond what their sizes need.
const EXTENSIONS: usize = 64 * 1024;
/// The longest size of a chunk with the end of its line.
const SIZE: usize = 18;
const MOST_TRAILERS: usize = 64;

/// How the end of a body is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunk),
    /// Everything until the connection is closed.
    UntilClose,
}

/// Where in a chunked body the next byte is. `extra` counts the bytes of extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chunk {
    Size { extra: usize },
    Data { left: u64, extra: usize },
    End { extra: usize },
    Trailers,
}

impl Framing {
    pub(super) fn of(
        method: &Method,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Self, Lost> {
        let empty = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        if *method == Method::HEAD || empty.contains(&status) {
            return Ok(Self::Length(0));
        }
        if let Some(last) = headers.get_all(header::TRANSFER_ENCODING).iter().next_back() {
            let last = last.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            // A length beside it is not believed.
            return Ok(if chunked {
                Self::Chunked(Chunk::Size { extra: 0 })
            } else {
                Self::UntilClose
            });
        }
        let mut length = None;
        for value in headers.get_all(header::CONTENT_LENGTH) {
            for number in value.as_bytes().split(|byte| *byte == b',') {
                let number = number.trim_ascii();
                let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(number).ok().filter(|_| digits);
                let number = number.and_then(|number| number.parse::<u64>().ok());
                let number = number.filter(|number| length.is_none_or(|known| known == *number));
                length = Some(number.ok_or(Lost::Malformed(Malformed::Length))?);
            }
        }
        Ok(length.map_or(Self::UntilClose, Self::Length))
    }

    /// The next piece in `buffer`: nothing in it is an end of the body, and `Pending` is a need for
    /// more bytes.
    fn next(&mut self, buffer: &mut BytesMut) -> Poll<Result<Option<Frame<Bytes>>, Lost>> {
        match self {
            Self::Length(0) => Poll::Ready(Ok(None)),
            Self::Length(left) => data(left, buffer),
            Self::UntilClose if buffer.is_empty() => Poll::Pending,
            Self::UntilClose => Poll::Ready(Ok(Some(Frame::data(buffer.split().freeze())))),
            Self::Chunked(_) => self.next_chunk(buffer),
        }
    }

    fn next_chunk(&mut self, buffer: &mut BytesMut) -> Poll<Result<Option<Frame<Bytes>>, Lost>> {
        loop {
            let Self::Chunked(chunk) = self else { return Poll::Ready(Ok(None)) };
            match chunk {
                Chunk::Data { left: 0, extra } => *chunk = Chunk::End { extra: *extra },
                Chunk::Data { left, .. } => return data(left, buffer),
                Chunk::End { extra } => match &buffer[..] {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        *chunk = Chunk::Size { extra: *extra };
                    }
                    [] | [b'\r'] => return Poll::Pending,
                    _ => return Poll::Ready(Err(Lost::Malformed(Malformed::Chunk))),
                },
                Chunk::Size { extra } => {
                    let (line, size) = match httparse::parse_chunk_size(buffer) {
                        Ok(httparse::Status::Complete(found)) => found,
                        Ok(httparse::Status::Partial) if buffer.len() <= LINE => {
                            return Poll::Pending;
                        }
                        Ok(httparse::Status::Partial) => {
                            return Poll::Ready(Err(Lost::Malformed(Malformed::TooLong)));
                        }
                        Err(_) => return Poll::Ready(Err(Lost::Malformed(Malformed::Chunk))),
                    };
                    let extra = *extra + line.saturating_sub(SIZE);
                    if line > LINE || extra > EXTENSIONS {
                        return Poll::Ready(Err(Lost::Malformed(Malformed::TooLong)));
                    }
                    buffer.advance(line);
                    *chunk = match size {
                        0 => Chunk::Trailers,
                        left => Chunk::Data { left, extra },
                    };
                }
                Chunk::Trailers => {
                    let Some(trailers) = trailers(buffer)? else { return Poll::Pending };
                    *self = Self::Length(0);
                    let frame = (!trailers.is_empty()).then(|| Frame::trailers(trailers));
                    return Poll::Ready(Ok(frame));
                }
            }
        }
    }
}

/// What there is of data of which `left` bytes are to come.
fn data(left: &mut u64, buffer: &mut BytesMut) -> Poll<Result<Option<Frame<Bytes>>, Lost>> {
    if buffer.is_empty() {
        return Poll::Pending;
    }
    let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= piece as u64;
    Poll::Ready(Ok(Some(Frame::data(buffer.split_to(piece).freeze()))))
}

/// The headers behind the last chunk, taken out of the buffer; nothing if they are not complete.
fn trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, Lost> {
    let mut space = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let parsed = httparse::parse_headers(buffer, &mut space);
    match parsed.map_err(|error| Lost::Malformed(Malformed::Head(error)))? {
        httparse::Status::Complete((length, found)) => {
            let mut headers = HeaderMap::with_capacity(found.len());
            for header in found {
                let name = HeaderName::from_bytes(header.name.as_bytes());
                let value = HeaderValue::from_bytes(header.value);
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(Lost::Malformed(Malformed::Header));
                };
                headers.append(name, value);
            }
            buffer.advance(length);
            Ok(Some(headers))
        }
        httparse::Status::Partial if buffer.len() > TRAILERS => {
            Err(Lost::Malformed(Malformed::TooLong))
        }
        httparse::Status::Partial => Ok(None),
    }
}

/// The body of an answer, as it comes.
#[derive(Debug)]
pub(crate) struct DirectBody {
    /// Nothing after the end.
    connection: Option<Box<Connection>>,
    framing: Framing,
    /// Where the connection goes after the end, if it can be used again.
    home: Option<Home>,
}

impl DirectBody {
    pub(super) fn new(connection: Box<Connection>, framing: Framing, home: Option<Home>) -> Self {
        let mut body = Self { connection: Some(connection), framing, home };
        body.release_at_end();
        body
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        loop {
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            match self.framing.next(&mut connection.buffer) {
                Poll::Ready(Ok(Some(frame))) => {
                    self.release_at_end();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Ok(None)) => {
                    self.release_at_end();
                    return Poll::Ready(None);
                }
                Poll::Ready(Err(error)) => return self.failed(error),
                Poll::Pending => match ready!(connection.poll_fill(cx)) {
                    Ok(0) if self.framing == Framing::UntilClose => {
                        self.connection = None;
                        return Poll::Ready(None);
                    }
                    Ok(0) => return self.failed(Lost::Cut),
                    Ok(_) => {}
                    Err(error) => return self.failed(error.into()),
                },
            }
        }
    }

    /// Gives the connection back once nothing of the body is to come.
    fn release_at_end(&mut self) {
        if self.framing == Framing::Length(0)
            && let Some(connection) = self.connection.take()
            && let Some(home) = self.home.take()
        {
            home.give(connection);
        }
    }

    fn failed(&mut self, error: Lost) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        self.connection = None;
        Poll::Ready(Some(Err(error.into())))
    }
}
