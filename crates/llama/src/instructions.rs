//! What a model is told about its tools and the form of its answer.
//!
//! The instructions for tools are those of Meta's published prompt formats: the models were trained
//! on these words.

use crate::{
    prompt::{AnswerForm, SystemText, Tool, ToolChoice},
    python,
    tokens::as_words,
};
use serde::Serialize;
use serde_json::{Map, Value, json, ser::PrettyFormatter};
use std::fmt::Write;

const JSON_BEFORE: &str = "\
Answer the user's question by making use of the following functions if needed.
If none of the function can be used, please say so.
Here is a list of functions in JSON format:
";
const JSON_AFTER: &str = "\nReturn function calls in JSON format.";

const TAG_BEFORE: &str = "You have access to the following functions:\n\n";
const TAG_AFTER: &str = "\
Think very carefully before calling functions.
If you choose to call a function ONLY reply in the following format with no prefix or suffix:

<function=example_function_name>{\"example_name\": \"example_value\"}</function>

Reminder:
- If looking for real time information use relevant functions before falling back to brave_search
- Function calls MUST follow the specified format, start with <function= and end with </function>
- Required parameters MUST be specified
- Only call one function at a time
- Put the entire function call reply on one line";

const LIST_BEFORE: &str = "\
You are an expert in composing functions. You are given a question and a set of possible functions.
Based on the question, you will need to make one or more function/tool calls to achieve the purpose.
If none of the function can be used, point it out. If the given question lacks the parameters required by the function,
also point it out. You should only return the function call in tools call sections.";
const LIST_RULES: &str = "\
If you decide to invoke any of the function(s), you MUST put it in the format of [func_name1(params_name1=params_value1, params_name2=params_value2...), func_name2(params)]
You SHOULD NOT include any other text in the response.

Here is a list of functions in JSON format that you can invoke.

";

/// The names that a text may have for the place of the list of tools. The second is what the
/// reference's documentation says.
const PLACEHOLDERS: [&str; 2] = ["function_description", "function_definitions"];

/// Tools as JSON.
pub(crate) fn json(tools: &[&Tool]) -> String {
    let mut out = JSON_BEFORE.to_owned();
    for tool in tools {
        let mut function = described(tool);
        function.insert("parameters".to_owned(), schema(tool));
        out.push_str(&pretty(&json!({ "type": "function", "function": function })));
        out.push('\n');
    }
    out.push_str(JSON_AFTER);
    as_words(&out).into_owned()
}

/// Tools that are called in tags.
pub(crate) fn function_tag(tools: &[&Tool]) -> String {
    let mut out = TAG_BEFORE.to_owned();
    for tool in tools {
        let mut function = described(tool);
        function.insert("parameters".to_owned(), by_parameter(tool));
        let description = tool.description.as_deref().unwrap_or_default();
        let function = python::json(&function.into());
        // Writing to a string cannot fail.
        let _ = write!(out, "Use the function '{}' to '{description}':\n{function}\n\n", tool.name);
    }
    out.push_str(TAG_AFTER);
    as_words(&out).into_owned()
}

/// Tools that are called in Python's form, around the text of the system message.
pub(crate) fn python_list(tools: &[&Tool], system: &str, place: SystemText) -> String {
    let list: Value = tools
        .iter()
        .map(|tool| {
            let mut function = described(tool);
            let schema = schema(tool);
            let parameters = json!({
                "type": "dict",
                "required": schema.get("required").cloned().unwrap_or_else(|| json!([])),
                "properties": schema.get("properties").cloned().unwrap_or_else(|| json!({})),
            });
            function.insert("parameters".to_owned(), parameters);
            Value::from(function)
        })
        .collect();
    let rules = as_words(&format!("{LIST_RULES}{}", pretty(&list))).into_owned();
    match place {
        SystemText::Appended if system.is_empty() => format!("{LIST_BEFORE}\n\n{rules}"),
        SystemText::Appended => format!("{LIST_BEFORE}\n\n{rules}\n\n{system}"),
        SystemText::Replacing => match placeholder(system) {
            Some((before, after)) => format!("{before}{rules}{after}"),
            // Without the list the model could not call anything.
            None => format!("{system}\n\n{rules}").trim_start().to_owned(),
        },
    }
}

/// The text before and after `{{ function_description }}`.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    text.match_indices("{{").find_map(|(at, _)| {
        let (name, after) = text[at + 2..].split_once("}}")?;
        PLACEHOLDERS.contains(&name.trim()).then_some((&text[..at], after))
    })
}

/// What the model must do with its tools.
pub(crate) fn choice(choice: &ToolChoice) -> Option<String> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::Required => {
            Some("You must answer this time by calling at least one of the functions.".to_owned())
        }
        ToolChoice::Named(name) => {
            Some(format!("You must answer this time by calling the function `{}`.", as_words(name)))
        }
    }
}

/// What the answer must look like.
pub(crate) fn answer(form: &AnswerForm) -> Option<String> {
    match form {
        AnswerForm::Text => None,
        AnswerForm::Json => Some("Answer with a JSON object and nothing else.".to_owned()),
        AnswerForm::Schema(schema) => {
            let schema = python::json(schema);
            let text =
                format!("Answer with nothing but JSON that follows this JSON schema: {schema}");
            Some(as_words(&text).into_owned())
        }
    }
}

fn described(tool: &Tool) -> Map<String, Value> {
    let description = tool.description.as_deref().unwrap_or_default();
    Map::from_iter([
        ("name".to_owned(), tool.name.as_str().into()),
        ("description".to_owned(), description.into()),
    ])
}

fn schema(tool: &Tool) -> Value {
    if tool.parameters.is_object() {
        return tool.parameters.clone();
    }
    json!({ "type": "object", "properties": {} })
}

/// The parameters by name, each with its type and whether it is required, ordered by name.
fn by_parameter(tool: &Tool) -> Value {
    let schema = schema(tool);
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut names: Vec<(&String, &Value)> =
        schema["properties"].as_object().into_iter().flatten().collect();
    names.sort_by_key(|(name, _)| *name);
    let parameter = |(name, property): (&String, &Value)| {
        let kind = property.get("type").cloned().unwrap_or_else(|| "string".into());
        let about = json!({
            "param_type": kind,
            "description": property.get("description").cloned().unwrap_or_else(|| "".into()),
            "required": required.contains(&name.as_str()),
        });
        (name.clone(), about)
    };
    Value::Object(names.into_iter().map(parameter).collect())
}

/// JSON over several lines, four blanks deeper each.
fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer).expect("a JSON value can be written");
    String::from_utf8(out).expect("JSON is text")
}
