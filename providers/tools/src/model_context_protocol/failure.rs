//! What goes wrong with an MCP server, by server and phase.

use super::http::Failed;
use chaski_api::{Error, ErrorKind};
use rmcp::{
    model::ErrorCode,
    service::{ClientInitializeError, ServiceError},
    transport::{DynamicTransportError, streamable_http_client::StreamableHttpError},
};
use std::{fmt, time::Duration};

/// How much of a server's own text is shown.
const CHARS: usize = 500;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connect,
    Initialize,
    ListTools,
    Call,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Initialize => "initialize",
            Self::ListTools => "list tools",
            Self::Call => "call",
        })
    }
}

/// The error with the name of the server and what was being done.
pub(super) fn named(server: &str, phase: Phase, error: Error) -> Error {
    let mut message = format!("MCP server `{server}`, phase `{phase}`: {}", error.message);
    if let ErrorKind::Upstream { status: Some(401 | 403) } = error.kind {
        message.push_str(
            "; pass the credentials that it wants in the header X-LlamaStack-Provider-Data as \
             {\"mcp_headers\": {\"<address of the server>\": {\"Authorization\": \"Bearer ...\"}}}",
        );
    }
    Error { message, ..error }
}

/// Nothing came within `limit`.
pub(super) fn late(limit: Duration) -> Error {
    let seconds = limit.as_secs_f32();
    Error::new(ErrorKind::Timeout, format!("there was no answer within {seconds:.1} seconds"))
}

/// Why there is no session.
pub(super) fn not_initialized(error: &ClientInitializeError) -> (Phase, Error) {
    if let ClientInitializeError::TransportError { error, .. } = error {
        let error = of_transport(error);
        let reached = !matches!(
            error.kind,
            ErrorKind::InvalidRequest | ErrorKind::Unavailable { .. } | ErrorKind::Timeout
        );
        return (if reached { Phase::Initialize } else { Phase::Connect }, error);
    }
    let error = if let ClientInitializeError::JsonRpcError(error) = error {
        answered(&error.message)
    } else if let ClientInitializeError::ConnectionClosed(_) = error {
        upstream("it closed the connection or did not answer with a message of the protocol")
    } else {
        strange(error)
    };
    (Phase::Initialize, error)
}

/// Why a request has no answer.
pub(super) fn of_service(error: &ServiceError) -> Error {
    if let ServiceError::McpError(error) = error {
        return if error.code == ErrorCode::INVALID_PARAMS {
            Error::invalid(format!("it refused the arguments: {}", shortened(&error.message)))
        } else {
            answered(&error.message)
        };
    }
    if let ServiceError::TransportSend(error) = error {
        return of_transport(error);
    }
    if let ServiceError::TransportClosed = error {
        return upstream("it closed the connection");
    }
    strange(error)
}

fn answered(message: &str) -> Error {
    upstream(format!("it answered: {}", shortened(message)))
}

fn strange(error: &impl fmt::Display) -> Error {
    upstream(format!("its answer is not that of the protocol: {}", shown(error)))
}

fn of_transport(error: &DynamicTransportError) -> Error {
    let cause = error.error.as_ref();
    if let Some(Failed(error)) = cause.downcast_ref() {
        return again(error);
    }
    match cause.downcast_ref::<StreamableHttpError<Failed>>() {
        Some(StreamableHttpError::Client(Failed(error))) => again(error),
        Some(StreamableHttpError::ResponseBodyTooLarge { max_size }) => {
            upstream(format!("its answer has more than {max_size} bytes"))
        }
        Some(other) => upstream(shown(other)),
        None => upstream(shown(cause)),
    }
}

fn again(error: &Error) -> Error {
    Error::new(error.kind.clone(), shortened(&error.message))
}

pub(super) fn upstream(message: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, message)
}

fn shown(error: &(impl fmt::Display + ?Sized)) -> String {
    shortened(&error.to_string())
}

/// A text of the server without control characters, cut to a length that fits into a message.
fn shortened(text: &str) -> String {
    let mut text: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if let Some((end, _)) = text.char_indices().nth(CHARS) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}
