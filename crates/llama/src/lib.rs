//! Meta's Llama models: which there are, the prompts that they expect, and what their answers mean.
//!
//! Knows nothing of servers and networks: a conversation becomes text with [`Prompt`], and the text
//! that a model answers becomes words and calls with [`parse`] or, while it comes, with [`Reader`].

mod answer;
mod architecture;
mod call;
mod documents;
mod instructions;
mod models;
mod prompt;
mod python;
mod reader;
mod scan;
pub mod tokens;

pub use answer::{Answer, parse};
pub use architecture::{Architecture, Vision};
pub use call::{Builtin, Call, ToolFormat};
pub use documents::prompt_format;
pub use models::{CHECKLIST, Family, MODELS, Model, WeightFormat};
pub use prompt::{AnswerForm, Message, Prompt, PromptError, Style, SystemText, Tool, ToolChoice};
pub use reader::{End, Event, Reader};

#[cfg(test)]
mod tests;
