//! The inference types of the Llama Stack face.

mod content;
mod messages;
mod requests;
mod rerank;
mod sampling;
mod tools;
mod unparsed;

pub use content::*;
pub use messages::*;
pub use requests::*;
pub use rerank::*;
pub use sampling::*;
pub use tools::*;
pub use unparsed::{UnparsedToolCall, quoted};
