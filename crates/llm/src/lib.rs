//! Running language, embedding and rerank models in this process, on GGUF files, with llama.cpp.
//!
//! Knows no HTTP, no configuration file and no wire format of the stack.

mod activity;
mod backend;
mod bert;
mod cache;
#[cfg(test)]
mod definition;
mod embed;
mod error;
pub mod gguf;
mod grammar;
mod lease;
mod memory;
mod model;
mod picture;
mod plan;
mod prompt;
mod queue;
mod request;
mod rerank;
mod run;
mod sampling;
mod schema;
mod template;
mod text;
mod thoughts;
mod thread_priority;
mod tools;
mod vision;
mod worker;

pub use activity::Activity;
pub use embed::{Counter, Embedder, Input, Vectors};
pub use error::{Error, Result, size};
pub use grammar::Constraint;
pub use memory::available_memory;
pub use model::{
    DEFAULT_CONTEXT, DEFAULT_PARALLEL, LoadOptions, TextModel, default_batch_threads,
    default_threads,
};
pub use request::{Event, Events, Finish, Prompt, Request, Token};
pub use rerank::{Reranker, Scores};
pub use sampling::Sampling;
pub use template::Chat;
pub use tools::{Call, CallReader, Function};

#[cfg(test)]
mod tests;
