//! Lines out of pieces that are cut anywhere.

use bytes::{Buf, Bytes, BytesMut};

/// A line or an event is longer than the limit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line has more than {0} bytes")]
pub struct TooLong(pub usize);

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// LF, with or without CR before it.
    Lf,
    /// LF, CR LF, or CR alone.
    LfOrCr,
}

/// Splits pieces of text into lines.
#[derive(Debug)]
pub(super) struct Lines {
    ends: Ends,
    max_bytes: usize,
    /// What has come and is not read yet.
    piece: Bytes,
    /// The beginning of a line whose end has not come.
    start: BytesMut,
    /// Whether a CR ended the last line, so that an LF right after it belongs to it.
    after_cr: bool,
}

impl Lines {
    pub(super) fn new(ends: Ends, max_bytes: usize) -> Self {
        let (piece, start) = (Bytes::new(), BytesMut::new());
        Self { ends, max_bytes, piece, start, after_cr: false }
    }

    pub(super) fn feed(&mut self, piece: Bytes) {
        if self.piece.is_empty() {
            self.piece = piece;
        } else {
            let mut both = BytesMut::from(&self.piece[..]);
            both.extend_from_slice(&piece);
            self.piece = both.freeze();
        }
    }

    /// The next complete line without its end.
    pub(super) fn next(&mut self) -> Option<Result<Bytes, TooLong>> {
        if self.after_cr && !self.piece.is_empty() {
            self.after_cr = false;
            if self.piece[0] == b'\n' {
                self.piece.advance(1);
            }
        }
        let end = match self.ends {
            Ends::Lf => memchr::memchr(b'\n', &self.piece),
            Ends::LfOrCr => memchr::memchr2(b'\n', b'\r', &self.piece),
        };
        let length = self.start.len() + end.unwrap_or(self.piece.len());
        if length > self.max_bytes {
            return Some(Err(TooLong(self.max_bytes)));
        }
        let Some(end) = end else {
            self.start.extend_from_slice(&self.piece);
            self.piece.clear();
            return None;
        };
        self.after_cr = self.piece[end] == b'\r';
        let mut line = self.piece.split_to(end);
        self.piece.advance(1);
        if !self.start.is_empty() {
            self.start.extend_from_slice(&line);
            line = self.start.split().freeze();
        }
        Some(Ok(self.without_cr(line)))
    }

    /// What stands after the last end of a line, once everything has come.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let rest = self.start.split().freeze();
        (!rest.is_empty()).then(|| self.without_cr(rest))
    }

    fn without_cr(&self, mut line: Bytes) -> Bytes {
        if self.ends == Ends::Lf && line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        line
    }
}
