//! Calls that a Llama model writes as text after `<|python_tag|>`, where the engine did not
//! understand them.

use chaski_api::inference::ToolCall;
pub(super) use chaski_llama::tokens::PYTHON_TAG as TAG;

/// The calls of offered tools in a text that begins with the tag.
pub(super) fn calls(text: &str, offered: &[String]) -> Vec<ToolCall> {
    if !text.starts_with(TAG) {
        return Vec::new();
    }
    let call = |call: chaski_llama::Call| ToolCall {
        call_id: uuid::Uuid::new_v4().to_string(),
        tool_name: call.name,
        arguments: call.arguments,
    };
    chaski_llama::parse(text, offered).calls.into_iter().map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_three_forms_of_a_call_are_understood() {
        let offered = ["f", "brave_search", "code_interpreter"].map(str::to_owned);
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
            let [call] = calls(text, &offered).try_into().expect("the text holds a call");
            assert_eq!((call.tool_name.as_str(), Value::from(call.arguments)), (name, arguments));
        }
        assert!(calls("print(1)", &offered).is_empty());
        assert!(calls("<|python_tag|>print(1)", &[]).is_empty());
    }
}
