//! From what upstreams do and say to the one error type.

use super::{direct::Unresolved, retry};
use chaski_api::{Error, ErrorKind};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use std::{borrow::Cow, io, time::Duration};

/// Longer messages of upstreams are cut.
const MESSAGE_CHARS: usize = 2000;
/// Texts that are no messages are cut earlier.
const TEXT_CHARS: usize = 300;

/// The error of a client library. It names no address.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection was made.
    Unreached(Cause),
    /// The connection was lost before anything was answered.
    Unanswered(Cause),
    /// The time limit, which was this long, has passed.
    Late(Phase, Duration),
    /// Nothing was sent: the client cannot be made, or the upstream is not to be called now.
    Refused(Error),
    /// The request cannot be sent.
    Invalid(Cause),
}

/// What an upstream took too long for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of the answer.
    FirstByte,
    /// The next piece of the answer.
    Pause,
    /// The whole answer.
    Total,
    /// The answer or a piece of it, until the caller had to stop waiting.
    Caller,
}

impl Failure {
    pub(super) fn from_reqwest(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::Unreached(error.into())
        } else if error.is_builder() {
            Self::Invalid(error.into())
        } else {
            Self::Unanswered(error.into())
        }
    }

    /// What is wrong with the upstream, if it is the upstream that something is wrong with.
    pub(super) fn symptom(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unreached(error) => Some(not_reached(&**error).into()),
            Self::Unanswered(_) => Some("the connection was closed without an answer".into()),
            Self::Late(Phase::Caller, _) | Self::Refused(_) | Self::Invalid(_) => None,
            Self::Late(_, limit) => {
                Some(format!("no answer within {:.1} seconds", limit.as_secs_f32()).into())
            }
        }
    }

    pub(super) fn into_error(self, service: &str) -> Error {
        match self {
            Self::Unreached(error) => {
                if let Some(reason) = crate::guard::refusal_in(&*error) {
                    let message =
                        format!("{service} may not be called: its name resolves to {reason}");
                    return Error::invalid(message);
                }
                let message = format!("cannot connect to {service}: {}", not_reached(&*error));
                Error::unavailable(message).caused_by(error)
            }
            Self::Unanswered(error) => {
                let message = format!("{service} closed the connection without an answer");
                Error::new(ErrorKind::Upstream { status: None }, message).caused_by(error)
            }
            Self::Late(phase, limit) => late(service, phase, limit),
            Self::Refused(error) => error,
            Self::Invalid(error) => {
                let message = format!("the request to {service} cannot be sent");
                Error::internal(message).caused_by(error)
            }
        }
    }
}

/// The reason for a failed connection, without an address.
pub(crate) fn not_reached(error: &(dyn std::error::Error + 'static)) -> &'static str {
    const UNRESOLVED: &str = "its name cannot be resolved";
    const LATE: &str = "no connection within the time limit";
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_dns() => return UNRESOLVED,
        Some(error) if error.is_timeout() => return LATE,
        _ => {}
    }
    let mut reason = "no connection";
    walk(error, &mut |cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if cause.is::<rustls::Error>() {
            reason = "its TLS certificate or version is not accepted";
        } else if cause.is::<Unresolved>() {
            reason = UNRESOLVED;
        } else if io == Some(io::ErrorKind::ConnectionRefused) {
            reason = "connection refused";
        } else if io == Some(io::ErrorKind::TimedOut) {
            reason = LATE;
        }
    });
    reason
}

/// Visits the error and its causes, those included that are wrapped in errors of input and output:
/// their `source` is the cause of what they wrap.
pub(crate) fn walk<'a>(
    error: &'a (dyn std::error::Error + 'static),
    visit: &mut impl FnMut(&'a (dyn std::error::Error + 'static)),
) {
    visit(error);
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    if let Some(wrapped) = wrapped {
        walk(wrapped, visit);
    } else if let Some(cause) = error.source() {
        walk(cause, visit);
    }
}

pub(super) fn late(service: &str, phase: Phase, limit: Duration) -> Error {
    let seconds = limit.as_secs_f32();
    let message = match phase {
        Phase::FirstByte => format!("no answer from {service} within {seconds:.1} seconds"),
        Phase::Pause => format!("{service} paused its answer for more than {seconds:.1} seconds"),
        Phase::Total => format!("{service} did not end its answer within {seconds:.1} seconds"),
        Phase::Caller => {
            format!("no answer from {service} in the {seconds:.1} seconds left for it")
        }
    };
    Error::new(ErrorKind::Timeout, message)
}

pub(super) fn lost(service: &str, error: Cause) -> Error {
    let message = format!("the connection to {service} was lost in the middle of the answer");
    Error::new(ErrorKind::Upstream { status: None }, message).caused_by(error)
}

/// The error that an answer with an error status stands for.
pub(super) fn from_answer(
    service: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[String],
) -> Error {
    let kind = if status == StatusCode::TOO_MANY_REQUESTS {
        ErrorKind::RateLimited { retry_after: retry::wished(headers) }
    } else if let Some(wish) =
        (status == StatusCode::SERVICE_UNAVAILABLE).then(|| retry::wished(headers)).flatten()
    {
        ErrorKind::Unavailable { retry_after: Some(wish) }
    } else {
        ErrorKind::Upstream { status: Some(status.as_u16()) }
    };
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_page = media_type.is_some_and(|value| value.starts_with(b"text/html"));
    let body_json = serde_json::from_slice(body).ok();
    let said = body_json.and_then(|body| said(alone(&body))).or_else(|| {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let is_text = !is_page && !text.is_empty() && !text.starts_with(['<', '{', '[']);
        is_text.then(|| Said { message: cut(text, TEXT_CHARS), code: None, param: None })
    });
    match said {
        Some(said) => said.into_error(kind, secrets),
        None => Error::new(kind, format!("{service} answered with status {}", status.as_u16())),
    }
}

/// The error that a body or an event stands for which came with a success status; nothing if it
/// is not an error.
pub(crate) fn error_in(body: &Value, secrets: &[String]) -> Option<Error> {
    let is_error = body.get("object").and_then(Value::as_str) == Some("error")
        || body.get("error").is_some_and(|error| !error.is_null() && *error != Value::Bool(false));
    if !is_error {
        return None;
    }
    let error = body.get("error").unwrap_or(body);
    let status = ["code", "status", "status_code"].iter().find_map(|key| error.get(key)?.as_u64());
    let status = status.and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (400..600).contains(status));
    let kind = match status {
        Some(429) => ErrorKind::RateLimited { retry_after: None },
        _ => ErrorKind::Upstream { status },
    };
    let nothing = || Said { message: error.to_string(), code: None, param: None };
    Some(said(body).unwrap_or_else(nothing).into_error(kind, secrets))
}

/// The error of a list that holds nothing else, which is how Google sends it.
fn alone(body: &Value) -> &Value {
    match body.as_array().map(Vec::as_slice) {
        Some([only]) => only,
        _ => body,
    }
}

/// What an upstream said about its error.
struct Said {
    message: String,
    code: Option<String>,
    param: Option<String>,
}

impl Said {
    fn into_error(self, kind: ErrorKind, secrets: &[String]) -> Error {
        let mut message = cut(&self.message, MESSAGE_CHARS);
        // Some upstreams repeat the key that they do not accept.
        for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
            message = message.replace(secret.as_str(), chaski_api::Secret::REDACTED);
        }
        let mut error = Error::new(kind, message);
        error.code = self.code.map(Into::into);
        error.param = self.param;
        error
    }
}

/// The shapes of error bodies: OpenAI's `{"error": {"message", "code", "param"}}`, vLLM's
/// `{"object": "error", "message"}`, `{"detail"}` of its web framework, and Ollama's `{"error": "..."}`.
fn said(body: &Value) -> Option<Said> {
    let text = |value: Option<&Value>| match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let plain = |message: String| Some(Said { message, code: None, param: None });
    match body.get("error") {
        // A word for programs, and the sentence beside it.
        Some(Value::String(code)) if code.len() < 64 && !code.contains(' ') => {
            if let Some(message) = text(body.get("message")) {
                return Some(Said { message, code: Some(code.clone()), param: None });
            }
            return plain(code.clone());
        }
        Some(Value::String(message)) => return plain(message.clone()),
        Some(error @ Value::Object(_)) => {
            let message = text(error.get("message")).or_else(|| text(error.get("detail")));
            if let Some(message) = message {
                let code = text(error.get("code")).or_else(|| text(error.get("type")));
                return Some(Said { message, code, param: text(error.get("param")) });
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => {}
    }
    // Mistral puts that list into its message, Llama Stack into its error.
    let list = body.get("detail").or_else(|| body.get("message")?.get("detail"));
    match list.or_else(|| body.pointer("/error/detail/errors")) {
        Some(Value::String(message)) => return plain(message.clone()),
        Some(Value::Array(details)) if !details.is_empty() => {
            let messages: Vec<String> = details.iter().map(detail).collect();
            return plain(messages.join("; "));
        }
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        )
        | None => {}
    }
    let message = text(body.get("message"))?;
    let code = text(body.get("code")).or_else(|| text(body.get("type")));
    Some(Said { message, code, param: text(body.get("param")) })
}

/// One entry of the web framework's list: `body.messages.0: Field required`.
fn detail(entry: &Value) -> String {
    let message = entry.get("msg").and_then(Value::as_str);
    let steps = entry.get("loc").and_then(Value::as_array).into_iter().flatten();
    let steps = steps.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
    let path = steps.collect::<Vec<_>>().join(".");
    match message {
        Some(message) if path.is_empty() => message.to_owned(),
        Some(message) => format!("{path}: {message}"),
        None => entry.to_string(),
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
