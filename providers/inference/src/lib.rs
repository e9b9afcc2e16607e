//! The inference providers, one folder each, and their table.

mod openai_compatible;
mod vllm;

use chaski_provider::{Entry, InferenceProvider};

/// All inference providers of this build.
pub const ALL: &[Entry<dyn InferenceProvider>] = &[Entry::of::<vllm::Vllm>()];
