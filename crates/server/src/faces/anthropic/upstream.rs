//! What an upstream of OpenAI's form answered, with what Anthropic's clients want to know besides.

use chaski_api::{
    Result, Wire,
    anthropic::{ContentBlock, MessagesUsage, RedactedThinkingBlock, ThinkingBlock},
    openai::{Thought, Usage},
};
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
    /// The thoughts that the model wants back, as it gave them.
    pub(super) thoughts: Vec<ContentBlock>,
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
    message: Option<ProbedMessage>,
    // Some upstreams send both.
    delta: Option<ProbedMessage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProbedMessage {
    // Of models of Anthropic.
    thinking_blocks: Value,
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
                let ProbedChoice { stop_reason, message, delta } =
                    probe.choices.into_iter().next().unwrap_or_default();
                let said = message.into_iter().chain(delta);
                let blocks = said.map(|said| said.thinking_blocks).find(Value::is_array);
                let thoughts = Thought::read_all(&blocks.unwrap_or_default()).into_iter();
                let details = probe.usage.and_then(|usage| usage.prompt_tokens_details);
                More {
                    stop: stop_reason.as_str().map(str::to_owned),
                    thoughts: thoughts.map(block).collect(),
                    cached: details.and_then(|details| details.cached_tokens),
                }
            }
        };
        Ok(Self { value: payload.into_value()?, more })
    }
}

/// Thoughts as a block of Anthropic's form.
fn block(thought: Thought) -> ContentBlock {
    match thought {
        Thought::Signed { thinking, signature } => {
            ContentBlock::Thinking(ThinkingBlock { thinking, signature })
        }
        Thought::Encrypted { data } => {
            ContentBlock::RedactedThinking(RedactedThinkingBlock { data })
        }
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
