//! Server-sent events.

use super::lines::{Ends, Lines, TooLong};
use bytes::{Bytes, BytesMut};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A server-sent event (HTML standard, section 9.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The name, if the event has one.
    pub name: Option<Bytes>,
    /// The data; several lines are joined by LF.
    pub data: Bytes,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Several(BytesMut),
}

/// Cuts a stream of server-sent events.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    max_bytes: usize,
    started: bool,
    name: Option<Bytes>,
    data: Data,
}

impl Events {
    /// A line or an event with more than `max_bytes` bytes is an error.
    pub fn new(max_bytes: usize) -> Self {
        let lines = Lines::new(Ends::LfOrCr, max_bytes);
        Self { lines, max_bytes, started: false, name: None, data: Data::None }
    }

    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: Bytes) {
        self.lines.feed(piece);
    }

    /// The next event that has come completely.
    ///
    /// # Errors
    /// A line or the data of an event is too long; nothing sensible can follow.
    pub fn next_event(&mut self) -> Option<Result<Event, TooLong>> {
        loop {
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            if line.is_empty() {
                if let Some(event) = self.take() {
                    return Some(Ok(event));
                }
            } else if let Err(error) = self.field(line) {
                return Some(Err(error));
            }
        }
    }

    /// The event that was not ended by a blank line before the stream ended. It may be cut short.
    pub fn finish(&mut self) -> Option<Event> {
        if let Some(line) = self.lines.rest() {
            self.field(line).ok()?;
        }
        self.take()
    }

    fn take(&mut self) -> Option<Event> {
        let name = self.name.take();
        let data = match std::mem::take(&mut self.data) {
            Data::None => return None,
            Data::One(data) => data,
            Data::Several(data) => data.freeze(),
        };
        Some(Event { name, data })
    }

    fn field(&mut self, mut line: Bytes) -> Result<(), TooLong> {
        if !self.started {
            self.started = true;
            if line.starts_with(BYTE_ORDER_MARK) {
                line = line.slice(BYTE_ORDER_MARK.len()..);
            }
        }
        // A line that begins with a colon is a comment: its field has an empty name.
        let (end, begin) = match memchr::memchr(b':', &line) {
            Some(colon) if line.get(colon + 1) == Some(&b' ') => (colon, colon + 2),
            Some(colon) => (colon, colon + 1),
            None => (line.len(), line.len()),
        };
        match &line[..end] {
            b"data" => self.data(line.slice(begin..)),
            b"event" => {
                self.name = Some(line.slice(begin..));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn data(&mut self, line: Bytes) -> Result<(), TooLong> {
        self.data = match std::mem::take(&mut self.data) {
            Data::None => Data::One(line),
            Data::One(first) => Data::Several(joined(BytesMut::from(&first[..]), &line)),
            Data::Several(lines) => Data::Several(joined(lines, &line)),
        };
        match &self.data {
            Data::Several(lines) if lines.len() > self.max_bytes => Err(TooLong(self.max_bytes)),
            Data::None | Data::One(_) | Data::Several(_) => Ok(()),
        }
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}
