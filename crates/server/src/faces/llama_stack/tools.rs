//! The tools of a request, and whether the model calls them.

use crate::faces::python;
use chaski_api::{
    Error, Result,
    inference::{
        ChatCompletionRequest, Parameters, SystemMessageBehavior, ToolChoice, ToolDefinition,
        ToolPromptFormat,
    },
    openai::{Body, SYSTEM_MESSAGE_BEHAVIOR, TOOL_PROMPT_FORMAT},
};
use serde_json::{Map, Value, json};

/// What a request says about tools, after its two ways to say it were compared.
#[derive(Debug)]
pub(super) struct ToolUse<'a> {
    /// The tools that are offered to the model.
    pub(super) offered: &'a [ToolDefinition],
    /// `auto`, `required`, or the name of one of the tools.
    choice: Option<&'a str>,
    /// How calls are written in a prompt; here it matters for counting only.
    pub(super) format: Option<ToolPromptFormat>,
    /// Whether the system message takes the place of the instructions for tools in a prompt.
    replaces: bool,
}

impl<'a> ToolUse<'a> {
    /// # Errors
    /// `InvalidRequest` if the fields of the request contradict each other.
    pub(super) fn of(request: &'a ChatCompletionRequest) -> Result<Self> {
        let top_choice = request.tool_choice.map(ToolChoice::as_str);
        let top_format = request.tool_prompt_format;
        let (choice, format) = match &request.tool_config {
            None => (top_choice, top_format),
            Some(config) => {
                let choice = config.tool_choice.as_deref();
                if top_choice.is_some() && top_choice != choice {
                    return Err(Error::invalid(
                        "tool_choice and tool_config.tool_choice must match",
                    ));
                }
                let format = config.tool_prompt_format;
                if top_format.is_some() && top_format != format {
                    return Err(Error::invalid(
                        "tool_prompt_format and tool_config.tool_prompt_format must match",
                    ));
                }
                (choice, format)
            }
        };
        let behavior =
            request.tool_config.as_ref().and_then(|config| config.system_message_behavior);
        let replaces = behavior == Some(SystemMessageBehavior::Replace);
        let tools = request.tools.as_deref().unwrap_or_default();
        match choice {
            Some("none") => Ok(Self { offered: &[], choice: None, format, replaces }),
            None | Some("auto" | "required") => {
                Ok(Self { offered: tools, choice, format, replaces })
            }
            Some(name) if tools.iter().any(|tool| tool.tool_name == name) => {
                Ok(Self { offered: tools, choice, format, replaces })
            }
            Some(name) => {
                let names = python::list(tools.iter().map(|tool| tool.tool_name.as_str()));
                Err(Error::invalid(format!("Tool choice {name} is not one of the tools: {names}")))
            }
        }
    }

    /// Puts the tools into a request of OpenAI's API, with what providers want to know that write
    /// prompts.
    pub(super) fn write(&self, body: &mut Body) {
        if let Some(format) = self.format {
            body.insert(TOOL_PROMPT_FORMAT.to_owned(), format.as_str().into());
        }
        if self.replaces {
            let replace = SystemMessageBehavior::Replace.as_str();
            body.insert(SYSTEM_MESSAGE_BEHAVIOR.to_owned(), replace.into());
        }
        if self.offered.is_empty() {
            return;
        }
        body.insert("tools".to_owned(), self.offered.iter().map(function).collect());
        match self.choice {
            None | Some("auto") => {}
            Some("required") => {
                body.insert("tool_choice".to_owned(), "required".into());
            }
            Some(name) => {
                let choice = json!({ "type": "function", "function": { "name": name } });
                body.insert("tool_choice".to_owned(), choice);
            }
        }
    }
}

fn function(tool: &ToolDefinition) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.tool_name.clone().into());
    if let Some(description) = &tool.description {
        function.insert("description".to_owned(), description.clone().into());
    }
    function.insert("parameters".to_owned(), schema(tool.parameters.as_ref()));
    json!({ "type": "function", "function": function })
}

/// The JSON schema of the parameters: that of the tool, or one made of them.
fn schema(parameters: Option<&Parameters>) -> Value {
    if let Some(schema) = parameters.and_then(|parameters| parameters.schema.as_ref()) {
        let mut schema = schema.clone();
        // Some upstreams refuse a schema that names its dialect.
        schema.shift_remove("$schema");
        return schema.into();
    }
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, parameter) in
        parameters.map(|parameters| parameters.named.as_slice()).unwrap_or_default()
    {
        let mut property = Map::new();
        property.insert("type".to_owned(), json_type(&parameter.param_type).into());
        if let Some(description) = &parameter.description {
            property.insert("description".to_owned(), description.clone().into());
        }
        if let Some(default) = &parameter.default {
            property.insert("default".to_owned(), default.clone());
        }
        properties.insert(name.clone(), property.into());
        if parameter.required == Some(true) {
            required.push(name.as_str());
        }
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The JSON schema's word for a type; tools are often declared with Python's.
fn json_type(name: &str) -> &str {
    match name {
        "int" => "integer",
        "float" => "number",
        "bool" => "boolean",
        "str" => "string",
        "list" => "array",
        "dict" => "object",
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "the tests build JSON where they pass it")]
mod tests {
    use super::*;
    use chaski_api::{Wire, tools::Tool};

    fn request(fields: Value) -> ChatCompletionRequest {
        let mut body = json!({ "model_id": "m", "messages": [], "tools": [
            { "tool_name": "add", "parameters": {
                "a": { "param_type": "int", "description": "the first" },
                "b": { "param_type": "string", "required": false, "default": "1" },
            } },
            { "tool_name": "now", "description": "The time" },
        ] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ChatCompletionRequest::from_json(body).expect("the request is well formed")
    }

    fn written(fields: Value) -> Result<Value> {
        let request = request(fields);
        let mut body = Body::default();
        ToolUse::of(&request)?.write(&mut body);
        Ok(body.into())
    }

    #[test]
    fn tools_become_functions_with_a_schema() {
        let body = written(json!({})).unwrap();
        assert_eq!(
            body,
            json!({ "tools": [
                { "type": "function", "function": { "name": "add", "parameters": {
                    "type": "object",
                    "properties": {
                        "a": { "type": "integer", "description": "the first" },
                        "b": { "type": "string", "default": "1" },
                    },
                    "required": ["a"],
                } } },
                { "type": "function", "function": {
                    "name": "now",
                    "description": "The time",
                    "parameters": { "type": "object", "properties": {}, "required": [] },
                } },
            ] })
        );
    }

    #[test]
    fn a_schema_of_a_tool_goes_to_the_model_as_it_is() {
        let parameters = json!({
            "type": "object",
            "properties": {
                "labels": { "type": "array", "items": { "enum": ["a", "b"] } },
                "where": { "type": "object", "properties": { "city": { "type": "string" } } },
            },
            "required": ["labels"],
        });
        let mut schema = parameters.clone();
        schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
        let tool = Tool::from_json(json!({
            "identifier": "tag", "provider_resource_id": "tag", "provider_id": "p",
            "toolgroup_id": "g", "tool_host": "model_context_protocol", "description": "Tags.",
            "parameters": [{ "name": "labels", "parameter_type": "array", "description": "" }],
            "metadata": { "input_schema": schema },
        }))
        .unwrap();
        let definition = tool.definition();
        assert_eq!(function(&definition)["function"]["parameters"], parameters);
        // Clients see the parameters that they know.
        let shown = serde_json::to_value(&definition).unwrap();
        assert_eq!(shown["parameters"]["labels"]["param_type"], "array");
        assert_eq!(shown["parameters"].as_object().unwrap().len(), 1);
    }

    #[test]
    fn the_choice_is_passed_on_and_none_removes_the_tools() {
        assert_eq!(written(json!({ "tool_choice": "none" })).unwrap(), json!({}));
        assert!(written(json!({ "tool_choice": "auto" })).unwrap()["tool_choice"].is_null());
        let required = written(json!({ "tool_config": { "tool_choice": "required" } })).unwrap();
        assert_eq!(required["tool_choice"], "required");
        let named = written(json!({ "tool_config": { "tool_choice": "add" } })).unwrap();
        assert_eq!(
            named["tool_choice"],
            json!({ "type": "function", "function": { "name": "add" } })
        );
    }

    #[test]
    fn what_writers_of_prompts_want_to_know_is_passed_on() {
        let config = json!({
            "tool_prompt_format": "function_tag", "system_message_behavior": "replace",
        });
        let body = written(json!({ "tool_config": config })).unwrap();
        assert_eq!(body["tool_prompt_format"], "function_tag");
        assert_eq!(body["system_message_behavior"], "replace");
        let body = written(json!({ "tools": null, "tool_prompt_format": "json" })).unwrap();
        assert_eq!(body, json!({ "tool_prompt_format": "json" }));
    }

    #[test]
    fn contradictions_are_refused() {
        for (fields, message) in [
            (
                json!({ "tool_choice": "none", "tool_config": { "tool_choice": "required" } }),
                "tool_choice and tool_config.tool_choice must match",
            ),
            (
                json!({ "tool_prompt_format": "json", "tool_config": { "tool_prompt_format": "python_list" } }),
                "tool_prompt_format and tool_config.tool_prompt_format must match",
            ),
            (
                json!({ "tool_config": { "tool_choice": "nope" } }),
                "Tool choice nope is not one of the tools: ['add', 'now']",
            ),
            (
                json!({ "tools": null, "tool_config": { "tool_choice": "nope" } }),
                "Tool choice nope is not one of the tools: []",
            ),
        ] {
            assert_eq!(written(fields).unwrap_err().message, message);
        }
    }
}
