//! Calls that a Llama model writes as text after `<|python_tag|>`, where the engine did not
//! understand them.

use chaski_api::inference::ToolCall;
use serde_json::{Map, Value};

/// What stands before such a call.
pub(super) const TAG: &str = "<|python_tag|>";

/// The call in a text that begins with the tag: a JSON object, `name.call(query="...")`, or else
/// code for the code interpreter.
pub(super) fn call(text: &str) -> Option<ToolCall> {
    let mut text = text.strip_prefix(TAG)?.trim();
    for end in ["<|eom_id|>", "<|eot_id|>"] {
        text = text.strip_suffix(end).unwrap_or(text).trim_end();
    }
    let (name, arguments) = object(text).or_else(|| query(text)).unwrap_or_else(|| {
        ("code_interpreter".to_owned(), [("code".to_owned(), text.into())].into_iter().collect())
    });
    Some(ToolCall { call_id: uuid::Uuid::new_v4().to_string(), tool_name: name, arguments })
}

fn object(text: &str) -> Option<(String, Map<String, Value>)> {
    let mut members: Map<String, Value> = serde_json::from_str(text).ok()?;
    let name = members.get("name")?.as_str()?.to_owned();
    let arguments = match members.remove("parameters").or_else(|| members.remove("arguments")) {
        Some(Value::Object(arguments)) => arguments,
        _ => Map::new(),
    };
    Some((name, arguments))
}

fn query(text: &str) -> Option<(String, Map<String, Value>)> {
    let (name, rest) = text.split_once(".call(query=\"")?;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let query = rest.strip_suffix("\")")?;
    (!name.is_empty() && name.chars().all(word))
        .then(|| (name.to_owned(), [("query".to_owned(), query.into())].into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_three_forms_of_a_call_are_understood() {
        for (text, name, arguments) in [
            (
                r#"<|python_tag|>{"type": "function", "name": "f", "parameters": {"a": 1}}"#,
                "f",
                json!({ "a": 1 }),
            ),
            (
                r#"<|python_tag|>brave_search.call(query="founder of Meta")"#,
                "brave_search",
                json!({ "query": "founder of Meta" }),
            ),
            ("<|python_tag|>print(1)<|eom_id|>", "code_interpreter", json!({ "code": "print(1)" })),
        ] {
            let call = call(text).expect("the text holds a call");
            assert_eq!((call.tool_name.as_str(), Value::from(call.arguments)), (name, arguments));
        }
        assert!(call("print(1)").is_none());
    }
}
