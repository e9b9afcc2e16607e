//! Tools in the form of the Converse API.

use chaski_api::{Error, Result, openai::Body};
use serde_json::{Value, json};

/// The value of `toolConfig`; nothing where the model is offered no tools.
///
/// `called` are the names of the tools that earlier messages called: Bedrock refuses those messages
/// where no tools are described, so that they are then described by their names alone.
pub(super) fn config(body: &Body, called: &[String]) -> Result<Option<Value>> {
    let choice = body.get("tool_choice").filter(|choice| !choice.is_null());
    let none = choice.and_then(Value::as_str) == Some("none");
    let given = body.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let offered: Result<Vec<Value>> =
        given.iter().enumerate().map(|(index, tool)| specification(index, tool)).collect();
    let mut offered = offered?;
    if none && called.is_empty() {
        return Ok(None);
    }
    if offered.is_empty() {
        offered = called.iter().map(|name| described(name, None, None)).collect();
    }
    if offered.is_empty() {
        return Ok(None);
    }
    let mut config = json!({ "tools": offered });
    if let Some(choice) = choice
        && let Some(choice) = self::choice(choice)?
    {
        config["toolChoice"] = choice;
    }
    Ok(Some(config))
}

fn specification(index: usize, tool: &Value) -> Result<Value> {
    let wrong = |what: &str| {
        let message = format!("`tools[{index}]` {what}");
        Err(Error::invalid(message).with_param("tools"))
    };
    if tool.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "function") {
        return wrong("is not a function, and Bedrock offers only functions to models");
    }
    let function = tool.get("function");
    let Some(name) = function.and_then(|function| function.get("name")?.as_str()) else {
        return wrong("has no `function.name`");
    };
    let text = |key: &str| function.and_then(|function| function.get(key)?.as_str());
    let parameters = function.and_then(|function| function.get("parameters"));
    let mut described = described(name, text("description"), parameters);
    if function.and_then(|function| function.get("strict")) == Some(&Value::Bool(true)) {
        described["toolSpec"]["strict"] = true.into();
    }
    Ok(described)
}

fn described(name: &str, description: Option<&str>, parameters: Option<&Value>) -> Value {
    let nothing = || json!({ "type": "object", "properties": {} });
    let schema = parameters.filter(|schema| schema.is_object()).cloned().unwrap_or_else(nothing);
    let mut specification = json!({ "name": name, "inputSchema": { "json": schema } });
    // Bedrock refuses empty descriptions.
    if let Some(description) = description.filter(|text| !text.trim().is_empty()) {
        specification["description"] = description.into();
    }
    json!({ "toolSpec": specification })
}

/// The value of `toolChoice`; nothing for what models do anyway, since some do not know the field.
fn choice(choice: &Value) -> Result<Option<Value>> {
    let name = choice.get("function").and_then(|function| function.get("name")?.as_str());
    match (choice.as_str(), name) {
        (Some("auto" | "none"), _) => Ok(None),
        (Some("required"), _) => Ok(Some(json!({ "any": {} }))),
        (None, Some(name)) => Ok(Some(json!({ "tool": { "name": name } }))),
        (Some(_) | None, _) => {
            let accepted = "use `auto`, `none`, `required`, or name one function";
            let message = format!("`tool_choice` cannot be {choice}; {accepted}");
            Err(Error::invalid(message).with_param("tool_choice"))
        }
    }
}
