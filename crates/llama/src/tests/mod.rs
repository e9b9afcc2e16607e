//! Prompts and answers from outside.

mod answers;
mod prompts;
