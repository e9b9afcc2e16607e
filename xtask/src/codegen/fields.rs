//! Tables of fields from JSON schemas.

use super::page::{Page, one_line};
use chaski_api::Schemas;
use serde_json::Value;

pub(super) const HEAD: &[&str] = &["Field", "Type", "Default", "Meaning"];

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn quoted(value: &Value) -> String {
    format!("`{value}`")
}

/// The type of a schema in a few words, with the names of types as links on the same page.
pub(super) fn type_name(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(texts) = schema["enum"].as_array() {
        return texts.iter().map(quoted).collect::<Vec<_>>().join(" or ");
    }
    if !schema["const"].is_null() {
        return quoted(&schema["const"]);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(parts) = schema[key].as_array() {
            let mut names: Vec<String> = parts.iter().map(type_name).collect();
            names.retain(|name| name != "null");
            names.dedup();
            return names.join(" or ");
        }
    }
    if let Some(first) = schema["allOf"].as_array().and_then(|parts| parts.first()) {
        // A variant of a union: its type, and the tag that tells it apart.
        return type_name(first);
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => {
            format!("list of {}", type_name(&schema["items"]))
        }
        Value::String(kind) if kind == "object" && schema["additionalProperties"].is_object() => {
            format!("map of {}", type_name(&schema["additionalProperties"]))
        }
        Value::String(kind) => bounded(kind, schema),
        Value::Array(kinds) => {
            let kinds: Vec<&str> =
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            kinds.join(" or ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    }
}

/// The name of the type that a schema refers to.
pub(super) fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next())
}

fn is_secret(schema: &Value) -> bool {
    schema["format"] == "password"
}

/// `integer from 1 to 5`, `secret`, `string`.
fn bounded(kind: &str, schema: &Value) -> String {
    if is_secret(schema) {
        return "secret".to_owned();
    }
    let mut words = vec![kind.to_owned()];
    for (key, word) in [("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to")] {
        if let Some(bound) = schema[key].as_number() {
            words.push(format!("{word} {bound}"));
        }
    }
    words.join(" ")
}

/// What a field is when it is left out.
fn default(schema: &Value, required: bool) -> String {
    if required {
        return "required".to_owned();
    }
    // The fields of a structure have defaults of their own.
    let is_structure = |value: &Value| value.as_object().is_some_and(|members| !members.is_empty());
    schema
        .get("default")
        .filter(|value| !value.is_null() && !is_structure(value) && !is_secret(schema))
        .map_or_else(String::new, quoted)
}

/// The fields of an object schema.
pub(super) fn rows(schema: &Value) -> Vec<Vec<String>> {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    properties
        .iter()
        .map(|(name, field)| {
            vec![
                format!("`{name}`"),
                type_name(field),
                default(field, required.contains(&name.as_str())),
                one_line(text(field, "description")),
            ]
        })
        .collect()
}

/// The section of a schema: its description, and its fields or alternatives.
fn section(page: &mut Page, schema: &Value) {
    page.block(&one_line(text(schema, "description")));
    let rows = rows(schema);
    if !rows.is_empty() {
        page.table(HEAD, &rows);
    } else if schema["properties"].is_object() {
        page.block("No fields.");
    } else if ["enum", "oneOf", "anyOf"].iter().any(|key| schema[*key].is_array()) {
        page.block(&format!("One of: {}.", type_name(schema)));
    } else {
        page.block(&format!("Type: {}.", type_name(schema)));
    }
}

/// What a schema says, under a heading that is already written.
pub(super) fn described(page: &mut Page, schemas: &Schemas, schema: &Value) {
    section(page, schemas.resolve(schema));
}

/// The sections of the named types, except those that stand on the page already.
pub(super) fn types(page: &mut Page, schemas: Schemas, level: usize, except: &[String]) {
    let named = schemas.into_named();
    let mut names: Vec<&String> = named.keys().filter(|name| !except.contains(name)).collect();
    names.sort();
    for name in names {
        page.heading(level, name);
        section(page, &named[name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: &Value, expected: &str) {
        assert_eq!(type_name(schema), expected, "{schema}");
    }

    #[test]
    fn types_have_short_names() {
        check(&json!({ "type": "string" }), "string");
        check(&json!({ "type": "string", "format": "password" }), "secret");
        check(&json!({ "type": "integer", "minimum": 1, "maximum": 5 }), "integer from 1 to 5");
        check(&json!({ "type": "array", "items": { "type": "string" } }), "list of string");
        check(&json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }), "string");
        check(&json!({ "$ref": "#/$defs/Model" }), "[Model](#model)");
        check(&json!({ "enum": ["a", "b"] }), "`\"a\"` or `\"b\"`");
        check(&json!({}), "any");
    }

    #[test]
    fn fields_say_whether_they_are_required() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": { "type": "string", "description": "What\n it is." },
                "b": { "type": "integer", "default": 3 },
            },
            "required": ["a"],
        });
        assert_eq!(
            rows(&schema),
            [["`a`", "string", "required", "What it is."], ["`b`", "integer", "`3`", ""]]
        );
    }
}
