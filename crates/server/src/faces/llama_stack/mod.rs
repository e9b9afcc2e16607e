//! The Llama Stack face of inference: requests become OpenAI's, answers and events come back in
//! Llama Stack's form, with the token counts that its clients expect.

mod answer;
mod calls;
mod chat;
mod completion;
mod content;
mod embeddings;
mod events;
mod python_tag;
mod sampling;
mod stream;
mod tools;

#[cfg(test)]
mod tests;

pub(crate) use chat::chat_completion;
pub(crate) use completion::completion;
pub(crate) use embeddings::embeddings;

use chaski_api::{
    Error, ErrorKind, Result,
    models::{Model, ModelType},
};

/// Refuses embedding models. The message speaks of chats for completions too, as clients know it.
fn check_generates_text(model: &Model) -> Result<()> {
    match model.model_type {
        ModelType::Llm => Ok(()),
        ModelType::Embedding => Err(Error::invalid(format!(
            "Model '{}' is an embedding model and does not support chat completions",
            model.identifier
        ))),
    }
}

/// An answer of an upstream that has no content to translate.
fn no_choice() -> Error {
    Error::new(ErrorKind::Upstream { status: None }, "the upstream sent an answer without a choice")
}
