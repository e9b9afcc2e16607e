//! Why a file has no text for us, in words for the one who sent it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is wrong, seen from the sender of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Files of this kind are not read.
    Unsupported,
    /// The file is an image, a recording or a scan: nothing in it is text.
    NoText,
    /// The file wants a password.
    Encrypted,
    /// The file does not have the form that its kind has.
    Damaged,
    /// A limit was passed; the message names it.
    TooLarge,
    /// Reading took longer than allowed.
    Timeout,
    /// The parser failed on this file: it panicked, or its process died.
    Crashed,
    /// The file could not be opened or read.
    Unreadable,
    /// The chunking that was asked for cannot be done.
    Chunking,
    /// No process for parsing could be started.
    Worker,
}

/// Why one file could not be read or cut. Says nothing about other files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    /// For the sender: lower case, no full stop, literals in backticks.
    pub message: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    pub(crate) fn damaged(format: &str, reason: impl fmt::Display) -> Self {
        let message = format!("the {format} file is damaged: {reason}; save it again and retry");
        Self::new(ErrorKind::Damaged, message)
    }

    /// A limit was passed: what there is too much of, the limit, and the field of `Limits`.
    pub(crate) fn limit(what: &str, limit: impl fmt::Display, field: &str) -> Self {
        let message = format!(
            "the file has more than {limit} {what}; split it, or raise the limit `{field}`"
        );
        Self::new(ErrorKind::TooLarge, message)
    }
}

impl From<Error> for chaski_api::Error {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::TooLarge => Self::new(chaski_api::ErrorKind::TooLarge, error),
            ErrorKind::Timeout => Self::new(chaski_api::ErrorKind::Timeout, error),
            ErrorKind::Worker => Self::internal(error),
            ErrorKind::Unsupported
            | ErrorKind::NoText
            | ErrorKind::Encrypted
            | ErrorKind::Damaged
            | ErrorKind::Crashed
            | ErrorKind::Unreadable
            | ErrorKind::Chunking => Self::invalid(error),
        }
    }
}
