//! The collection of named schemas.

use serde_json::{Map, Value, json};

/// The named schemas met so far: the `components.schemas` of an `OpenAPI` document.
#[derive(Debug, Default)]
pub struct Schemas {
    named: Map<String, Value>,
    prefix: &'static str,
}

impl Schemas {
    /// Schemas whose references start with `prefix`, such as `#/components/schemas/`.
    pub fn with_prefix(prefix: &'static str) -> Self {
        Self { named: Map::new(), prefix }
    }

    /// A reference to the schema `name`, which is built unless it is known already.
    pub fn named(&mut self, name: &str, build: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.named.contains_key(name) {
            // The placeholder ends the recursion of types that contain themselves.
            self.named.insert(name.to_owned(), Value::Null);
            let schema = build(self);
            self.named.insert(name.to_owned(), schema);
        }
        let prefix = if self.prefix.is_empty() { "#/$defs/" } else { self.prefix };
        json!({ "$ref": format!("{prefix}{name}") })
    }

    /// The schema a reference points to, or the schema itself.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| reference.rsplit('/').next())
            .and_then(|name| self.named.get(name))
            .unwrap_or(schema)
    }

    pub fn into_named(self) -> Map<String, Value> {
        self.named
    }
}
