//! The events of a streamed answer.

use crate::{Error, Result, client, error};
use chaski_api::{Face, Wire};
use chaski_upstream::{ByteStream, framing};
use futures_util::Stream;
use serde_json::Value;
use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// What ends the streams of OpenAI's API.
const DONE: &[u8] = b"[DONE]";

/// The events of a stream, read as they come; the first error is the last item.
pub struct Events<T> {
    /// Nothing after the end or an error.
    bytes: Option<ByteStream>,
    frames: framing::Events,
    /// Whether a last event must say that the stream is complete.
    announced: bool,
    event: PhantomData<fn() -> T>,
}

impl<T: Wire> Events<T> {
    pub(crate) fn new(bytes: ByteStream, face: Face, max_bytes: usize) -> Self {
        Self {
            bytes: Some(bytes),
            frames: framing::Events::new(max_bytes),
            announced: face == Face::OpenAi,
            event: PhantomData,
        }
    }

    /// The next event that has come completely.
    fn parsed(&mut self) -> Option<Parsed<T>> {
        let event = match self.frames.next_event()? {
            Ok(event) => event,
            Err(framing::TooLong(most)) => {
                let message = format!("an event has more than {most} bytes");
                return Some(Parsed::Failed(Error::Answer(message)));
            }
        };
        if event.data.as_ref() == DONE {
            return Some(Parsed::Done);
        }
        Some(match event_of(&event.data) {
            Ok(event) => Parsed::Event(event),
            Err(error) => Parsed::Failed(error),
        })
    }
}

enum Parsed<T> {
    Event(T),
    Failed(Error),
    /// The stream is complete.
    Done,
}

fn event_of<T: Wire>(data: &[u8]) -> Result<T> {
    let value: Value = serde_json::from_slice(data)
        .map_err(|error| Error::Answer(format!("an event is not JSON: {error}")))?;
    if value.get("error").is_some_and(|error| !error.is_null()) {
        let message = error::spoken(&value).unwrap_or_else(|| "no message".to_owned());
        return Err(Error::Stream(message));
    }
    client::read(value)
}

impl<T: Wire> Stream for Events<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.bytes.is_none() {
                return Poll::Ready(None);
            }
            match self.parsed() {
                Some(Parsed::Event(event)) => return Poll::Ready(Some(Ok(event))),
                Some(Parsed::Failed(error)) => {
                    self.bytes = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Parsed::Done) => {
                    self.bytes = None;
                    return Poll::Ready(None);
                }
                None => {}
            }
            let Some(bytes) = &mut self.bytes else { return Poll::Ready(None) };
            match ready!(Pin::new(bytes).poll_next(cx)) {
                Some(Ok(piece)) => self.frames.feed(piece),
                Some(Err(error)) => {
                    self.bytes = None;
                    return Poll::Ready(Some(Err(Error::Transport(error))));
                }
                None => {
                    self.bytes = None;
                    let early = Error::Answer("the stream ended early".to_owned());
                    return Poll::Ready(self.announced.then_some(Err(early)));
                }
            }
        }
    }
}
