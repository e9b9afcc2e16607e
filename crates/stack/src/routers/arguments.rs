//! Whether the arguments of a call are what its tool takes.

use chaski_api::{Error, Result, tools::Tool};
use serde_json::{Map, Value};

/// The most problems that a message names.
const MOST: usize = 5;

/// Checks arguments against the JSON schema of the tool.
///
/// # Errors
/// `InvalidRequest` that names each argument that is missing or wrong.
pub(super) fn check(tool: &Tool, arguments: &Map<String, Value>) -> Result<()> {
    let Ok(validator) = jsonschema::validator_for(&tool.input_schema()) else {
        // The schema is the provider's, and the caller cannot mend it.
        tracing::warn!(
            target: "tools",
            tool = %tool.identifier,
            "the arguments of a tool cannot be checked: its schema is not valid"
        );
        return Ok(());
    };
    let arguments = Value::Object(arguments.clone());
    let problems: Vec<String> = validator
        .iter_errors(&arguments)
        .take(MOST)
        .map(|error| match error.instance_path().as_str() {
            "" => error.to_string(),
            path => format!("`{}`: {error}", path.trim_start_matches('/')),
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the arguments of the tool `{}` are not what it takes: {}",
        tool.identifier,
        problems.join("; ")
    );
    Err(Error::invalid(message).with_param("kwargs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;
    use serde_json::json;

    fn tool(parameters: &Value, metadata: &Value) -> Tool {
        Tool::from_json(json!({
            "identifier": "add", "provider_resource_id": "add", "provider_id": "p",
            "toolgroup_id": "g", "tool_host": "distribution", "description": "Adds.",
            "parameters": parameters, "metadata": metadata,
        }))
        .unwrap()
    }

    fn problem(tool: &Tool, arguments: Value) -> Option<String> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        check(tool, &arguments).err().map(|error| error.message)
    }

    #[test]
    fn missing_and_wrong_arguments_are_named() {
        let tool = tool(
            &json!([
                { "name": "a", "parameter_type": "integer", "description": "" },
                { "name": "b", "parameter_type": "number", "description": "", "default": 1 },
            ]),
            &Value::Null,
        );
        assert_eq!(problem(&tool, json!({ "a": 1 })), None);
        assert_eq!(problem(&tool, json!({ "a": 1, "b": 2.5, "more": true })), None);
        let start = "the arguments of the tool `add` are not what it takes: ";
        assert_eq!(problem(&tool, json!({})), Some(format!("{start}\"a\" is a required property")));
        assert_eq!(
            problem(&tool, json!({ "a": "x", "b": [] })),
            Some(format!(
                "{start}`a`: \"x\" is not of type \"integer\"; `b`: [] is not of type \"number\""
            ))
        );
    }

    #[test]
    fn the_schema_of_the_provider_counts_where_it_has_one() {
        let schema = json!({
            "type": "object", "additionalProperties": false,
            "properties": { "place": { "type": "object", "required": ["city"] } },
        });
        let tool = tool(&json!([]), &json!({ "input_schema": schema }));
        assert_eq!(problem(&tool, json!({ "place": { "city": "Cusco" } })), None);
        assert!(
            problem(&tool, json!({ "place": {} }))
                .unwrap()
                .contains("`place`: \"city\" is a required")
        );
        assert!(problem(&tool, json!({ "other": 1 })).unwrap().contains("'other' was unexpected"));
    }

    #[test]
    fn a_schema_that_is_none_stops_nobody() {
        let tool = tool(&json!([]), &json!({ "input_schema": { "type": "nonsense" } }));
        assert_eq!(problem(&tool, json!({ "a": 1 })), None);
    }
}
