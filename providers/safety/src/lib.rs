//! The providers of shields, one folder each, and their table.

mod code_scanner;
mod llama_guard;

use chaski_provider::{Entry, SafetyProvider};

/// All providers of shields of this build.
pub const ALL: &[Entry<dyn SafetyProvider>] =
    &[Entry::of::<code_scanner::CodeScanner>(), Entry::of::<llama_guard::LlamaGuard>()];
