//! What all events of an answer have in common, for providers that make OpenAI's form themselves.

use chaski_api::openai::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, TextChoice, TextCompletion, Usage,
};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// An answer's id, its time and the model that gives it.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    id: String,
    created: i64,
    model: String,
}

impl Head {
    pub(crate) fn of_chat(model: impl Into<String>) -> Self {
        Self::new("chatcmpl", model.into())
    }

    pub(crate) fn of_text(model: impl Into<String>) -> Self {
        Self::new("cmpl", model.into())
    }

    fn new(kind: &str, model: String) -> Self {
        Self { id: format!("{kind}-{}", Uuid::new_v4().simple()), created: now(), model }
    }

    /// A whole answer of a chat.
    pub(crate) fn chat(self, choices: Vec<ChatChoice>, usage: Option<Usage>) -> ChatCompletion {
        ChatCompletion {
            id: self.id,
            object: "chat.completion".to_owned(),
            created: self.created,
            model: self.model,
            choices,
            usage,
        }
    }

    /// An event of a chat.
    pub(crate) fn chunk(&self, choices: Vec<ChatChunkChoice>, usage: Option<Usage>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }

    /// A completion of a text, or an event of one.
    pub(crate) fn text(&self, choices: Vec<TextChoice>, usage: Option<Usage>) -> TextCompletion {
        TextCompletion {
            id: self.id.clone(),
            object: "text_completion".to_owned(),
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or_default()
}

/// Whether a stream is to end with the number of its tokens, as its `stream_options` say.
pub(crate) fn usage_wanted(stream_options: Option<&Value>) -> bool {
    let wanted = stream_options.and_then(|options| options.get("include_usage")?.as_bool());
    wanted.unwrap_or_default()
}
