//! Functions that a model may call: how they are described to it, and how its calls are found.

use serde_json::{Map, Value, json};

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    /// The JSON schema of the arguments; null where nothing is said.
    pub parameters: Value,
}

/// A call that the model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    pub arguments: Map<String, Value>,
}

impl Function {
    /// The form in which chat templates expect it.
    pub(crate) fn declaration(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".into(), self.name.as_str().into());
        if let Some(description) = &self.description {
            function.insert("description".into(), description.as_str().into());
        }
        let parameters = if self.parameters.is_null() {
            json!({ "type": "object", "properties": {} })
        } else {
            self.parameters.clone()
        };
        function.insert("parameters".into(), parameters);
        json!({ "type": "function", "function": function })
    }
}

/// The system text for models whose template does not know tools.
pub(crate) fn instructions(functions: &[Function]) -> String {
    let mut text = String::from(
        "You can call these functions. Each line describes one, with a JSON schema of its \
         arguments:\n",
    );
    for function in functions {
        text.push_str(&python_json(&function.declaration()["function"]));
        text.push('\n');
    }
    text.push_str(
        "To call one, answer with nothing but\n\
         <tool_call>\n{\"name\": the name, \"arguments\": {the arguments}}\n</tool_call>\n\
         If no function helps, answer in plain words.",
    );
    text
}

/// A message in which calls and their results are plain text.
pub(crate) fn without_tools(mut message: Map<String, Value>) -> Map<String, Value> {
    let content = message.get("content").and_then(Value::as_str).unwrap_or_default().to_owned();
    if message["role"] == "tool" {
        message.insert("role".into(), "user".into());
        let text = format!("<tool_response>\n{content}\n</tool_response>");
        message.insert("content".into(), text.into());
    }
    if let Some(Value::Array(calls)) = message.remove("tool_calls") {
        let mut parts = vec![content];
        parts.retain(|part| !part.is_empty());
        for call in calls {
            let function = &call["function"];
            let call = json!({ "name": function["name"], "arguments": function["arguments"] });
            parts.push(format!("<tool_call>\n{}\n</tool_call>", python_json(&call)));
        }
        message.insert("content".into(), parts.join("\n").into());
    }
    message
}

/// JSON with a blank after commas and colons.
pub(crate) fn python_json(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python_json).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| {
                    format!("{}: {}", Value::from(key.as_str()), python_json(value))
                })
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// Watches an answer for calls while it comes: plain text passes, what may be a call is held.
#[derive(Debug)]
pub struct CallReader {
    functions: Vec<Function>,
    held: String,
    /// Whether text has passed, so that the answer is not a bare call.
    passed: bool,
    holding: bool,
}

impl CallReader {
    /// Finds calls of `functions`; a call of another name is text.
    pub fn new(functions: Vec<Function>) -> Self {
        Self { functions, held: String::new(), passed: false, holding: false }
    }

    /// Takes a piece of the answer and gives the text that is certainly no call.
    pub fn push(&mut self, text: &str) -> String {
        if self.functions.is_empty() {
            return text.to_owned();
        }
        self.held.push_str(text);
        if self.holding {
            return String::new();
        }
        if !self.passed {
            let begin = self.held.trim_start();
            let starts = ["{", "[", "```", OPEN];
            if starts.iter().any(|start| begin.starts_with(start)) {
                self.holding = true;
                return String::new();
            }
            if starts.iter().any(|start| start.starts_with(begin)) {
                return String::new();
            }
        }
        let certain = if let Some(at) = self.held.find(OPEN) {
            self.holding = true;
            at
        } else {
            let kept = (1..OPEN.len()).rev().find(|&n| self.held.ends_with(&OPEN[..n]));
            self.held.len() - kept.unwrap_or(0)
        };
        self.passed |= certain > 0;
        let rest = self.held.split_off(certain);
        std::mem::replace(&mut self.held, rest)
    }

    /// At the end: the text that was held and is no call, and the calls. Of an answer that was
    /// `cut`, a call whose end is missing is neither.
    pub fn finish(mut self, cut: bool) -> (String, Vec<Call>) {
        let calls = find_calls(&self.held, &self.functions);
        if !calls.is_empty() {
            return (String::new(), calls);
        }
        if cut
            && self.holding
            && let Some(at) = self.held.rfind(OPEN)
            && !self.held[at..].contains(CLOSE)
        {
            self.held.truncate(at);
        }
        (self.held, calls)
    }
}

/// The calls in `text`: in tags, in a fenced block, or bare.
fn find_calls(text: &str, functions: &[Function]) -> Vec<Call> {
    let mut calls = Vec::new();
    if text.contains(OPEN) {
        for part in text.split(OPEN).skip(1) {
            calls.extend(parse(part.split(CLOSE).next().unwrap_or_default(), functions));
        }
        return calls;
    }
    let text = text.trim();
    let fenced = text.strip_prefix("```").map(|rest| {
        let rest = rest.split("```").next().unwrap_or_default();
        rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_')
    });
    parse(fenced.unwrap_or(text), functions)
}

/// The calls that `text` begins with.
fn parse(text: &str, functions: &[Function]) -> Vec<Call> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut calls = Vec::new();
    for value in values.by_ref() {
        let Ok(value) = value else { break };
        let items = if let Value::Array(items) = value { items } else { vec![value] };
        for item in items {
            match call(item, functions) {
                Some(call) => calls.push(call),
                // What follows a call is the model's idea of its result.
                None => return calls,
            }
        }
    }
    // Weak models close a brace too many; words after the call mean that it is an example.
    let rest = text.get(values.byte_offset()..).unwrap_or_default();
    if rest.chars().any(char::is_alphanumeric) { Vec::new() } else { calls }
}

fn call(value: Value, functions: &[Function]) -> Option<Call> {
    let Value::Object(mut fields) = value else { return None };
    if let Some(Value::Object(function)) = fields.remove("function") {
        fields = function;
    }
    let name = fields.get("name")?.as_str()?.to_owned();
    let function = functions.iter().find(|function| function.name == name)?;
    let arguments = fields.remove("arguments").or_else(|| fields.remove("parameters"));
    let arguments = match arguments {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(Value::String(text)) => serde_json::from_str(&text).ok()?,
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_)) => return None,
    };
    let required = function.parameters["required"].as_array();
    let complete = required.is_none_or(|keys| {
        keys.iter().filter_map(Value::as_str).all(|key| arguments.contains_key(key))
    });
    complete.then_some(Call { name, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions() -> Vec<Function> {
        let parameters = json!({ "type": "object", "required": ["city"] });
        vec![
            Function { name: "weather".into(), description: None, parameters },
            Function { name: "now".into(), description: None, parameters: Value::Null },
        ]
    }

    /// The text and the calls of an answer that comes in pieces of three bytes.
    fn read(answer: &str) -> (String, Vec<String>) {
        let mut reader = CallReader::new(functions());
        let mut text = String::new();
        for piece in answer.as_bytes().chunks(3) {
            text.push_str(&reader.push(std::str::from_utf8(piece).unwrap()));
        }
        let (rest, calls) = reader.finish(false);
        let shown =
            calls.into_iter().map(|call| format!("{}{}", call.name, Value::Object(call.arguments)));
        (text + &rest, shown.collect())
    }

    #[test]
    fn calls_are_found_in_tags_in_fences_and_bare() {
        let weather = r#"weather{"city":"Paris"}"#.to_owned();
        for answer in [
            r#"<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>"#,
            "\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}",
            r#"{"name": "weather", "arguments": {"city": "Paris"}}"#,
            r#"{"name": "weather", "parameters": {"city": "Paris"}}}"#,
            "{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n{\"sky\": \"blue\"}",
            r#"[{"name": "weather", "arguments": "{\"city\": \"Paris\"}"}]"#,
            "```json\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n```",
            r#"{"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}"#,
        ] {
            assert_eq!(read(answer), (String::new(), vec![weather.clone()]), "{answer}");
        }
    }

    #[test]
    fn text_before_a_call_passes_and_several_calls_are_found() {
        let (text, calls) = read(
            "Let me see. <tool_call>{\"name\":\"now\"}</tool_call>\n\
             <tool_call>{\"name\":\"weather\",\"arguments\":{\"city\":\"Rome\"}}</tool_call>",
        );
        assert_eq!(text, "Let me see. ");
        assert_eq!(calls, ["now{}", r#"weather{"city":"Rome"}"#]);
    }

    #[test]
    fn what_is_not_a_call_of_an_offered_function_stays_text() {
        for answer in [
            "Hello there",
            "a < b, a <tool_ b",
            r#"{"name": "delete_everything", "arguments": {}}"#,
            r#"{"name": "weather", "arguments": {"town": "Paris"}}"#,
            r#"{"answer": 42}"#,
            r#"{"name": "now"} is how a call looks"#,
            "```rust\nfn main() {}\n```",
            "<tool_call>nonsense</tool_call>",
            "",
        ] {
            assert_eq!(read(answer), (answer.to_owned(), vec![]), "{answer}");
        }
    }

    #[test]
    fn a_call_that_was_cut_is_no_text() {
        let cut = |answer: &str| {
            let mut reader = CallReader::new(functions());
            reader.push(answer) + &reader.finish(true).0
        };
        assert_eq!(cut("Let me see. <tool_call>{\"name\":"), "Let me see. ");
        assert_eq!(
            cut("<tool_call>nonsense</tool_call> and"),
            "<tool_call>nonsense</tool_call> and"
        );
        assert_eq!(cut("{\"answer\": 4"), "{\"answer\": 4");
        assert_eq!(cut("a <tool"), "a <tool");
    }

    #[test]
    fn plain_text_is_not_held_back() {
        let mut reader = CallReader::new(functions());
        assert_eq!(reader.push("Hello"), "Hello");
        assert_eq!(reader.push(" <tool"), " ");
        assert_eq!(reader.push("box>"), "<toolbox>");
    }
}
