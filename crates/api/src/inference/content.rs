//! What a message contains: texts and images.

use crate::wire::{Reader, Schemas, Wire};
use serde::Serialize;
use serde_json::{Value, json};

crate::wire! {
    /// Where something is.
    pub struct Url {
        /// An `https:`, `http:`, `data:` or `file:` address.
        pub uri: String,
    }

    /// Text.
    pub struct TextContentItem {
        /// The text.
        pub text: String,
    }

    /// An image by address or by value. An address wins where both are given.
    pub struct UrlOrData {
        /// Where the image is.
        pub url: Option<Url>,
        /// The image file, in base64.
        pub data: Option<String>,
    }

    /// An image.
    pub struct ImageContentItem {
        /// The image, by address or by value.
        pub image: UrlOrData,
    }

    /// A piece of content.
    pub union ContentItem by "type" {
        Image(ImageContentItem) = "image",
        Text(TextContentItem) = "text",
    }
}

/// Text, one item, or a list of items; the form is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum InterleavedContent {
    Text(String),
    Item(ContentItem),
    Items(Vec<ContentItem>),
}

const ITEM: &str = "tagged-union[ImageContentItem,TextContentItem]";
const ITEMS: &str = "list[tagged-union[ImageContentItem,TextContentItem]]";

impl Wire for InterleavedContent {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        // Every branch of the union reports under its own name when none matches.
        let mark = reader.mark();
        let text = reader.key("str", |reader| String::read(value.clone(), reader));
        if let Some(text) = text {
            return Some(Self::Text(text));
        }
        let item = reader.key(ITEM, |reader| ContentItem::read(value.clone(), reader));
        if let Some(item) = item {
            drop(reader.take_since(mark));
            return Some(Self::Item(item));
        }
        let items = reader.key(ITEMS, |reader| Vec::<ContentItem>::read(value, reader));
        if items.is_some() {
            drop(reader.take_since(mark));
        }
        items.map(Self::Items)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [
            { "type": "string" },
            ContentItem::schema(schemas),
            Vec::<ContentItem>::schema(schemas),
        ] })
    }
}

impl From<String> for InterleavedContent {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The texts to embed: all strings, or all content items.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EmbeddingContents {
    Texts(Vec<String>),
    Items(Vec<ContentItem>),
}

impl Wire for EmbeddingContents {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let mark = reader.mark();
        let texts = reader.key("list[str]", |reader| Vec::<String>::read(value.clone(), reader));
        if let Some(texts) = texts {
            return Some(Self::Texts(texts));
        }
        let items = reader.key(ITEMS, |reader| Vec::<ContentItem>::read(value, reader));
        if items.is_some() {
            drop(reader.take_since(mark));
        }
        items.map(Self::Items)
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [
            { "type": "array", "items": { "type": "string" } },
            Vec::<ContentItem>::schema(schemas),
        ] })
    }
}
