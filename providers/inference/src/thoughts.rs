//! Thoughts that a model wants back as it gave them, in `thinking_blocks` of messages.

use chaski_api::{
    Result, Wire,
    openai::{ChatChunk, ChatCompletion, THINKING_BLOCKS},
};
use chaski_provider::Payload;
use serde::Serialize;
use serde_json::{Value, json};

/// Thoughts with what shows that the model had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thought {
    Signed { thinking: String, signature: String },
    Encrypted { data: String },
}

impl Thought {
    /// What a block of Anthropic's form says; nothing if it is not signed.
    pub(crate) fn read(block: &Value) -> Option<Self> {
        let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
        let proof = |key: &str| Some(text(key)).filter(|proof| !proof.is_empty());
        match block["type"].as_str()? {
            "thinking" => {
                let (thinking, signature) = (text("thinking"), proof("signature")?);
                Some(Self::Signed { thinking, signature })
            }
            "redacted_thinking" => proof("data").map(|data| Self::Encrypted { data }),
            _ => None,
        }
    }

    /// Those of a message in OpenAI's form.
    pub(crate) fn of_message(message: &Value) -> Vec<Self> {
        let blocks = message[THINKING_BLOCKS].as_array();
        blocks.into_iter().flatten().filter_map(Self::read).collect()
    }

    /// The block in Anthropic's form.
    pub(crate) fn block(&self) -> Value {
        match self {
            Self::Signed { thinking, signature } => {
                json!({ "type": "thinking", "thinking": thinking, "signature": signature })
            }
            Self::Encrypted { data } => json!({ "type": "redacted_thinking", "data": data }),
        }
    }

    /// The member of a message, or of a delta.
    pub(crate) fn member(thoughts: &[Self]) -> Value {
        thoughts.iter().map(Self::block).collect()
    }
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
    let mut said = serde_json::to_value(said).map_err(chaski_api::Error::internal)?;
    said["choices"][0][T::SAID][THINKING_BLOCKS] = Thought::member(thoughts);
    Ok(Payload::Raw(said.to_string().into()))
}
