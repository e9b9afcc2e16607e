//! Tools: their definitions, calls and results.

use crate::wire::{Reader, Schemas, Wire};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

crate::wire! {
    /// A call of a tool by the model.
    pub struct ToolCall {
        /// The id that the answer of the tool refers to.
        pub call_id: String,
        /// The tool.
        pub tool_name: String,
        /// The arguments by name.
        pub arguments: Map<String, Value>,
    }

    /// A parameter of a tool.
    pub struct ToolParamDefinition {
        /// The JSON type: `string`, `integer`, `number`, `boolean`, `array` or `object`.
        pub param_type: String,
        /// What it means.
        pub description: Option<String>,
        /// Whether it must be given.
        pub required: Option<bool> = Some(true),
        /// What it is when it is not given.
        pub default: Option<Value>,
    }

    /// A tool that the model may call.
    pub struct ToolDefinition {
        /// Its name.
        pub tool_name: String,
        /// What it does.
        pub description: Option<String>,
        /// Its parameters by name.
        pub parameters: Option<Parameters>,
    }

    /// Whether the model calls tools.
    pub enum ToolChoice {
        /// The model decides.
        Auto = "auto",
        /// At least one call.
        Required = "required",
        /// No call.
        None = "none",
    }

    /// How tool calls are written in a prompt, for models without a form of their own.
    pub enum ToolPromptFormat {
        /// A JSON object.
        Json = "json",
        /// `<function=name>{...}</function>`.
        FunctionTag = "function_tag",
        /// A list of Python calls.
        PythonList = "python_list",
    }

    /// What happens to the system message when tools are described in the prompt.
    pub enum SystemMessageBehavior {
        /// It stays, after the default text.
        Append = "append",
        /// It replaces the default text.
        Replace = "replace",
    }

    /// How tools are used.
    pub struct ToolConfig {
        /// `auto`, `required`, `none`, or the name of one tool.
        pub tool_choice: Option<String> = Some("auto".to_owned()),
        /// How tool calls are written in a prompt.
        pub tool_prompt_format: Option<ToolPromptFormat>,
        /// What happens to the system message.
        pub system_message_behavior: Option<SystemMessageBehavior> = Some(SystemMessageBehavior::Append),
    }

    /// How far a tool call in a stream is.
    pub enum ToolCallParseStatus {
        /// It begins.
        Started = "started",
        /// A piece of it follows.
        InProgress = "in_progress",
        /// It cannot be understood; the raw text follows.
        Failed = "failed",
        /// It is complete.
        Succeeded = "succeeded",
    }
}

impl Default for ToolConfig {
    fn default() -> Self {
        Self {
            tool_choice: Some("auto".to_owned()),
            tool_prompt_format: None,
            system_message_behavior: Some(SystemMessageBehavior::Append),
        }
    }
}

/// The parameters of a tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// The parameters by name, in the order of the request.
    pub named: Vec<(String, ToolParamDefinition)>,
    /// The JSON schema of the arguments, where there is one that says more than the parameters. It
    /// is for models only: it is neither read from requests nor written to answers.
    pub schema: Option<Map<String, Value>>,
}

impl serde::Serialize for Parameters {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named.iter().map(|(name, parameter)| (name, parameter)))
    }
}

impl Wire for Parameters {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let names: Vec<String> =
            value.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default();
        let mut read = BTreeMap::<String, ToolParamDefinition>::read(value, reader)?;
        let ordered = names.into_iter().filter_map(|name| {
            let parameter = read.remove(&name)?;
            Some((name, parameter))
        });
        Some(Self { named: ordered.collect(), schema: None })
    }
    fn schema(schemas: &mut Schemas) -> Value {
        BTreeMap::<String, ToolParamDefinition>::schema(schemas)
    }
}
