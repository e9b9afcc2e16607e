//! What the server says about requests: each failure once, with its cause.
//!
//! Texts that upstreams wrote are left to the debug level, and those that quote callers to the level
//! of traces, since they may have prompts and arguments in them.

use chaski_api::{Error, ErrorKind};
use http::{Method, StatusCode};
use std::time::Instant;

/// A request, or the rest of a stream, that failed.
pub(crate) fn failure(error: &Error) {
    match error.kind {
        ErrorKind::Internal => {
            tracing::error!(target: "server", "a fault of the server: {}", error.chain());
        }
        ErrorKind::Unavailable { .. } | ErrorKind::Timeout => {
            tracing::warn!(target: "server", "cannot serve: {}", error.chain());
        }
        ErrorKind::Upstream { status } => {
            tracing::warn!(target: "server", status, "an upstream failed");
            tracing::debug!(target: "server", "the upstream said: {}", error.chain());
        }
        ErrorKind::InvalidRequest
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::RateLimited { .. }
        | ErrorKind::Unsupported => {
            let (code, param) = (error.code.as_deref(), error.param.as_deref());
            tracing::debug!(target: "server", kind = ?error.kind, code, param, "refused");
            tracing::trace!(target: "server", "refused: {}", error.chain());
        }
    }
}

/// A request that was answered.
pub(crate) fn answered(method: &Method, path: &str, status: StatusCode, since: Instant) {
    let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    if status >= 400 {
        tracing::info!(target: "server", status, ms, "{method} {path}");
    } else {
        tracing::debug!(target: "server", status, ms, "{method} {path}");
    }
}
