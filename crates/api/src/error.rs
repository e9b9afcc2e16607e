//! The one error type of the stack. The server turns it into a status and a body, once.

use serde::{Serialize, Serializer};
use std::{borrow::Cow, fmt, time::Duration};

/// What went wrong, seen from the caller's side. Closed: a new kind must be given a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request cannot be served as it stands; `issues` may name the offending parts.
    InvalidRequest,
    /// No credentials, or credentials that are not accepted.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The thing exists already, or changed meanwhile.
    Conflict,
    /// A size limit was passed.
    TooLarge,
    /// Too many requests; try again after the given time.
    RateLimited { retry_after: Option<Duration> },
    /// Neither this build nor this provider can do that.
    Unsupported,
    /// The upstream answered with an error. `status` is its HTTP status, if it sent one.
    Upstream { status: Option<u16> },
    /// No answer within the time limit.
    Timeout,
    /// Cannot be served now; try again after the given time.
    Unavailable { retry_after: Option<Duration> },
    /// A fault of this server. The message is not shown to callers.
    Internal,
}

/// One step of the path to the offending part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Key(Cow<'static, str>),
    Index(usize),
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Key(key) => serializer.serialize_str(key),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

/// One problem of a request or a configuration, in the form of Pydantic's error list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// The path to the offending part.
    pub loc: Vec<Segment>,
    /// What is wrong and what would be accepted.
    pub msg: String,
    /// The machine-readable kind: `missing`, `enum`, `string_type`, ...
    #[serde(rename = "type")]
    pub kind: &'static str,
}

impl Issue {
    /// The path in configuration notation: `providers.inference[0].config.url`.
    pub fn path(&self) -> String {
        let mut out = String::new();
        for segment in &self.loc {
            match segment {
                Segment::Key(key) if out.is_empty() => out.push_str(key),
                Segment::Key(key) => {
                    out.push('.');
                    out.push_str(key);
                }
                Segment::Index(index) => {
                    out.push('[');
                    out.push_str(&index.to_string());
                    out.push(']');
                }
            }
        }
        out
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        if path.is_empty() { f.write_str(&self.msg) } else { write!(f, "{path}: {}", self.msg) }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, with the text for the caller and, apart from it, the cause for the log.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// For the caller: lower case, no full stop, literals in backticks, never a secret.
    pub message: String,
    /// The machine-readable code of OpenAI's error envelope, such as `model_not_found`.
    pub code: Option<Cow<'static, str>>,
    /// The request parameter at fault, for OpenAI's error envelope.
    pub param: Option<String>,
    /// The offending parts, when the request did not have the declared form.
    pub issues: Vec<Issue>,
    /// The cause, for the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The code of errors for want of a key in the provider data.
const WANTS_KEY: &str = "provider_data_required";

impl Error {
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            code: None,
            param: None,
            issues: Vec::new(),
            source: None,
        }
    }

    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// A request that does not have the declared form.
    pub fn malformed(issues: Vec<Issue>) -> Self {
        let message = issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { issues, ..Self::invalid(message) }
    }

    /// A request that needs a key, which only its caller can send along.
    pub fn wants_key(message: impl fmt::Display) -> Self {
        Self::invalid(message).with_code(WANTS_KEY)
    }

    /// Whether the caller has to send a key along.
    pub fn is_for_want_of_a_key(&self) -> bool {
        self.code.as_deref() == Some(WANTS_KEY)
    }

    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub fn unsupported(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unavailable { retry_after: None }, message)
    }

    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The causes after the message, joined by `: `, for the log.
    pub fn chain(&self) -> String {
        let mut out = self.message.clone();
        let mut next = self.source.as_ref().map(|source| source.as_ref() as &dyn std::error::Error);
        while let Some(cause) = next {
            out.push_str(": ");
            out.push_str(&cause.to_string());
            next = cause.source();
        }
        out
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
