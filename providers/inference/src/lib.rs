//! The inference providers, one folder each, and their table.

mod adapter;
mod hosted;
mod images;
mod llama_cpp;
mod llama_models;
mod local;
mod ollama;
mod openai;
mod sentence_transformers;
#[cfg(test)]
mod tests;
mod vllm;

use chaski_provider::{Entry, InferenceProvider};

/// All inference providers of this build.
pub const ALL: &[Entry<dyn InferenceProvider>] = &[
    Entry::of::<llama_cpp::LlamaCpp>(),
    Entry::of::<sentence_transformers::SentenceTransformers>(),
    Entry::of::<ollama::Ollama>(),
    Entry::of::<openai::OpenAi>(),
    Entry::of::<vllm::Vllm>(),
];
