//! Ranking items, in the form of Llama Stack's successor.

use crate::wire::{AtLeast, Reader, Schemas, Wire};
use serde::Serialize;
use serde_json::{Value, json};

crate::wire! {
    /// What kind of part a text is.
    pub enum TextPartTag { Text = "text" }

    /// A text as a part of content.
    pub struct RerankTextPart {
        /// Always `text`.
        pub kind as "type": TextPartTag = TextPartTag::Text,
        /// The text.
        pub text: String,
    }

    /// What kind of part an image is.
    pub enum ImagePartTag { ImageUrl = "image_url" }

    /// Where an image is, and how closely it is looked at.
    pub struct RerankImageUrl {
        /// A `https:`, `http:` or `data:` address.
        pub url: String,
        /// `low`, `high` or `auto`.
        pub detail: Option<String>,
    }

    /// An image as a part of content. No provider of this build ranks images.
    pub struct RerankImagePart {
        /// Always `image_url`.
        pub kind as "type": ImagePartTag = ImagePartTag::ImageUrl,
        /// The image.
        pub image_url: RerankImageUrl,
    }

    /// A query and the items to rank by it.
    pub struct RerankItemsRequest {
        /// The registered rerank model, or an embedding model: then the vectors of query and items
        /// are compared.
        pub model: String,
        /// What the items are compared with.
        pub query: RerankContent,
        /// The items, at least one.
        pub items: Vec<RerankContent>,
        /// How many of the best items are answered; all of them unless given.
        pub max_num_results: Option<AtLeast<1>>,
    }

    /// An item and how well it fits the query.
    pub struct RerankData {
        /// Which item, from 0.
        pub index: i64,
        /// The higher, the better: for a rerank model from 0 to 1, for an embedding model the cosine
        /// of the angle between the vectors, from -1 to 1.
        pub relevance_score: f64,
    }

    /// The items, the best first.
    pub struct RerankResponse {
        /// The items, the best first.
        pub data: Vec<RerankData>,
    }
}

/// A text, or a part of content.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RerankContent {
    Text(String),
    Part(RerankTextPart),
    Image(RerankImagePart),
}

impl Wire for RerankContent {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match &value {
            Value::Object(part) if part.contains_key("image_url") => {
                RerankImagePart::read(value, reader).map(Self::Image)
            }
            Value::Object(_) => RerankTextPart::read(value, reader).map(Self::Part),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => String::read(value, reader).map(Self::Text),
        }
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [
            { "type": "string" },
            RerankTextPart::schema(schemas),
            RerankImagePart::schema(schemas),
        ] })
    }
}
