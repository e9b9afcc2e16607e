//! Thoughts that a model wants back as it gave them, in `thinking_blocks` of messages.

use chaski_api::{
    Error, ErrorKind, Result, Wire,
    openai::{ChatChunk, ChatCompletion, THINKING_BLOCKS, Thought},
};
use chaski_provider::Payload;
use serde::Serialize;

/// The most bytes of thoughts that wait for their signature.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// # Errors
/// `Upstream` if so many bytes of thoughts of the provider called `name` are too many to wait for
/// their signature.
pub(crate) fn check_length(bytes: usize, name: &str) -> Result<()> {
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let message = format!("{name} sent thoughts of more than {MOST_BYTES} bytes");
    Err(Error::new(ErrorKind::Upstream { status: None }, message))
}

/// A form in which thoughts come.
pub(crate) trait Carries: Wire + Serialize {
    /// The member of a choice with what is said.
    const SAID: &'static str;
}

impl Carries for ChatCompletion {
    const SAID: &'static str = "message";
}

impl Carries for ChatChunk {
    const SAID: &'static str = "delta";
}

/// The answer, or the event of one, with these thoughts in its first choice.
///
/// # Errors
/// None: the types of the API can be encoded.
pub(crate) fn with<T: Carries>(said: T, thoughts: &[Thought]) -> Result<Payload<T>> {
    if thoughts.is_empty() {
        return Ok(Payload::Value(said));
    }
    let mut said = serde_json::to_value(said).map_err(Error::internal)?;
    said["choices"][0][T::SAID][THINKING_BLOCKS] = Thought::member(thoughts);
    Ok(Payload::Raw(said.to_string().into()))
}
