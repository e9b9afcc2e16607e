//! Constrained decoding: what the answer must look like, as a grammar over tokens.

use crate::{
    Error, Function, Result,
    schema::{check, check_all},
};
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
    check_all(functions.iter().map(|function| &function.parameters), "tools")?;
    let mut lark = String::from("start: ");
    let mut rules = String::new();
    for (index, function) in functions.iter().enumerate() {
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
