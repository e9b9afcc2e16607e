//! What can go wrong with an index.

use std::{io, path::Path, sync::Arc};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an index did not do what was asked. The text names the value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings, a chunk, a filter or a query that cannot be used.
    #[error("{0}")]
    Invalid(String),
    #[error("there is no index in `{0}`; create it first")]
    Missing(String),
    #[error("`{0}` holds an index already; open it, or choose another folder")]
    Exists(String),
    #[error("the index in `{0}` is open elsewhere; close it there, or choose another folder")]
    Locked(String),
    #[error(
        "`{file}` has format version {found}, and this program reads versions up to {known}; use a \
         newer version of the program"
    )]
    Version { file: String, found: i64, known: i64 },
    /// The durable part cannot be trusted.
    #[error(
        "`{file}` is damaged ({what}); restore the file from a backup, or delete its folder and \
         insert the chunks again"
    )]
    Damaged { file: String, what: String },
    #[error("the index is closed; open it again")]
    Closed,
    #[error("cannot {action} `{file}`: {cause}")]
    Files { action: &'static str, file: String, cause: Arc<io::Error> },
    #[error("the database `{file}` failed: {cause}")]
    Database { file: String, cause: rusqlite::Error },
    #[error("the reranker failed: {0}")]
    Rerank(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn invalid(message: impl std::fmt::Display) -> Self {
        Self::Invalid(message.to_string())
    }

    pub(crate) fn damaged(file: &Path, what: impl std::fmt::Display) -> Self {
        Self::Damaged { file: file.display().to_string(), what: what.to_string() }
    }

    /// The failure of an action on a file.
    pub(crate) fn files(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.display().to_string();
        move |cause| Self::Files { action, file, cause: Arc::new(cause) }
    }

    /// The failure of a statement on the database in this file.
    pub(crate) fn database(file: &Path) -> impl Fn(rusqlite::Error) -> Self + Copy {
        move |cause| {
            use rusqlite::{Error as Cause, ErrorCode};
            let code = cause.sqlite_error_code();
            let damaged =
                matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
                    || matches!(
                        &cause,
                        Cause::FromSqlConversionFailure(..)
                            | Cause::IntegralValueOutOfRange(..)
                            | Cause::InvalidColumnType(..)
                            | Cause::Utf8Error(..)
                    );
            if damaged {
                Self::damaged(file, cause)
            } else {
                Self::Database { file: file.display().to_string(), cause }
            }
        }
    }
}

impl From<Error> for chaski_api::Error {
    fn from(error: Error) -> Self {
        match &error {
            Error::Invalid(message) => Self::invalid(message),
            Error::Missing(_) => Self::not_found("there is no such index").caused_by(error),
            Error::Exists(_) => {
                Self::new(chaski_api::ErrorKind::Conflict, "there is such an index already")
                    .caused_by(error)
            }
            // Where the files are, is for the log only.
            Error::Locked(_) | Error::Closed | Error::Files { .. } | Error::Database { .. } => {
                Self::unavailable("the search index is not available").caused_by(error)
            }
            Error::Version { .. } | Error::Damaged { .. } => {
                Self::unavailable("the search index cannot be read").caused_by(error)
            }
            Error::Rerank(_) => Self::internal("the reranker failed").caused_by(error),
        }
    }
}
