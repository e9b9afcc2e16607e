//! Cutting byte streams into events: server-sent events, JSON lines, and AWS's binary messages.
//!
//! The parsers are pure and incremental: bytes go in as the network cuts them, events come out.
//! An event that lies within one piece is a slice of it, without a copy.

mod aws;
mod lines;
mod ndjson;
mod sse;
#[cfg(test)]
mod tests;

pub use aws::{AwsMessage, AwsMessages, BrokenMessage};
pub use lines::TooLong;
pub use ndjson::JsonLines;
pub use sse::{Event, Events};
