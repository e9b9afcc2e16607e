//! Anthropic's shapes (Anthropic API, "Messages").
//!
//! Requests keep their body as it came, so that an upstream which speaks the same API is sent all
//! of it. What another upstream is asked for is read from it as [`MessagesBody`].

mod answer;
mod content;
mod requests;
#[cfg(test)]
mod tests;

pub use answer::*;
pub use content::*;
pub use requests::*;
