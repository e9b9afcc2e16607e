//! The messages of a request, and what they are made of.

use super::ToolUseBlock;
use crate::wire::{Reader, Schemas, Wire};
use serde::Serialize;
use serde_json::{Value, json};

crate::wire! {
    /// Who speaks.
    pub enum InputRole {
        /// The user, and the tools.
        User = "user",
        /// The model.
        Assistant = "assistant",
        /// Whoever gives the orders, in the middle of the chat.
        System = "system",
    }

    /// A turn of the chat.
    pub struct InputMessage {
        /// Who speaks.
        pub role: InputRole,
        /// What is said.
        pub content: TextOr<InputBlock>,
    }

    /// A text.
    pub struct TextInput {
        /// The text.
        pub text: String,
    }

    /// An image in the request itself.
    pub struct Base64Source {
        /// `image/png`, `image/jpeg`, `image/gif`, `image/webp` or, for a document, `application/pdf`.
        pub media_type: String,
        /// The bytes in base64.
        pub data: String,
    }

    /// Something at an address.
    pub struct UrlSource {
        /// The address.
        pub url: String,
    }

    /// Where an image is.
    pub union ImageSource by "type" {
        Base64(Base64Source) = "base64",
        Url(UrlSource) = "url",
    }

    /// An image.
    pub struct ImageInput {
        /// Where it is.
        pub source: ImageSource,
    }

    /// A document that is a text.
    pub struct PlainTextSource {
        /// `text/plain`.
        pub media_type: String = "text/plain".to_owned(),
        /// The text.
        pub data: String,
    }

    /// A document that consists of texts and images.
    pub struct PartsSource {
        /// The parts.
        pub content: TextOr<DocumentPart>,
    }

    /// A part of a document.
    pub union DocumentPart by "type" {
        Text(TextInput) = "text",
        Image(ImageInput) = "image",
    }

    /// Where a document is.
    pub union DocumentSource by "type" {
        Base64(Base64Source) = "base64",
        Text(PlainTextSource) = "text",
        Content(PartsSource) = "content",
        Url(UrlSource) = "url",
    }

    /// A document.
    pub struct DocumentInput {
        /// Where it is.
        pub source: DocumentSource,
        /// Its title.
        pub title: Option<String>,
        /// What is to be known about it.
        pub context: Option<String>,
    }

    /// Something that a search has found.
    pub struct SearchResultInput {
        /// Its title.
        pub title: String,
        /// Where it was found.
        pub source: String,
        /// Its text.
        pub content: Vec<SearchResultPart>,
    }

    /// A part of what a search has found.
    pub union SearchResultPart by "type" {
        Text(TextInput) = "text",
    }

    /// What the model thought before, as it came.
    pub struct ThinkingInput {
        /// The thoughts.
        pub thinking: String,
        /// Anthropic's signature.
        pub signature: String = String::new(),
    }

    /// Encrypted thoughts of Anthropic's models.
    pub struct RedactedThinkingInput {
        /// The encrypted thoughts.
        pub data: String,
    }

    /// A part of the result of a tool.
    pub union ResultPart by "type" {
        Text(TextInput) = "text",
        Image(ImageInput) = "image",
        Document(DocumentInput) = "document",
        SearchResult(SearchResultInput) = "search_result",
    }

    /// The result of a tool.
    pub struct ToolResultInput {
        /// The call that it answers.
        pub tool_use_id: String,
        /// The result.
        pub content: Option<TextOr<ResultPart>>,
        /// Whether the tool failed.
        pub is_error: Option<bool>,
    }

    /// A part of a turn.
    pub union InputBlock by "type" {
        Text(TextInput) = "text",
        Image(ImageInput) = "image",
        Document(DocumentInput) = "document",
        SearchResult(SearchResultInput) = "search_result",
        Thinking(ThinkingInput) = "thinking",
        RedactedThinking(RedactedThinkingInput) = "redacted_thinking",
        ToolUse(ToolUseBlock) = "tool_use",
        ToolResult(ToolResultInput) = "tool_result",
    }
}

/// A text, or a list of parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TextOr<T> {
    Text(String),
    Parts(Vec<T>),
}

impl<T: Wire> Wire for TextOr<T> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(_) => Vec::read(value, reader).map(Self::Parts),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                reader.issue("string_type", "Input should be a valid string or a list of blocks")
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [{ "type": "string" }, Vec::<T>::schema(schemas)] })
    }
}
