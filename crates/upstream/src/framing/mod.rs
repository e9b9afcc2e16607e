//! Cutting byte streams into events: server-sent events, and JSON lines.
//!
//! The parsers are pure and incremental: bytes go in as the network cuts them, events come out.
//! An event that lies within one piece is a slice of it, without a copy.

mod lines;
mod ndjson;
mod sse;
#[cfg(test)]
mod tests;

pub use lines::TooLong;
pub use ndjson::JsonLines;
pub use sse::{Event, Events};
