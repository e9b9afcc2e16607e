//! AWS's binary event streams (media type `application/vnd.amazon.eventstream`).
//!
//! A message is a prelude (its length, the length of its headers, a CRC-32 of both), headers, a
//! payload, and a CRC-32 of all before it. Numbers are big-endian.

use bytes::{Buf, Bytes, BytesMut};
use std::mem;

const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// What is wrong with a stream; nothing sensible can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenMessage {
    /// With the limit in bytes.
    #[error("a message has more than {0} bytes")]
    TooLong(usize),
    #[error("the lengths of a message do not fit together")]
    Length,
    #[error("the checksum of a message is wrong")]
    Checksum,
    #[error("the headers of a message cannot be understood")]
    Headers,
}

/// A message: of its headers those that are text, and the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsMessage {
    headers: Vec<(Bytes, Bytes)>,
    pub payload: Bytes,
}

impl AwsMessage {
    /// The text of a header, such as `:event-type`; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name.as_bytes());
        found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
    }
}

/// Cuts a binary event stream of AWS into messages.
#[derive(Debug)]
pub struct AwsMessages {
    max_bytes: usize,
    /// What has come and is not read yet.
    piece: Bytes,
    /// The beginning of a message whose end has not come.
    start: BytesMut,
}

impl AwsMessages {
    /// A longer message than `max_bytes` is an error.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, piece: Bytes::new(), start: BytesMut::new() }
    }

    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: Bytes) {
        if self.piece.is_empty() {
            self.piece = piece;
        } else {
            let mut both = BytesMut::from(&self.piece[..]);
            both.extend_from_slice(&piece);
            self.piece = both.freeze();
        }
    }

    /// The next message that has come completely.
    ///
    /// # Errors
    /// The stream is not one of messages, or was damaged on the way.
    pub fn next_message(&mut self) -> Option<Result<AwsMessage, BrokenMessage>> {
        if !self.start.is_empty() {
            // The prelude first: it says how much belongs to the message.
            self.take_up_to(PRELUDE);
        }
        let begun = if self.start.is_empty() { &self.piece[..] } else { &self.start[..] };
        let Some(prelude) = begun.first_chunk::<PRELUDE>() else {
            self.take_up_to(PRELUDE);
            return None;
        };
        let (length, headers) = match lengths(*prelude, self.max_bytes) {
            Ok(lengths) => lengths,
            Err(error) => return Some(Err(error)),
        };
        let message = if self.start.is_empty() && self.piece.len() >= length {
            self.piece.split_to(length)
        } else {
            self.take_up_to(length);
            if self.start.len() < length {
                return None;
            }
            mem::take(&mut self.start).freeze()
        };
        Some(parse(&message, headers))
    }

    /// Whether everything that came was a whole message.
    pub fn is_complete(&self) -> bool {
        self.start.is_empty() && self.piece.is_empty()
    }

    /// Moves bytes to the beginning of a message until it has `length`.
    fn take_up_to(&mut self, length: usize) {
        let missing = length.saturating_sub(self.start.len()).min(self.piece.len());
        self.start.extend_from_slice(&self.piece.split_to(missing));
    }
}

/// The length of the whole message and of its headers.
fn lengths(prelude: [u8; PRELUDE], max_bytes: usize) -> Result<(usize, usize), BrokenMessage> {
    let mut numbers = &prelude[..];
    let (length, headers) = (numbers.get_u32() as usize, numbers.get_u32() as usize);
    if numbers.get_u32() != crc32fast::hash(&prelude[..8]) {
        return Err(BrokenMessage::Checksum);
    }
    if length > max_bytes {
        return Err(BrokenMessage::TooLong(max_bytes));
    }
    let around = PRELUDE + CHECKSUM;
    if length < around || headers > length - around {
        return Err(BrokenMessage::Length);
    }
    Ok((length, headers))
}

fn parse(message: &Bytes, headers: usize) -> Result<AwsMessage, BrokenMessage> {
    let end = message.len() - CHECKSUM;
    if (&message[end..]).get_u32() != crc32fast::hash(&message[..end]) {
        return Err(BrokenMessage::Checksum);
    }
    let payload = message.slice(PRELUDE + headers..end);
    let mut rest = message.slice(PRELUDE..PRELUDE + headers);
    let mut headers = Vec::new();
    while !rest.is_empty() {
        header(&mut rest, &mut headers).ok_or(BrokenMessage::Headers)?;
    }
    Ok(AwsMessage { headers, payload })
}

/// Reads one header and keeps it if it is text; nothing if it is broken.
fn header(rest: &mut Bytes, texts: &mut Vec<(Bytes, Bytes)>) -> Option<()> {
    let length = usize::from(rest.try_get_u8().ok()?);
    let name = take(rest, length)?;
    let length = match rest.try_get_u8().ok()? {
        // True and false.
        0 | 1 => 0,
        // Integers of one, two, four and eight bytes; a time; a UUID.
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        // Bytes.
        6 => usize::from(rest.try_get_u16().ok()?),
        // Text.
        7 => {
            let length = usize::from(rest.try_get_u16().ok()?);
            texts.push((name, take(rest, length)?));
            return Some(());
        }
        _ => return None,
    };
    take(rest, length).map(drop)
}

fn take(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    (rest.len() >= length).then(|| rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three events and an exception, with headers of every type; botocore 1.43 reads them as
    /// they are expected here.
    const STREAM: &[u8] = include_bytes!("fixtures/messages.bin");

    fn read(pieces: &[&[u8]]) -> (Vec<[String; 4]>, Option<BrokenMessage>, bool) {
        let mut parser = AwsMessages::new(1024);
        let mut out = Vec::new();
        for piece in pieces {
            parser.feed(Bytes::copy_from_slice(piece));
            while let Some(message) = parser.next_message() {
                let message = match message {
                    Ok(message) => message,
                    Err(error) => return (out, Some(error), parser.is_complete()),
                };
                let text = |name| message.header(name).to_owned();
                out.push([
                    text(":message-type"),
                    text(":event-type"),
                    text(":exception-type"),
                    String::from_utf8(message.payload.to_vec()).unwrap(),
                ]);
            }
        }
        (out, None, parser.is_complete())
    }

    fn expected() -> Vec<[String; 4]> {
        let delta = "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Grüße 🎉\"}}";
        let rows = [
            ["event", "messageStart", "", "{\"role\":\"assistant\"}"],
            ["event", "contentBlockDelta", "", delta],
            ["exception", "", "throttlingException", "{\"message\":\"slow down\"}"],
            ["event", "empty", "", ""],
        ];
        rows.map(|row| row.map(str::to_owned)).to_vec()
    }

    #[test]
    fn messages_do_not_depend_on_where_the_network_cuts() {
        for cut in 0..=STREAM.len() {
            let (messages, error, complete) = read(&[&STREAM[..cut], &STREAM[cut..]]);
            assert_eq!((messages, error, complete), (expected(), None, true), "cut at {cut}");
        }
        for size in 1..=STREAM.len() {
            let pieces: Vec<&[u8]> = STREAM.chunks(size).collect();
            assert_eq!(read(&pieces), (expected(), None, true), "pieces of {size}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_is_not_complete() {
        for end in 1..STREAM.len() {
            let (messages, error, complete) = read(&[&STREAM[..end]]);
            assert_eq!((error, messages.len() < 4), (None, true), "cut off at {end}");
            let whole = [1, 2, 3].map(length_of).contains(&end);
            assert_eq!(complete, whole, "cut off at {end}");
        }
    }

    /// The bytes of the first messages.
    fn length_of(count: usize) -> usize {
        (0..count).fold(0, |at, _| at + (&STREAM[at..]).get_u32() as usize)
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let first = &STREAM[..length_of(1)];
        for at in 0..first.len() {
            let mut damaged = first.to_vec();
            damaged[at] ^= 0x40;
            let (messages, error, _) = read(&[&damaged]);
            assert_eq!((messages.len(), error), (0, Some(BrokenMessage::Checksum)), "byte {at}");
        }
    }

    /// A message of these parts with right checksums.
    fn message(length: u32, headers_length: u32, rest: &[u8]) -> Vec<u8> {
        let mut out = [length.to_be_bytes(), headers_length.to_be_bytes()].concat();
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out.extend(rest);
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn error(bytes: &[u8]) -> Option<BrokenMessage> {
        read(&[bytes]).1
    }

    #[test]
    fn lengths_are_checked_before_anything_is_kept() {
        assert_eq!(error(&message(1025, 0, &[])), Some(BrokenMessage::TooLong(1024)));
        assert_eq!(error(&message(u32::MAX, 0, &[])), Some(BrokenMessage::TooLong(1024)));
        assert_eq!(error(&message(15, 0, &[])), Some(BrokenMessage::Length));
        assert_eq!(error(&message(0, 0, &[])), Some(BrokenMessage::Length));
        assert_eq!(error(&message(20, 5, &[0; 4])), Some(BrokenMessage::Length));
        assert_eq!(error(&message(16, u32::MAX, &[])), Some(BrokenMessage::Length));
        assert_eq!(error(&message(16, 0, &[])), None);
        assert_eq!(error(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), Some(BrokenMessage::Checksum));
    }

    #[test]
    fn headers_that_go_beyond_their_end_are_refused() {
        for headers in [&[200_u8][..], &[1, b'a'], &[1, b'a', 99], &[1, b'a', 7, 1, 0], &[0, 9]] {
            let length = u32::try_from(headers.len()).unwrap();
            let bytes = message(16 + length, length, headers);
            assert_eq!(error(&bytes), Some(BrokenMessage::Headers), "{headers:?}");
        }
    }

    #[test]
    fn a_message_inside_one_piece_is_not_copied() {
        let piece = Bytes::from_static(STREAM);
        let mut parser = AwsMessages::new(1024);
        parser.feed(piece.clone());
        let payload = parser.next_message().unwrap().unwrap().payload;
        assert!(piece.as_ptr_range().contains(&payload.as_ptr()));
    }
}
