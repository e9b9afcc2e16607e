//! Running language, embedding and rerank models in this process, on GGUF files, with llama.cpp.
//!
//! Knows no HTTP, no configuration file and no wire format of the stack.

mod backend;
mod embed;
mod error;
pub mod gguf;
mod grammar;
mod memory;
mod model;
mod rerank;
mod run;
mod sampling;
mod template;
mod text;
mod tools;
mod worker;

pub use embed::{Embedder, Input, Vectors};
pub use error::{Error, Result, size};
pub use grammar::Constraint;
pub use memory::available_memory;
pub use model::{
    DEFAULT_CONTEXT, Event, Events, Finish, LoadOptions, Prompt, Request, TextModel, Token,
    default_threads,
};
pub use rerank::{Reranker, Scores};
pub use sampling::Sampling;
pub use template::Chat;
pub use tools::{Call, CallReader, Function};

#[cfg(test)]
mod tests;
