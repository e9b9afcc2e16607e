//! Everything outbound: the guarded HTTP client, event framing, and OpenAI dialects as data.

/// The HTTP client of the process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Http {}
