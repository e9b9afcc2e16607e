//! The engine's process-wide state, made once.

use crate::{Error, Result};
use llama_cpp_2::{LogOptions, llama_backend::LlamaBackend, send_logs_to_tracing};
use std::sync::OnceLock;

/// The engine sets up its compute back ends once per process and forbids to do so again.
static BACKEND: OnceLock<Result<LlamaBackend>> = OnceLock::new();

pub(crate) fn backend() -> Result<&'static LlamaBackend> {
    let made = BACKEND.get_or_init(|| {
        // The engine logs much at its level "info": it is passed on when details are wanted.
        let wanted = tracing::enabled!(target: "inference", tracing::Level::DEBUG);
        send_logs_to_tracing(LogOptions::default().with_logs_enabled(wanted));
        LlamaBackend::init().map_err(Error::engine)
    });
    made.as_ref().map_err(Clone::clone)
}
