//! Whether the arguments of a call are what its tool takes.
//!
//! Schemas come from elsewhere, so a check has bounds: it is counted before it begins, and computed
//! where computing is done.

use super::schema_cost::{self, DEEPEST, Excess, MOST_SCHEMAS, MOST_STEPS};
use chaski_api::{Error, Result, tools::Tool};
use chaski_provider::Cpu;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most problems that a message names.
const MOST: usize = 5;
/// The most characters that a message repeats of a value.
const VALUE: usize = 200;
/// The most tools whose compiled schemas are kept.
const KEPT: usize = 256;
/// The most bytes of a compiled regular expression.
const PATTERN_BYTES: usize = 1 << 20;
/// How often a regular expression that has to may begin anew.
const BACKTRACKS: usize = 100_000;

/// Checks arguments, and keeps what it has compiled.
pub(super) struct Checks {
    cpu: Cpu,
    kept: Mutex<HashMap<String, Arc<Schema>>>,
}

/// The schema of a tool.
struct Schema {
    text: Value,
    rule: Rule,
}

enum Rule {
    Checked(Validator),
    /// It is not valid. It is the provider's, and the caller cannot mend it.
    Unchecked,
    Refused(Excess),
}

impl Checks {
    pub(super) fn new(cpu: Cpu) -> Self {
        Self { cpu, kept: Mutex::default() }
    }

    /// Hands the arguments back that fit the JSON schema of the tool.
    ///
    /// # Errors
    /// `InvalidRequest` that names each argument that is missing or wrong, or says that the schema
    /// is too large to check anything against it.
    pub(super) async fn check(
        &self,
        tool: &Tool,
        arguments: Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        let text = tool.input_schema();
        let name = tool.identifier.clone();
        let known = self.lock().get(&name).filter(|known| known.text == text).cloned();
        let is_new = known.is_none();
        let work = move || {
            let schema = known.unwrap_or_else(|| Arc::new(Schema::new(&name, text)));
            let arguments = Value::Object(arguments);
            let outcome = schema.check(&name, &arguments);
            let arguments = if let Value::Object(all) = arguments { all } else { Map::new() };
            (schema, outcome.map(|()| arguments))
        };
        let (schema, outcome) = self.cpu.run(work).await?;
        if is_new {
            let mut kept = self.lock();
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert(tool.identifier.clone(), schema);
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Schema>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schema {
    fn new(tool: &str, text: Value) -> Self {
        let unchecked = |why: String| {
            tracing::warn!(
                target: "tools",
                tool = %tool,
                "the arguments of a tool cannot be checked: its schema {why}"
            );
            Rule::Unchecked
        };
        let rule = match schema_cost::of_schema(&text) {
            Err(Excess::Foreign(reference)) => {
                unchecked(format!("refers to `{reference}`, which it does not have"))
            }
            Err(excess) => Rule::Refused(excess),
            Ok(_) => {
                let patterns = PatternOptions::fancy_regex()
                    .backtrack_limit(BACKTRACKS)
                    .size_limit(PATTERN_BYTES);
                let options = jsonschema::options().with_pattern_options(patterns);
                options
                    .build(&text)
                    .map_or_else(|_| unchecked("is not valid".to_owned()), Rule::Checked)
            }
        };
        Self { text, rule }
    }

    fn check(&self, tool: &str, arguments: &Value) -> Result<()> {
        let validator = match &self.rule {
            Rule::Unchecked => return Ok(()),
            Rule::Refused(excess) => return Err(too_large(tool, excess)),
            Rule::Checked(validator) => validator,
        };
        if let Err(excess) = schema_cost::of_check(&self.text, arguments) {
            let why = match excess {
                Excess::Size => format!("the check takes more than {MOST_STEPS} steps"),
                Excess::Depth => format!("they and it are nested deeper than {DEEPEST} levels"),
                Excess::Circle | Excess::Foreign(_) => "its schema refers to itself".to_owned(),
            };
            let message = format!(
                "the arguments of the tool `{tool}` cannot be checked against its schema: {why}; \
                 give smaller arguments, or have the schema simplified"
            );
            return Err(Error::invalid(message).with_param("kwargs"));
        }
        if validator.is_valid(arguments) {
            return Ok(());
        }
        let problems: Vec<String> = validator
            .iter_errors(arguments)
            .take(MOST)
            .map(|error| {
                let text = shortened(error.to_string());
                match error.instance_path().as_str() {
                    "" => text,
                    path => format!("`{}`: {text}", path.trim_start_matches('/')),
                }
            })
            .collect();
        let message = format!(
            "the arguments of the tool `{tool}` are not what it takes: {}",
            problems.join("; ")
        );
        Err(Error::invalid(message).with_param("kwargs"))
    }
}

/// Whether the schema of a tool is one that arguments can be checked against.
///
/// # Errors
/// `InvalidRequest` if it is too large or too deep.
pub(super) fn measure(tool: &Tool) -> Result<()> {
    match schema_cost::of_schema(&tool.input_schema()) {
        Ok(_) | Err(Excess::Foreign(_)) => Ok(()),
        Err(excess) => Err(too_large(&tool.identifier, &excess)),
    }
}

fn too_large(tool: &str, excess: &Excess) -> Error {
    let why = match excess {
        Excess::Depth => format!("is nested deeper than {DEEPEST} levels"),
        Excess::Size | Excess::Circle | Excess::Foreign(_) => {
            format!("has more than {MOST_SCHEMAS} parts")
        }
    };
    let message = format!(
        "the tool `{tool}` cannot be used: its schema {why} when its references are followed; have \
         it simplified by whoever runs the tool"
    );
    Error::invalid(message).with_param("tool_name")
}

/// A message without the most of a long value in it.
fn shortened(text: String) -> String {
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;
    use serde_json::json;

    fn tool(parameters: &Value, metadata: &Value) -> Tool {
        Tool::from_json(json!({
            "identifier": "add", "provider_resource_id": "add", "provider_id": "p",
            "toolgroup_id": "g", "tool_host": "distribution", "description": "Adds.",
            "parameters": parameters, "metadata": metadata,
        }))
        .unwrap()
    }

    fn problem(tool: &Tool, arguments: &Value) -> Option<String> {
        let schema = Schema::new(&tool.identifier, tool.input_schema());
        schema.check(&tool.identifier, arguments).err().map(|error| error.message)
    }

    #[test]
    fn missing_and_wrong_arguments_are_named() {
        let tool = tool(
            &json!([
                { "name": "a", "parameter_type": "integer", "description": "" },
                { "name": "b", "parameter_type": "number", "description": "", "default": 1 },
            ]),
            &Value::Null,
        );
        assert_eq!(problem(&tool, &json!({ "a": 1 })), None);
        assert_eq!(problem(&tool, &json!({ "a": 1, "b": 2.5, "more": true })), None);
        let start = "the arguments of the tool `add` are not what it takes: ";
        assert_eq!(
            problem(&tool, &json!({})),
            Some(format!("{start}\"a\" is a required property"))
        );
        assert_eq!(
            problem(&tool, &json!({ "a": "x", "b": [] })),
            Some(format!(
                "{start}`a`: \"x\" is not of type \"integer\"; `b`: [] is not of type \"number\""
            ))
        );
    }

    #[test]
    fn the_schema_of_the_provider_counts_where_it_has_one() {
        let schema = json!({
            "type": "object", "additionalProperties": false,
            "properties": { "place": { "type": "object", "required": ["city"] } },
        });
        let tool = tool(&json!([]), &json!({ "input_schema": schema }));
        assert_eq!(problem(&tool, &json!({ "place": { "city": "Cusco" } })), None);
        assert!(
            problem(&tool, &json!({ "place": {} }))
                .unwrap()
                .contains("`place`: \"city\" is a required")
        );
        assert!(problem(&tool, &json!({ "other": 1 })).unwrap().contains("'other' was unexpected"));
    }

    #[test]
    fn a_schema_that_is_none_stops_nobody() {
        let tool = tool(&json!([]), &json!({ "input_schema": { "type": "nonsense" } }));
        assert_eq!(problem(&tool, &json!({ "a": 1 })), None);
    }

    #[test]
    fn a_schema_that_never_ends_is_refused() {
        let mut definitions = Map::new();
        for number in 0..40 {
            let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
            definitions.insert(format!("d{number}"), json!({ "anyOf": [next, next] }));
        }
        definitions.insert("d40".to_owned(), json!({ "type": "string" }));
        let schema =
            json!({ "properties": { "a": { "$ref": "#/$defs/d0" } }, "$defs": definitions });
        let tool = tool(&json!([]), &json!({ "input_schema": schema }));
        let message = "the tool `add` cannot be used: its schema has more than 10000 parts when its \
                       references are followed; have it simplified by whoever runs the tool";
        assert_eq!(measure(&tool).unwrap_err().message, message);
        assert_eq!(problem(&tool, &json!({ "a": 1 })).unwrap(), message);
    }

    #[test]
    fn trees_are_checked_to_their_leaves() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "parts": { "type": "array", "items": { "$ref": "#" } },
            },
            "required": ["name"],
        });
        let tool = tool(&json!([]), &json!({ "input_schema": schema }));
        assert!(measure(&tool).is_ok());
        let tree =
            |leaf: Value| json!({ "name": "a", "parts": [{ "name": "b", "parts": [leaf] }] });
        assert_eq!(problem(&tool, &tree(json!({ "name": "c" }))), None);
        let wrong = problem(&tool, &tree(json!({ "name": 1 }))).unwrap();
        assert!(wrong.ends_with("`parts/0/parts/0/name`: 1 is not of type \"string\""), "{wrong}");
    }

    #[test]
    fn a_tree_that_multiplies_with_each_level_is_refused_where_it_is_too_deep() {
        let both = json!([{ "$ref": "#/$defs/node" }, { "$ref": "#/$defs/node" }]);
        let node = json!({
            "properties": { "next": { "anyOf": both }, "end": { "type": "string" } },
        });
        let schema = json!({ "$ref": "#/$defs/node", "$defs": { "node": node } });
        let tool = tool(&json!([]), &json!({ "input_schema": schema }));
        assert!(measure(&tool).is_ok());
        let deep = |levels: usize| {
            (0..levels).fold(json!({ "end": 1 }), |value, _| json!({ "next": value }))
        };
        assert!(problem(&tool, &deep(2)).unwrap().contains("are not what it takes"));
        assert!(problem(&tool, &deep(60)).unwrap().contains("more than 200000 steps"));
    }

    #[test]
    fn a_pattern_that_backtracks_gives_up() {
        let schema = json!({ "properties": { "a": { "pattern": "^(?=(a+)+$)(a|aa)+\\1b$" } } });
        let tool = tool(&json!([]), &json!({ "input_schema": schema }));
        assert!(problem(&tool, &json!({ "a": "a".repeat(5000) })).is_some());
    }

    #[test]
    fn messages_do_not_repeat_long_values() {
        let tool = tool(
            &json!([{ "name": "a", "parameter_type": "integer", "description": "" }]),
            &Value::Null,
        );
        let message = problem(&tool, &json!({ "a": "x".repeat(100_000) })).unwrap();
        assert!(message.len() < 400 && message.ends_with("..."), "{message}");
    }

    #[tokio::test]
    async fn a_schema_is_compiled_once_until_it_changes() {
        let checks = Checks::new(Cpu::new(1));
        let with = |kind: &str| {
            let parameter = json!([{ "name": "a", "parameter_type": kind, "description": "" }]);
            tool(&parameter, &Value::Null)
        };
        let arguments = || json!({ "a": 1 }).as_object().unwrap().clone();
        let kept = || Arc::clone(&checks.lock()["add"]);
        assert_eq!(checks.check(&with("integer"), arguments()).await.unwrap(), arguments());
        let first = kept();
        checks.check(&with("integer"), arguments()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &kept()));
        assert!(checks.check(&with("string"), arguments()).await.is_err());
        assert!(!Arc::ptr_eq(&first, &kept()));
    }
}
