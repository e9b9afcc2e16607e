//! The providers of shields, one folder each, and their table.

mod bedrock;
mod code_scanner;
mod content;
mod llama_guard;
mod nvidia;
mod prompt_guard;

use chaski_provider::{Entry, SafetyProvider};

/// All providers of shields of this build.
pub const ALL: &[Entry<dyn SafetyProvider>] = &[
    Entry::of::<code_scanner::CodeScanner>(),
    Entry::of::<llama_guard::LlamaGuard>(),
    Entry::of::<bedrock::Bedrock>(),
    Entry::of::<nvidia::Nvidia>(),
    Entry::of::<prompt_guard::PromptGuard>(),
];

#[cfg(test)]
mod testing;
