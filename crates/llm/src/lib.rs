//! Running language and embedding models in this process, on GGUF files, with llama.cpp.
//!
//! Knows no HTTP, no configuration file and no wire format of the stack.

mod error;
pub mod gguf;

pub use error::{Error, Result, size};
