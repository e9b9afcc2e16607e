//! Constrained decoding: what the answer must look like, as a grammar over tokens.

use crate::{Error, Function, Result};
use llama_cpp_2::{model::LlamaModel, sampling::LlamaSampler};
use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use serde_json::{Value, json};
use std::{panic::AssertUnwindSafe, sync::OnceLock};

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Constraint {
    /// Anything.
    #[default]
    None,
    /// A JSON object.
    JsonObject,
    /// JSON that this schema allows.
    JsonSchema(Value),
    /// A call of one of the functions: `{"name": ..., "arguments": {...}}`.
    Call(Vec<Function>),
}

impl Constraint {
    /// About how many tokens an answer needs that says no more than it must.
    pub(crate) fn shortest(&self) -> usize {
        // Names of properties are most of it; a schema says much else around them.
        let about = |schema: &Value| 32 + schema.to_string().len() / 16;
        match self {
            Self::None => 0,
            Self::JsonObject => 32,
            Self::JsonSchema(schema) => about(schema),
            Self::Call(functions) => {
                let parameters = functions.iter().map(|function| about(&function.parameters));
                parameters.max().unwrap_or(0)
            }
        }
    }
}

/// Larger schemas are refused: they take long to compile, and no small model fills them.
const MAX_BYTES: usize = 512 << 10;
const MAX_VALUES: usize = 20_000;
/// Deeper schemas are refused before anything recurses into them.
const MAX_DEPTH: usize = 64;

/// The grammars of a model. The table of its tokens is built for the first one.
#[derive(Default)]
pub(crate) struct Grammars(OnceLock<Result<ParserFactory>>);

impl Grammars {
    /// Compiles a constraint; nothing for none. Takes up to tenths of a second.
    pub(crate) fn compile(
        &self,
        model: &LlamaModel,
        constraint: &Constraint,
    ) -> Result<Option<Matcher>> {
        let grammar = match constraint {
            Constraint::None => return Ok(None),
            Constraint::JsonObject => schema_grammar(json!({ "type": "object" })),
            Constraint::JsonSchema(schema) => {
                check(schema, "response_format")?;
                schema_grammar(schema.clone())
            }
            Constraint::Call(functions) => call_grammar(functions)?,
        };
        let param = match constraint {
            Constraint::Call(_) => "tools",
            Constraint::None | Constraint::JsonObject | Constraint::JsonSchema(_) => {
                "response_format"
            }
        };
        let refused = |why: &str| {
            // The rest of the text is a dump of the compiler.
            let why = why.lines().next().unwrap_or_default();
            let why: String = why.chars().take(300).collect();
            Error::invalid(param, format!("the JSON schema cannot be used: {why}"))
        };
        let factory = self.0.get_or_init(|| {
            let tokens = LlamaSampler::llguidance_tok_env(model);
            let mut factory = ParserFactory::new_simple(&tokens).map_err(Error::engine)?;
            factory.quiet();
            factory.limits_mut().verbose_errors = false;
            Ok(factory)
        });
        let factory = factory.as_ref().map_err(Clone::clone)?;
        // The schema is the caller's: a fault of the compiler must not become a crash.
        let parser = std::panic::catch_unwind(AssertUnwindSafe(|| factory.create_parser(grammar)))
            .map_err(|_| refused("it is not supported"))?;
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(error) => Err(refused(&error)),
            None => Ok(Some(matcher)),
        }
    }
}

/// Compact JSON with a blank after commas and colons, as models write it. White space at will
/// would let a weak model write blanks without end.
fn settings() -> Value {
    json!({
        "whitespace_flexible": false,
        "item_separator": ", ",
        "key_separator": ": ",
        "coerce_one_of": true,
    })
}

fn with_settings(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("x-guidance".to_owned(), settings());
    }
    schema
}

fn schema_grammar(schema: Value) -> TopLevelGrammar {
    // `true` allows everything, but only an object can carry the settings.
    let schema = if schema == Value::Bool(true) { json!({}) } else { schema };
    TopLevelGrammar::from_json_schema(with_settings(schema))
}

/// One rule per function, so that references inside a schema stay inside it.
fn call_grammar(functions: &[Function]) -> Result<TopLevelGrammar> {
    use std::fmt::Write;
    if functions.is_empty() {
        return Err(Error::invalid("tool_choice", "no tool is offered that could be called"));
    }
    let mut lark = String::from("start: ");
    let mut rules = String::new();
    for (index, function) in functions.iter().enumerate() {
        check(&function.parameters, "tools")?;
        let parameters = if function.parameters.is_null() {
            json!({ "type": "object" })
        } else {
            function.parameters.clone()
        };
        if !parameters.is_object() {
            let name = &function.name;
            let text = format!("the parameters of `{name}` must be a JSON schema of an object");
            return Err(Error::invalid("tools", text));
        }
        let name = Value::from(function.name.as_str());
        let head = Value::from(format!("{{\"name\": {name}, \"arguments\": "));
        let parameters = with_settings(object_only(parameters));
        let bar = if index == 0 { "" } else { " | " };
        _ = write!(lark, "{bar}call_{index}");
        _ = writeln!(rules, "call_{index}: {head} arguments_{index} \"}}\"");
        _ = writeln!(rules, "arguments_{index}: %json {parameters}");
    }
    Ok(TopLevelGrammar::from_lark(format!("{lark}\n{rules}")))
}

/// Arguments are an object also where the schema does not say so, and hold what is declared: weak
/// models make arguments up where they may.
fn object_only(mut schema: Value) -> Value {
    let Some(object) = schema.as_object_mut() else { return schema };
    if object.contains_key("$ref") {
        return schema;
    }
    object.entry("type").or_insert_with(|| "object".into());
    let says_which = ["additionalProperties", "unevaluatedProperties", "patternProperties"]
        .into_iter()
        .chain(["allOf", "anyOf", "oneOf"])
        .any(|key| object.contains_key(key));
    if object.contains_key("properties") && !says_which {
        object.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

/// Refuses schemas that are too large or too deep, or that refer to other documents.
fn check(schema: &Value, param: &'static str) -> Result<()> {
    let refused = |why: String| Err(Error::invalid(param, why));
    let (mut values, mut bytes) = (0, 0);
    let mut waiting = vec![(schema, 0)];
    while let Some((value, depth)) = waiting.pop() {
        values += 1;
        if depth > MAX_DEPTH {
            return refused(format!("the JSON schema is nested deeper than {MAX_DEPTH} levels"));
        }
        match value {
            Value::Array(items) => waiting.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref")
                    && !target.starts_with('#')
                {
                    let shown: String = target.chars().take(80).collect();
                    return refused(format!(
                        "the JSON schema refers to `{shown}`; only references inside the schema, \
                         which begin with `#`, are followed"
                    ));
                }
                bytes += fields.keys().map(String::len).sum::<usize>();
                waiting.extend(fields.values().map(|value| (value, depth + 1)));
            }
            Value::String(text) => bytes += text.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if values + waiting.len() > MAX_VALUES || bytes > MAX_BYTES {
            return refused(format!(
                "the JSON schema is too large: at most {MAX_VALUES} values and {} are compiled",
                crate::size(MAX_BYTES as u64)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(schema: &Value) -> String {
        check(schema, "response_format").unwrap_err().to_string()
    }

    #[test]
    fn hostile_schemas_are_refused_before_anything_is_compiled() {
        let mut deep = Value::Null;
        for _ in 0..10_000 {
            deep = Value::Array(vec![deep]);
        }
        assert!(refusal(&deep).contains("deeper than 64 levels"));
        // Dropping a value recurses, so that this test takes it apart itself.
        while let Some(inner) = deep.get_mut(0).map(Value::take) {
            deep = inner;
        }
        let many: Vec<String> = (0..100_000).map(|index| format!("value {index}")).collect();
        assert!(refusal(&json!({ "enum": many })).contains("too large"));
        assert!(refusal(&json!({ "const": "x".repeat(5_000_000) })).contains("too large"));
        let remote = json!({ "items": { "$ref": "http://10.0.0.1/schema.json" } });
        assert!(refusal(&remote).contains("`http://10.0.0.1/schema.json`"));
    }

    #[test]
    fn a_property_called_ref_is_no_reference_and_local_ones_are_followed() {
        let schema = json!({
            "properties": { "next": { "$ref": "#/$defs/a" } },
            "$defs": { "a": { "type": "string" } },
        });
        assert!(check(&schema, "tools").is_ok());
    }
}
