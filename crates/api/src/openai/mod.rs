//! OpenAI's shapes, which are also the shapes inside: routers and providers speak them.
//!
//! Requests keep their body as it came, so that fields this server does not know reach the
//! upstream unchanged; the known fields are checked against the tables here.

pub(crate) mod body;
mod calls;
mod chat;
mod chunk;
mod completions;
mod embeddings;
mod files;
mod moderations;
mod open;
mod rerank;
mod thoughts;
mod tolerant;
mod uploads;
mod vector_store_files;
mod vector_stores;

pub use body::{Field, Kind};
pub use chat::*;
pub use completions::*;
pub use embeddings::*;
pub use files::*;
pub use moderations::*;
pub use open::Body;
pub use rerank::*;
pub use thoughts::*;
pub use uploads::*;
pub use vector_store_files::*;
pub use vector_stores::*;
