//! Streams of events, and answers that are passed on as they came.

use bytes::Bytes;
use chaski_api::{Error, Result, Wire, openai::ChatChunk};
use futures_util::{StreamExt, stream::BoxStream};
use serde_json::Value;

/// Events one after another; the first error is the last item.
pub type EventStream<T> = BoxStream<'static, Result<T>>;

/// Ends a stream after its first error, whatever the provider sends next.
pub fn until_error<T: Send + 'static>(events: EventStream<T>) -> EventStream<T> {
    events
        .scan(false, |failed, event| {
            let item = (!*failed).then_some(event);
            *failed |= item.as_ref().is_some_and(Result::is_err);
            std::future::ready(item)
        })
        .boxed()
}

/// A body or an event: as an upstream sent it, or as this process made it.
///
/// What an upstream sent is relayed without decoding when the face speaks the same dialect.
#[derive(Debug, Clone)]
pub enum Payload<T> {
    /// JSON text, as it came.
    Raw(Bytes),
    Value(T),
}

impl<T: Wire> Payload<T> {
    /// The value, decoded if need be.
    ///
    /// # Errors
    /// `Upstream` when the text is not what it should be.
    pub fn into_value(self) -> Result<T> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Raw(bytes) => {
                let broken = |source: Error| {
                    Error::new(
                        chaski_api::ErrorKind::Upstream { status: None },
                        "the upstream sent an answer that cannot be understood",
                    )
                    .caused_by(source)
                };
                let value: Value = serde_json::from_slice(&bytes)
                    .map_err(|source| broken(Error::internal(source)))?;
                T::from_json(value).map_err(|issues| broken(Error::malformed(issues)))
            }
        }
    }

    /// The JSON text, encoded if need be.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Raw(bytes) => bytes,
            Self::Value(value) => {
                serde_json::to_vec(&value).expect("wire types are plain data").into()
            }
        }
    }
}

impl Payload<ChatChunk> {
    /// The value, by the short way for events that carry nothing but text.
    ///
    /// # Errors
    /// As of [`Self::into_value`].
    pub fn into_chunk(self) -> Result<ChatChunk> {
        if let Self::Raw(text) = &self
            && let Some(chunk) = ChatChunk::plain(text)
        {
            return Ok(chunk);
        }
        self.into_value()
    }
}

/// An answer at once, or as events.
pub enum Reply<F, E> {
    Full(Payload<F>),
    Stream(EventStream<Payload<E>>),
}
