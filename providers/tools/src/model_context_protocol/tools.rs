//! Tools of MCP servers in the terms of Llama Stack.

use chaski_api::tools::{INPUT_SCHEMA, ToolDef, ToolParameter};
use rmcp::model::Tool;
use serde_json::{Map, Value};

/// What a tool is; `uri` is the endpoint of its group.
pub(super) fn definition(tool: &Tool, uri: &str) -> ToolDef {
    let schema = tool.input_schema.as_ref();
    let mut metadata = Map::new();
    metadata.insert("endpoint".to_owned(), uri.into());
    metadata.insert(INPUT_SCHEMA.to_owned(), schema.clone().into());
    ToolDef {
        name: tool.name.to_string(),
        description: tool.description.as_deref().or(tool.title.as_deref()).map(str::to_owned),
        parameters: Some(parameters(schema)),
        metadata: Some(metadata),
    }
}

fn parameters(schema: &Map<String, Value>) -> Vec<ToolParameter> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| {
        required.is_some_and(|names| names.iter().any(|required| required.as_str() == Some(name)))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, property)| ToolParameter {
            name: name.clone(),
            parameter_type: kind(property).unwrap_or("string").to_owned(),
            description: text(property, "description").unwrap_or_default().to_owned(),
            required: is_required(name),
            default: property.get("default").filter(|default| !default.is_null()).cloned(),
        })
        .collect()
}

/// The type of a property; of several, the first that is not `null`.
fn kind(property: &Value) -> Option<&str> {
    if let Some(kind) = text(property, "type") {
        return Some(kind);
    }
    if let Some(kinds) = property.get("type") {
        let mut kinds = kinds.as_array()?.iter().filter_map(Value::as_str);
        return kinds.find(|kind| *kind != "null");
    }
    ["anyOf", "oneOf"].iter().find_map(|key| {
        let options = property.get(key)?.as_array()?;
        options.iter().filter_map(kind).find(|kind| *kind != "null")
    })
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_come_from_the_schema_and_honour_what_it_requires() {
        let tool: Tool = serde_json::from_value(json!({
            "name": "book", "description": "Books a room.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "room": { "type": "string", "description": "Which room" },
                    "guests": { "type": ["null", "integer"], "default": 2 },
                    "until": { "anyOf": [{ "type": "null" }, { "type": "number" }], "default": null },
                    "note": {},
                },
                "required": ["room"],
            },
        }))
        .unwrap();
        let definition = definition(&tool, "https://rooms.example/mcp");
        assert_eq!(
            (&*definition.name, definition.description.as_deref()),
            ("book", Some("Books a room."))
        );
        let metadata = definition.metadata.unwrap();
        assert_eq!(metadata["endpoint"], "https://rooms.example/mcp");
        assert_eq!(metadata["input_schema"]["required"], json!(["room"]));
        let parameters = serde_json::to_value(definition.parameters).unwrap();
        assert_eq!(
            parameters,
            json!([
                { "name": "room", "parameter_type": "string", "description": "Which room", "required": true, "default": null },
                { "name": "guests", "parameter_type": "integer", "description": "", "required": false, "default": 2 },
                { "name": "until", "parameter_type": "number", "description": "", "required": false, "default": null },
                { "name": "note", "parameter_type": "string", "description": "", "required": false, "default": null },
            ])
        );
    }

    #[test]
    fn a_schema_without_properties_has_no_parameters() {
        let tool: Tool =
            serde_json::from_value(json!({ "name": "now", "inputSchema": { "type": "object" } }))
                .unwrap();
        assert_eq!(definition(&tool, "u").parameters, Some(Vec::new()));
    }
}
