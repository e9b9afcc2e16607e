//! JSON texts, one a line.

use super::lines::{Ends, Lines, TooLong};
use bytes::Bytes;

/// Cuts a stream of JSON texts, one per line.
#[derive(Debug)]
pub struct JsonLines(Lines);

impl JsonLines {
    /// A longer line than `max_bytes` is an error.
    pub fn new(max_bytes: usize) -> Self {
        Self(Lines::new(Ends::Lf, max_bytes))
    }

    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: Bytes) {
        self.0.feed(piece);
    }

    /// The next line that has come completely and is not blank.
    ///
    /// # Errors
    /// A line is too long; nothing sensible can follow.
    pub fn next_line(&mut self) -> Option<Result<Bytes, TooLong>> {
        loop {
            match self.0.next()? {
                Ok(line) if line.trim_ascii().is_empty() => {}
                line => return Some(line),
            }
        }
    }

    /// The last line, if the stream ends without the end of a line.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.0.rest().filter(|line| !line.trim_ascii().is_empty())
    }
}
