//! Texts as Python prints them: error texts and rendered tool calls contain such text.

use chaski_api::inference::quoted;
use serde_json::Value;

/// `['a', 'b']`, as a list of strings is printed.
pub(crate) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

/// A value as an argument of a call, in the form that Llama models are trained on: strings are in
/// double quotes without escapes.
pub(crate) fn argument(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{text}\""),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(argument).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}={}", argument(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_strings_are_printed_as_their_repr() {
        assert_eq!(list(["a", "b"]), "['a', 'b']");
        assert_eq!(list([]), "[]");
    }

    #[test]
    fn arguments_of_calls_are_literals() {
        let value = json!({ "a": [true, null, 1.5], "b": "x" });
        assert_eq!(argument(&value), "{a=[True, None, 1.5], b=\"x\"}");
    }
}
