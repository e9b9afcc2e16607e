//! Tools: their definitions and the choice among them.

use super::generation::Generation;
use chaski_api::{Error, Result};
use serde_json::{Map, Value, json};

/// The functions of the request as tools.
///
/// # Errors
/// `InvalidRequest` if one is no function, or has no name.
pub(super) fn tools(functions: Option<Value>, generation: Generation) -> Result<Vec<Value>> {
    let functions = match functions {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(functions)) => functions,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return Err(wrong("tools", "`tools` must be a list of functions"));
        }
    };
    let numbered = functions.into_iter().enumerate();
    numbered.map(|(index, function)| tool(index, function, generation)).collect()
}

fn tool(index: usize, mut tool: Value, generation: Generation) -> Result<Value> {
    let Some(Value::Object(function)) = tool.get_mut("function").map(Value::take) else {
        let message = format!("`tools[{index}]` must be of the type `function`");
        return Err(wrong("tools", message));
    };
    let Some(name) = function.get("name").and_then(Value::as_str).filter(|name| !name.is_empty())
    else {
        return Err(wrong("tools", format!("`tools[{index}].function.name` is missing")));
    };
    let mut tool = Map::new();
    tool.insert("name".to_owned(), name.into());
    if let Some(description) = function.get("description").filter(|text| text.is_string()) {
        tool.insert("description".to_owned(), description.clone());
    }
    let parameters = function.get("parameters").and_then(Value::as_object);
    tool.insert("input_schema".to_owned(), input_schema(parameters));
    if generation.output_format && function.get("strict") == Some(&Value::Bool(true)) {
        tool.insert("strict".to_owned(), true.into());
    }
    Ok(tool.into())
}

/// The schema of the arguments, which must say that it is one of an object.
fn input_schema(parameters: Option<&Map<String, Value>>) -> Value {
    let mut schema = parameters.cloned().unwrap_or_default();
    if !schema.contains_key("type") {
        schema.insert("type".to_owned(), "object".into());
    }
    schema.into()
}

/// The choice in Anthropic's form; nothing where the model decides freely.
///
/// # Errors
/// `InvalidRequest` if the choice is none.
pub(super) fn choice(choice: Option<&Value>, several: Option<&Value>) -> Result<Option<Value>> {
    let one = several == Some(&Value::Bool(false));
    let mut chosen = match choice {
        None | Some(Value::Null) if !one => return Ok(None),
        None | Some(Value::Null) => json!({ "type": "auto" }),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => json!({ "type": "auto" }),
            "none" => return Ok(Some(json!({ "type": "none" }))),
            "required" => json!({ "type": "any" }),
            other => return Err(unknown(&format!("`{other}`"))),
        },
        Some(choice) => match choice["function"]["name"].as_str() {
            Some(name) => json!({ "type": "tool", "name": name }),
            None => return Err(unknown("something else")),
        },
    };
    if one {
        chosen["disable_parallel_tool_use"] = true.into();
    }
    Ok(Some(chosen))
}

/// Whether the choice forces a call.
pub(super) fn is_forced(choice: &Value) -> bool {
    choice["type"] == "any" || choice["type"] == "tool"
}

fn unknown(what: &str) -> Error {
    let message =
        format!("`tool_choice` must be `auto`, `none`, `required`, or name a function, not {what}");
    wrong("tool_choice", message)
}

pub(super) fn wrong(param: &'static str, message: impl std::fmt::Display) -> Error {
    Error::invalid(message).with_param(param)
}
