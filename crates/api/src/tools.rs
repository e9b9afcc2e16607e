//! Tools that run in the server, and the groups that they are registered in.

use crate::{
    inference::{InterleavedContent, Parameters, ToolDefinition, ToolParamDefinition, Url},
    retrieval::RagSource,
};
use serde_json::{Map, Value};

crate::wire! {
    /// The constant `type` of the record of a tool.
    pub enum ToolTag { Tool = "tool" }

    /// The constant `type` of the record of a tool group.
    pub enum ToolGroupTag { ToolGroup = "tool_group" }

    /// Where a tool runs.
    pub enum ToolHost {
        /// In the server.
        Distribution = "distribution",
        /// In the program that asks.
        Client = "client",
        /// In an MCP server.
        ModelContextProtocol = "model_context_protocol",
    }

    /// A parameter of a tool.
    pub struct ToolParameter {
        /// Its name.
        pub name: String,
        /// The JSON type: `string`, `integer`, `number`, `boolean`, `array` or `object`.
        pub parameter_type: String,
        /// What it means.
        pub description: String,
        /// Whether it must be given.
        pub required: bool = true,
        /// What it is when it is not given.
        pub default: Option<Value>,
    }

    /// What a tool is, as its provider or a client describes it.
    pub struct ToolDef {
        /// Its name.
        pub name: String,
        /// What it does.
        pub description: Option<String>,
        /// Its parameters.
        pub parameters: Option<Vec<ToolParameter>>,
        /// Free-form facts; `input_schema` is the JSON schema of the arguments, where the provider
        /// has one.
        pub metadata: Option<Map<String, Value>>,
    }

    /// A registered tool.
    pub struct Tool {
        /// The name that calls use; unique in this stack.
        pub identifier: String,
        /// The name that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance that runs it.
        pub provider_id: String,
        /// Always `tool`.
        pub tag as "type": ToolTag = ToolTag::Tool,
        /// The group that it came with.
        pub toolgroup_id: String,
        /// Where it runs.
        pub tool_host: ToolHost,
        /// What it does.
        pub description: String,
        /// Its parameters.
        pub parameters: Vec<ToolParameter>,
        /// Free-form facts; `input_schema` is the JSON schema of the arguments, where the provider
        /// has one.
        pub metadata: Option<Map<String, Value>>,
    }

    /// A registered group of tools.
    pub struct ToolGroup {
        /// The id that requests use; unique in this stack.
        pub identifier: String,
        /// The id that the provider uses.
        pub provider_resource_id: String,
        /// The provider instance that runs the tools.
        pub provider_id: String,
        /// Always `tool_group`.
        pub tag as "type": ToolGroupTag = ToolGroupTag::ToolGroup,
        /// The MCP server that has the tools.
        pub mcp_endpoint: Option<Url>,
        /// Arguments that every call of a tool in the group gets.
        pub args: Option<Map<String, Value>>,
    }

    /// All registered tool groups.
    pub struct ToolGroupList {
        /// The groups, in the order of registration.
        pub data: Vec<ToolGroup>,
    }

    /// Registered tools.
    pub struct ToolList {
        /// The tools, by group in the order of registration.
        pub data: Vec<Tool>,
    }

    /// A file that a tool made. `attachments` in the metadata of its answer lists them.
    pub struct ToolAttachment {
        /// Its name, which may have folders in it.
        pub name: String,
        /// Its media type.
        pub mime_type: String,
        /// Its size in bytes.
        pub bytes: i64,
        /// What it contains: a text, an image, or a `data:` URL. Nothing where that is too much.
        pub content: Option<RagSource>,
    }

    /// What a tool answered.
    pub struct ToolInvocationResult {
        /// The answer.
        pub content: InterleavedContent,
        /// What went wrong, if something did.
        pub error_message: Option<String>,
        /// 0 or nothing if all went well.
        pub error_code: Option<i64>,
        /// Free-form facts about the answer.
        pub metadata: Option<Map<String, Value>>,
    }
}

/// The key of the metadata of a tool's answer with the files that it made.
pub const ATTACHMENTS: &str = "attachments";

/// The key of the metadata of a tool with the JSON schema of its arguments.
pub const INPUT_SCHEMA: &str = "input_schema";

impl ToolInvocationResult {
    /// An answer without errors.
    pub fn text(text: impl Into<String>) -> Self {
        Self::from(InterleavedContent::Text(text.into()))
    }
}

impl From<InterleavedContent> for ToolInvocationResult {
    fn from(content: InterleavedContent) -> Self {
        Self { content, error_message: None, error_code: None, metadata: None }
    }
}

impl ToolParameter {
    /// A required parameter.
    pub fn required(name: &str, parameter_type: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            parameter_type: parameter_type.to_owned(),
            description: description.to_owned(),
            required: true,
            default: None,
        }
    }

    fn definition(&self) -> ToolParamDefinition {
        ToolParamDefinition {
            param_type: self.parameter_type.clone(),
            description: Some(self.description.clone()),
            required: Some(self.required),
            default: self.default.clone(),
        }
    }
}

fn definition(
    name: &str,
    description: Option<&str>,
    parameters: &[ToolParameter],
    metadata: Option<&Map<String, Value>>,
) -> ToolDefinition {
    let named = parameters.iter().map(|one| (one.name.clone(), one.definition())).collect();
    ToolDefinition {
        tool_name: name.to_owned(),
        description: description.map(str::to_owned),
        parameters: Some(Parameters { named, schema: given_schema(metadata).cloned() }),
    }
}

/// The JSON schema that a provider gave with a tool.
fn given_schema(metadata: Option<&Map<String, Value>>) -> Option<&Map<String, Value>> {
    metadata?.get(INPUT_SCHEMA)?.as_object()
}

impl ToolDef {
    /// What a model is told about the tool.
    pub fn definition(&self) -> ToolDefinition {
        let parameters = self.parameters.as_deref().unwrap_or_default();
        definition(&self.name, self.description.as_deref(), parameters, None)
    }
}

impl Tool {
    /// What a model is told about the tool.
    pub fn definition(&self) -> ToolDefinition {
        let metadata = self.metadata.as_ref();
        definition(&self.identifier, Some(&self.description), &self.parameters, metadata)
    }

    /// The JSON schema of its arguments: that of its provider, or one made of its parameters.
    pub fn input_schema(&self) -> Value {
        if let Some(schema) = given_schema(self.metadata.as_ref()) {
            return schema.clone().into();
        }
        let mut properties = Map::new();
        for parameter in &self.parameters {
            let mut schema = Map::new();
            schema.insert("type".to_owned(), parameter.parameter_type.clone().into());
            if !parameter.description.is_empty() {
                schema.insert("description".to_owned(), parameter.description.clone().into());
            }
            if let Some(default) = &parameter.default {
                schema.insert("default".to_owned(), default.clone());
            }
            properties.insert(parameter.name.clone(), schema.into());
        }
        let required: Vec<&str> = self
            .parameters
            .iter()
            .filter(|parameter| parameter.required && parameter.default.is_none())
            .map(|parameter| parameter.name.as_str())
            .collect();
        serde_json::json!({ "type": "object", "properties": properties, "required": required })
    }
}
