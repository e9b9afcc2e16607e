//! Calls of tools, and how they are written in prompts.

use crate::python;
use serde_json::{Map, Value};

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    pub arguments: Map<String, Value>,
}

impl Call {
    /// The call; the arguments of built-in tools are brought into the form that those have.
    pub(crate) fn new(name: String, arguments: Map<String, Value>) -> Self {
        let arguments = match Builtin::of(&name) {
            Some(tool) => tool.arguments(arguments),
            None => arguments,
        };
        Self { name, arguments }
    }
}

/// The tools that Llama models know from their training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    BraveSearch,
    WolframAlpha,
    Photogen,
    CodeInterpreter,
}

impl Builtin {
    pub const ALL: [Self; 4] =
        [Self::BraveSearch, Self::WolframAlpha, Self::Photogen, Self::CodeInterpreter];

    pub const fn name(self) -> &'static str {
        match self {
            Self::BraveSearch => "brave_search",
            Self::WolframAlpha => "wolfram_alpha",
            Self::Photogen => "photogen",
            Self::CodeInterpreter => "code_interpreter",
        }
    }

    /// The built-in tool with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// The name of the only argument.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::CodeInterpreter => "code",
            Self::BraveSearch | Self::WolframAlpha | Self::Photogen => "query",
        }
    }

    /// A model that writes the call in another form may call the argument anything.
    fn arguments(self, given: Map<String, Value>) -> Map<String, Value> {
        if given.contains_key(self.argument()) {
            return given;
        }
        match given.iter().next() {
            Some((_, first @ Value::String(_))) => {
                Map::from_iter([(self.argument().to_owned(), first.clone())])
            }
            _ => given,
        }
    }
}

/// How the calls of custom tools are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolFormat {
    /// `{"type": "function", "name": "f", "parameters": {...}}`
    Json,
    /// `<function=f>{...}</function>`
    FunctionTag,
    /// `[f(a=1), g(b="x")]`
    PythonList,
}

impl ToolFormat {
    pub const ALL: [Self; 3] = [Self::Json, Self::FunctionTag, Self::PythonList];

    /// The name in requests and configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::FunctionTag => "function_tag",
            Self::PythonList => "python_list",
        }
    }

    /// The format with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// Calls of custom tools as a model writes them.
    pub(crate) fn written(self, calls: &[&Call]) -> String {
        let each = |write: fn(&Call) -> String, between: &str| {
            calls.iter().map(|call| write(call)).collect::<Vec<_>>().join(between)
        };
        match self {
            Self::Json => each(json, "; "),
            Self::FunctionTag => each(function_tag, "\n"),
            Self::PythonList => format!("[{}]", each(python_call, ", ")),
        }
    }
}

fn json(call: &Call) -> String {
    let name = Value::from(call.name.as_str());
    let arguments = python::json(&call.arguments.clone().into());
    format!(r#"{{"type": "function", "name": {name}, "parameters": {arguments}}}"#)
}

fn function_tag(call: &Call) -> String {
    let arguments = python::json(&call.arguments.clone().into());
    format!("<function={}>{arguments}</function>", call.name)
}

fn python_call(call: &Call) -> String {
    let argument = |(key, value): (&String, &Value)| format!("{key}={}", python::literal(value));
    let arguments: Vec<String> = call.arguments.iter().map(argument).collect();
    format!("{}({})", call.name, arguments.join(", "))
}

/// The call of a built-in tool as a model writes it.
pub(crate) fn built_in(tool: Builtin, call: &Call) -> String {
    let argument = call.arguments.get(tool.argument()).or_else(|| call.arguments.values().next());
    let argument = match argument {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    match tool {
        Builtin::CodeInterpreter => argument,
        Builtin::BraveSearch | Builtin::WolframAlpha | Builtin::Photogen => {
            format!("{}.call(query={})", call.name, Value::from(argument))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(name: &str, arguments: Value) -> Call {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        Call { name: name.to_owned(), arguments }
    }

    #[test]
    fn calls_are_written_in_each_format() {
        let f = call("f", json!({ "a": 1, "b": "say \"x\"\n", "c": [true, null] }));
        let g = call("g", json!({}));
        let written = |format: ToolFormat| format.written(&[&f, &g]);
        assert_eq!(
            written(ToolFormat::Json),
            r#"{"type": "function", "name": "f", "parameters": {"a": 1, "b": "say \"x\"\n", "c": [true, null]}}; {"type": "function", "name": "g", "parameters": {}}"#
        );
        assert_eq!(
            written(ToolFormat::FunctionTag),
            "<function=f>{\"a\": 1, \"b\": \"say \\\"x\\\"\\n\", \"c\": [true, null]}</function>\n<function=g>{}</function>"
        );
        assert_eq!(
            written(ToolFormat::PythonList),
            r#"[f(a=1, b="say \"x\"\n", c=[True, None]), g()]"#
        );
    }

    #[test]
    fn built_in_tools_have_forms_of_their_own() {
        let search = call("brave_search", json!({ "query": "the \"best\"" }));
        assert_eq!(
            built_in(Builtin::BraveSearch, &search),
            r#"brave_search.call(query="the \"best\"")"#
        );
        let code = call("code_interpreter", json!({ "code": "print(1)" }));
        assert_eq!(built_in(Builtin::CodeInterpreter, &code), "print(1)");
        assert_eq!(
            built_in(Builtin::BraveSearch, &call("brave_search", json!({}))),
            "brave_search.call(query=\"\")"
        );
    }
}
