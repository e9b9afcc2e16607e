//! The providers of tools that run in the server, one folder each, and their table.

mod rag_runtime;

use chaski_provider::{Entry, ToolRuntimeProvider};

/// All providers of tools of this build.
pub const ALL: &[Entry<dyn ToolRuntimeProvider>] = &[Entry::of::<rag_runtime::RagRuntime>()];
