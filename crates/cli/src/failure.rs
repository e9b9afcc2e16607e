//! Why a command ends without having done its work, and the exit code for it.

use std::{fmt, io};

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The command could not do its work.
pub(crate) const FAILED: u8 = 1;
/// The command line cannot be understood.
pub(crate) const USAGE: u8 = 2;

/// What is printed on the standard error stream, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: u8,
    /// Nothing where there is nobody to tell: the reader of our output has gone.
    pub(crate) message: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { exit: FAILED, message: Some(message.to_string()), hint: None }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { exit: USAGE, ..Self::failed(message) }
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self { exit: 0, message: None, hint: None }
        } else {
            Self::failed(error)
        }
    }
}

impl From<chaski_api::Error> for Failure {
    fn from(error: chaski_api::Error) -> Self {
        let mut message = error.message.clone();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Some messages quote their cause.
            if !message.contains(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            next = cause.source();
        }
        Self::failed(message)
    }
}
