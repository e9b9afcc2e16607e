//! What comes with a turn in one form or another.

use crate::{
    inference::{ToolResponseMessage, UserMessage},
    wire::{Reader, Schemas, Wire},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

/// What the user says, or what a tool of the user answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum TurnMessage {
    User(UserMessage),
    Tool(ToolResponseMessage),
}

/// Reports a role that is not the one of the branch `name`, with what else is wrong there.
fn branch<T: Wire>(reader: &mut Reader, name: &'static str, role: &str, value: &Value) {
    reader.key(name, |reader| {
        reader.key("role", |reader| {
            reader.issue::<()>("literal_error", format!("Input should be '{role}'"))
        });
        let _found = T::read(value.clone(), reader);
    });
}

impl Wire for TurnMessage {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        match value.get("role").and_then(Value::as_str) {
            Some("user") => UserMessage::read(value, reader).map(Self::User),
            Some("tool") => ToolResponseMessage::read(value, reader).map(Self::Tool),
            _ => {
                branch::<UserMessage>(reader, "UserMessage", "user", &value);
                branch::<ToolResponseMessage>(reader, "ToolResponseMessage", "tool", &value);
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [
            { "allOf": [UserMessage::schema(schemas), { "properties": { "role": { "const": "user" } } }] },
            { "allOf": [ToolResponseMessage::schema(schemas), { "properties": { "role": { "const": "tool" } } }] },
        ] })
    }
}

/// A tool group by its id, or a tool of it as `group/tool`, with arguments that its calls get.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AgentToolGroup {
    Name(String),
    WithArgs { name: String, args: Map<String, Value> },
}

impl AgentToolGroup {
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::WithArgs { name, .. } => name,
        }
    }

    pub fn args(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Name(_) => None,
            Self::WithArgs { args, .. } => Some(args),
        }
    }
}

crate::wire! {
    /// A tool group with arguments.
    struct AgentToolGroupWithArgs {
        /// The group, or a tool of it as `group/tool`.
        name: String,
        /// What every call of its tools gets.
        args: Map<String, Value>,
    }
}

impl Wire for AgentToolGroup {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        if let Value::String(name) = value {
            return Some(Self::Name(name));
        }
        if value.is_object() {
            let read = reader.key("AgentToolGroupWithArgs", |reader| {
                AgentToolGroupWithArgs::read(value, reader)
            });
            return read.map(|group| Self::WithArgs { name: group.name, args: group.args });
        }
        reader.key("str", |reader| String::read(value.clone(), reader));
        reader.key("AgentToolGroupWithArgs", |reader| reader.object(value));
        None
    }
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [{ "type": "string" }, AgentToolGroupWithArgs::schema(schemas)] })
    }
}

/// Kept records are read like requests.
impl<'de> Deserialize<'de> for TurnMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kept(deserializer)
    }
}

impl<'de> Deserialize<'de> for AgentToolGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kept(deserializer)
    }
}

fn kept<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::from_json(Value::deserialize(deserializer)?).map_err(|issues| {
        let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
        serde::de::Error::custom(issues.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_other_roles_are_refused_by_each_branch() {
        let issues =
            TurnMessage::from_json(json!({ "role": "system", "content": "x" })).unwrap_err();
        let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
        assert_eq!(
            issues,
            [
                "UserMessage.role: Input should be 'user'",
                "ToolResponseMessage.role: Input should be 'tool'",
                "ToolResponseMessage.call_id: Field required",
            ]
        );
        let said = json!({ "role": "user", "content": "x", "context": null });
        assert_eq!(
            serde_json::to_value(TurnMessage::from_json(said.clone()).unwrap()).unwrap(),
            said
        );
    }

    #[test]
    fn a_group_is_a_name_or_a_name_with_arguments() {
        let group = |value: Value| AgentToolGroup::from_json(value);
        assert_eq!(group(json!("builtin::rag")).unwrap().name(), "builtin::rag");
        let with = group(json!({ "name": "g/t", "args": { "k": 1 } })).unwrap();
        assert_eq!((with.name(), with.args().unwrap()["k"].as_i64()), ("g/t", Some(1)));
        assert!(group(json!(5)).is_err());
        assert!(group(json!({ "name": "g" })).is_err());
    }
}
