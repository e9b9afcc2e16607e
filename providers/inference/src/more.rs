//! What answers say beyond OpenAI's form: thoughts that a model wants back, and the texts that ended
//! answers.

use chaski_api::{
    Error, Result, Wire,
    openai::{ChatChunk, ChatCompletion, STOP_REASON, THINKING_BLOCKS, Thought},
};
use chaski_provider::Payload;
use serde::Serialize;

/// What an answer, or an event of one, says besides.
#[derive(Debug, Default)]
pub(crate) struct More {
    /// The thoughts of the first choice that the model wants back, as it gave them.
    pub(crate) thoughts: Vec<Thought>,
    /// The texts that ended the choices, in their order.
    pub(crate) stops: Vec<Option<String>>,
}

/// A form in which more can be said.
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

impl More {
    /// The text that ended the only choice.
    pub(crate) fn stopped_by(stop: Option<String>) -> Self {
        Self { stops: vec![stop], ..Self::default() }
    }

    /// The answer, or the event of one, with this in its choices.
    ///
    /// # Errors
    /// None: the types of the API can be encoded.
    pub(crate) fn with<T: Carries>(self, said: T) -> Result<Payload<T>> {
        if self.thoughts.is_empty() && self.stops.iter().all(Option::is_none) {
            return Ok(Payload::Value(said));
        }
        let mut said = serde_json::to_value(said).map_err(Error::internal)?;
        if !self.thoughts.is_empty() {
            said["choices"][0][T::SAID][THINKING_BLOCKS] = Thought::member(&self.thoughts);
        }
        let choices = said["choices"].as_array_mut().into_iter().flatten();
        for (choice, stop) in choices.zip(self.stops) {
            if let Some(stop) = stop {
                choice[STOP_REASON] = stop.into();
            }
        }
        Ok(Payload::Raw(said.to_string().into()))
    }
}
