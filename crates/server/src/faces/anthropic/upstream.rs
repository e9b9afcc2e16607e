//! What an upstream of OpenAI's form answered, with what Anthropic's clients want to know besides.

use chaski_api::{Result, Wire, anthropic::MessagesUsage, openai::Usage};
use chaski_provider::Payload;
use serde::Deserialize;
use serde_json::Value;

/// A body or an event.
pub(super) struct Said<T> {
    pub(super) value: T,
    pub(super) more: More,
}

/// What some upstreams say beyond OpenAI's form.
#[derive(Debug, Default)]
pub(super) struct More {
    /// The text that ended the answer.
    pub(super) stop: Option<String>,
    /// The tokens of the prompt that a cache held.
    cached: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Probe {
    choices: Vec<ProbedChoice>,
    usage: Option<ProbedUsage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProbedChoice {
    // vLLM's, a text or the number of a token.
    stop_reason: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProbedUsage {
    prompt_tokens_details: Option<ProbedDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProbedDetails {
    cached_tokens: Option<i64>,
}

impl<T: Wire> Said<T> {
    /// # Errors
    /// `Upstream` when the text is not what it should be.
    pub(super) fn read(payload: Payload<T>) -> Result<Self> {
        let more = match &payload {
            Payload::Value(_) => More::default(),
            Payload::Raw(text) => {
                let probe = serde_json::from_slice::<Probe>(text).unwrap_or_default();
                let stop = probe.choices.into_iter().next().map(|choice| choice.stop_reason);
                let details = probe.usage.and_then(|usage| usage.prompt_tokens_details);
                More {
                    stop: stop.and_then(|stop| stop.as_str().map(str::to_owned)),
                    cached: details.and_then(|details| details.cached_tokens),
                }
            }
        };
        Ok(Self { value: payload.into_value()?, more })
    }
}

impl More {
    /// The usage in Anthropic's form, which counts cached tokens apart.
    pub(super) fn usage(&self, usage: &Usage) -> MessagesUsage {
        let cached = self.cached.filter(|cached| (0..=usage.prompt_tokens).contains(cached));
        MessagesUsage {
            input_tokens: usage.prompt_tokens - cached.unwrap_or(0),
            cache_creation_input_tokens: None,
            cache_read_input_tokens: cached,
            output_tokens: usage.completion_tokens,
        }
    }
}
