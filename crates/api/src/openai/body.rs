//! Request bodies that are kept as they came, with a table of known fields.

use super::Body;
use crate::wire::{Reader, Schemas};
use serde_json::{Map, Value, json};

/// What a field of a request body may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Bool,
    /// An integer within the bounds, both included.
    Integer(i64, i64),
    /// A number within the bounds, both included.
    Number(f64, f64),
    /// A list with at most so many items.
    List(usize),
    Object,
    /// A text, or a list of at most so many texts.
    TextOrList(usize),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Anything; the provider decides.
    Any,
}

/// A known field of a request body.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub doc: &'static str,
}

impl Field {
    pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: true, doc }
    }
    pub const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, doc }
    }
}

/// Checks the known fields and returns the body with everything in it.
pub(crate) fn read(fields: &[Field], body: Body, reader: &mut Reader) -> Option<Body> {
    let mark = reader.mark();
    for field in fields {
        // Most fields are not there.
        let value = if body.contains_key(field.name) {
            if body.text(field.name).is_some_and(|text| is_clearly(field.kind, text)) {
                continue;
            }
            body.get(field.name)
        } else {
            None
        };
        match value {
            None | Some(Value::Null) if field.required => {
                reader.key(field.name, |reader| reader.issue::<()>("missing", "Field required"));
            }
            None | Some(Value::Null) => {}
            Some(value) => {
                reader.key(field.name, |reader| check(field.kind, value, reader));
            }
        }
    }
    (!reader.failed_since(mark)).then_some(body)
}

/// Whether a JSON text is of a kind, as far as its ends show. What they do not show is decoded.
fn is_clearly(kind: Kind, text: &[u8]) -> bool {
    match (kind, text.first()) {
        (Kind::Any, Some(first)) => *first != b'n',
        (Kind::Text, Some(b'"')) | (Kind::Object, Some(b'{')) => true,
        // Each item takes two bytes at least.
        (Kind::List(most), Some(b'[')) => text.len() / 2 <= most,
        (_, _) => false,
    }
}

fn check(kind: Kind, value: &Value, reader: &mut Reader) {
    let problem = match kind {
        Kind::Any => None,
        Kind::Text => (!value.is_string()).then(|| "must be a string".to_owned()),
        Kind::Bool => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
        Kind::Object => (!value.is_object()).then(|| "must be an object".to_owned()),
        Kind::Integer(min, max) => {
            let fits = value.as_i64().is_some_and(|number| (min..=max).contains(&number));
            (!fits).then(|| match max {
                i64::MAX => format!("must be an integer of at least {min}"),
                _ => format!("must be an integer from {min} to {max}"),
            })
        }
        Kind::Number(min, max) => {
            let fits = value.as_f64().is_some_and(|number| (min..=max).contains(&number));
            (!fits).then(|| format!("must be a number from {min} to {max}"))
        }
        Kind::List(most) => {
            let fits = value.as_array().is_some_and(|items| items.len() <= most);
            (!fits).then(|| format!("must be a list of at most {most} items"))
        }
        Kind::TextOrList(most) => {
            let fits = value.is_string()
                || value
                    .as_array()
                    .is_some_and(|items| items.len() <= most && items.iter().all(Value::is_string));
            (!fits).then(|| format!("must be a string or a list of at most {most} strings"))
        }
        Kind::OneOf(texts) => {
            let fits = value.as_str().is_some_and(|text| texts.contains(&text));
            (!fits).then(|| format!("must be {}", crate::wire::alternatives(texts)))
        }
    };
    if let Some(problem) = problem {
        let mut shown = value.to_string();
        if shown.len() > 60 {
            let end = shown.floor_char_boundary(60);
            shown.truncate(end);
            shown.push_str("...");
        }
        reader.issue::<()>("invalid_value", format!("{problem}, not {shown}"));
    }
}

pub(crate) fn schema(name: &str, fields: &[Field], schemas: &mut Schemas) -> Value {
    schemas.named(name, |_| {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            let mut schema = match field.kind {
                Kind::Text => json!({ "type": "string" }),
                Kind::Bool => json!({ "type": "boolean" }),
                Kind::Integer(min, i64::MAX) => json!({ "type": "integer", "minimum": min }),
                Kind::Integer(min, max) => {
                    json!({ "type": "integer", "minimum": min, "maximum": max })
                }
                Kind::Number(min, max) => {
                    json!({ "type": "number", "minimum": min, "maximum": max })
                }
                Kind::List(most) => json!({ "type": "array", "maxItems": most }),
                Kind::Object => json!({ "type": "object" }),
                Kind::TextOrList(most) => json!({ "anyOf": [
                    { "type": "string" },
                    { "type": "array", "items": { "type": "string" }, "maxItems": most },
                ] }),
                Kind::OneOf(texts) => json!({ "type": "string", "enum": texts }),
                Kind::Any => json!({}),
            };
            schema["description"] = field.doc.into();
            if field.required {
                required.push(field.name);
            }
            properties.insert(field.name.to_owned(), schema);
        }
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": true,
        })
    })
}

/// A request body that is kept as it came, with a table of its known fields. Where these have
/// types of their own, `as T` names the type that describes the whole body.
macro_rules! open_body {
    (@schema $schemas:ident $name:ident) => {
        crate::openai::body::schema(stringify!($name), Self::FIELDS, $schemas)
    };
    (@schema $schemas:ident $name:ident $described:ty) => {
        <$described as crate::wire::Wire>::schema($schemas)
    };
    ($(#[doc = $doc:literal])* $name:ident $(as $described:ty)?, $fields:expr) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name {
            pub body: crate::openai::Body,
        }
        impl $name {
            /// The known fields.
            pub const FIELDS: &'static [crate::openai::Field] = $fields;
            /// The id of the model that the request names.
            pub fn model(&self) -> &str {
                self.body.get("model").and_then(serde_json::Value::as_str).unwrap_or_default()
            }
            /// Names another model.
            pub fn set_model(&mut self, id: &str) {
                self.body.insert("model".to_owned(), id.into());
            }
            /// Whether the answer is wanted as a stream of events.
            pub fn stream(&self) -> bool {
                self.body.get("stream").and_then(serde_json::Value::as_bool).unwrap_or_default()
            }
        }
        impl crate::wire::Wire for $name {
            fn read(value: serde_json::Value, reader: &mut crate::wire::Reader) -> Option<Self> {
                let body = reader.object(value)?.into();
                Self::read_body(body, reader)
            }
            fn read_body(
                body: crate::openai::Body,
                reader: &mut crate::wire::Reader,
            ) -> Option<Self> {
                crate::openai::body::read(Self::FIELDS, body, reader).map(|body| Self { body })
            }
            fn schema(schemas: &mut crate::wire::Schemas) -> serde_json::Value {
                crate::openai::body::open_body!(@schema schemas $name $($described)?)
            }
        }
    };
}
pub(crate) use open_body;
