//! Thoughts that a model wants back as it gave them.

use super::THINKING_BLOCKS;
use serde_json::{Value, json};

/// Thoughts with what shows that the model had them: a block `thinking` or `redacted_thinking`
/// (Anthropic API, "Extended thinking"), as it stands in [`THINKING_BLOCKS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thought {
    /// Readable, with a signature.
    Signed { thinking: String, signature: String },
    /// Encrypted, in base64.
    Encrypted { data: String },
}

impl Thought {
    /// What a block says; nothing if it is neither signed nor encrypted.
    pub fn read(block: &Value) -> Option<Self> {
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

    /// Those of a list of blocks; none if it is no list.
    pub fn read_all(blocks: &Value) -> Vec<Self> {
        blocks.as_array().into_iter().flatten().filter_map(Self::read).collect()
    }

    /// Those of a message.
    pub fn of_message(message: &Value) -> Vec<Self> {
        Self::read_all(&message[THINKING_BLOCKS])
    }

    /// The block.
    pub fn block(&self) -> Value {
        match self {
            Self::Signed { thinking, signature } => {
                json!({ "type": "thinking", "thinking": thinking, "signature": signature })
            }
            Self::Encrypted { data } => json!({ "type": "redacted_thinking", "data": data }),
        }
    }

    /// The member of a message, or of a delta.
    pub fn member(thoughts: &[Self]) -> Value {
        thoughts.iter().map(Self::block).collect()
    }
}
