//! JSON schemas as Anthropic's output format takes them.

use serde_json::Value;

/// The schema with every object closed, which Anthropic demands.
pub(super) fn closed(mut schema: Value) -> Value {
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("type").is_some_and(is_object) {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            for (key, member) in members {
                // Examples and constants are values and no schemas.
                if !matches!(key.as_str(), "const" | "default" | "enum" | "examples") {
                    close(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_object(kind: &Value) -> bool {
    *kind == "object"
        || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_object_is_closed_unless_it_says_otherwise() {
        let schema = json!({
            "type": "object",
            "properties": {
                "type": { "type": "string", "default": { "type": "object" } },
                "list": { "type": "array", "items": { "type": ["object", "null"] } },
                "open": { "type": "object", "additionalProperties": true },
            },
        });
        let mut expected = schema.clone();
        expected["additionalProperties"] = json!(false);
        expected["properties"]["list"]["items"]["additionalProperties"] = json!(false);
        assert_eq!(closed(schema), expected);
    }
}
