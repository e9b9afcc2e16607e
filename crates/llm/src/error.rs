//! What can go wrong in the engine, by who can do something about it.

use std::time::Duration;

/// A failure of the engine. The texts are for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request cannot be served as it stands. `param` is the field at fault.
    #[error("{message}")]
    Invalid { message: String, param: Option<&'static str> },
    /// The prompt does not fit into the context.
    #[error(
        "the prompt has {tokens} tokens, and the context of this model holds {limit}; \
         shorten the messages or raise `context_length`"
    )]
    TooLong { tokens: usize, limit: usize },
    /// The queue is full; it will be served in about `pause`.
    #[error(
        "the model is busy: {waiting} requests are waiting; try again in {} seconds",
        pause.as_secs()
    )]
    Busy { waiting: usize, pause: Duration },
    /// The model does not fit into the memory of this machine.
    #[error(
        "the model needs {} of memory, and {} is free on this machine; choose a smaller model or \
         a smaller `context_length`", size(*.needed), size(*.available)
    )]
    NoMemory { needed: u64, available: u64 },
    /// The model does not fit into the memory that models may take.
    #[error(
        "the model needs {} of memory, and models may take {}; raise `memory_limit_mb`, or choose \
         a smaller model or a smaller `context_length`", size(*.needed), size(*.limit)
    )]
    OverLimit { needed: u64, limit: u64 },
    /// A model file that cannot be used.
    #[error("{message}")]
    Broken { message: String },
    /// The model was unloaded.
    #[error("the model was unloaded while the request waited")]
    Gone,
    /// A fault of the engine.
    #[error("the engine failed: {message}")]
    Engine { message: String },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn invalid(param: &'static str, message: impl std::fmt::Display) -> Self {
        Self::Invalid { message: message.to_string(), param: Some(param) }
    }

    pub(crate) fn engine(message: impl std::fmt::Display) -> Self {
        Self::Engine { message: message.to_string() }
    }
}

/// A number of bytes for people: `491 MB`, `1.2 GB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
