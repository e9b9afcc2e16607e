//! `${env.NAME}` in a configuration, and what the process gives for it.

use chaski_api::Issue;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The environment variables and folders that a configuration may refer to.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The variables by name.
    pub variables: BTreeMap<String, String>,
    /// What `~` stands for.
    pub home: PathBuf,
    /// The configuration folder, which `~/.chaski` stands for too.
    pub config_dir: PathBuf,
}

/// What `~/.chaski` means is the configuration folder, wherever that is.
const CONFIG_DIR: &str = "~/.chaski";

/// One `${env...}`.
struct Token<'a> {
    name: &'a str,
    form: Form<'a>,
}

enum Form<'a> {
    /// `${env.X}`: must be set.
    Required,
    /// `${env.X:default}`, `${env.X:=default}`.
    Default(&'a str),
    /// `${env.X+value}`, `${env.X:+value}`: the value where X is set, else nothing.
    Conditional(&'a str),
}

impl Environment {
    pub fn new(
        variables: BTreeMap<String, String>,
        home: impl Into<PathBuf>,
        config_dir: impl Into<PathBuf>,
    ) -> Self {
        Self { variables, home: home.into(), config_dir: config_dir.into() }
    }

    /// Replaces the tokens in all texts of `value`, but not in its keys.
    ///
    /// What a disabled provider lacks is not missed.
    ///
    /// # Errors
    /// Every variable that is required and not set, with its path.
    pub fn substitute(&self, mut value: Value) -> Result<Value, Vec<Issue>> {
        let mut missing = Vec::new();
        self.replace(&mut value, "", &mut missing);
        missing.retain(|(path, _)| !in_disabled_provider(&value, path));
        if missing.is_empty() {
            return Ok(value);
        }
        Err(missing
            .into_iter()
            .map(|(path, name)| {
                let place = if path.is_empty() { String::new() } else { format!(" at {path}") };
                Issue {
                    loc: Vec::new(),
                    msg: format!("Environment variable '{name}' not set or empty{place}"),
                    kind: "environment",
                }
            })
            .collect())
    }

    fn replace(&self, value: &mut Value, path: &str, missing: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) => {
                if text.contains("${env.") {
                    *text = self.expand(text, |name| {
                        missing.push((path.to_owned(), name.to_owned()));
                    });
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.replace(item, &format!("{path}[{index}]"), missing);
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    let dot = if path.is_empty() { "" } else { "." };
                    self.replace(member, &format!("{path}{dot}{key}"), missing);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Replaces the tokens of one text, each once: what comes in is not looked at again.
    fn expand(&self, text: &str, mut missing: impl FnMut(&str)) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${env.") {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            if let Some((token, length)) = token(from) {
                let set = self.variables.get(token.name).filter(|value| !value.is_empty());
                let value = match (token.form, set) {
                    (Form::Required | Form::Default(_), Some(value)) => value,
                    (Form::Conditional(value), Some(_)) | (Form::Default(value), None) => value,
                    (Form::Conditional(_), None) => "",
                    (Form::Required, None) => {
                        missing(token.name);
                        ""
                    }
                };
                out.push_str(&self.expand_home(value));
                rest = &from[length..];
            } else {
                // Not a token after all: goes on behind the dollar sign.
                out.push('$');
                rest = &from[1..];
            }
        }
        out.push_str(rest);
        out
    }

    /// Replaces a leading `~`.
    pub fn expand_home(&self, text: &str) -> String {
        let below = |dir: &Path, rest: &str| format!("{}{rest}", dir.display());
        if !self.config_dir.as_os_str().is_empty()
            && let Some(rest) = text.strip_prefix(CONFIG_DIR)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return below(&self.config_dir, rest);
        }
        match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => below(&self.home, rest),
            _ => text.to_owned(),
        }
    }
}

/// The token at the start of `text`, and its length in bytes.
fn token(text: &str) -> Option<(Token<'_>, usize)> {
    let inside = text.strip_prefix("${env.")?;
    let end = inside
        .find(|letter: char| {
            !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
        })
        .filter(|end| *end > 0)?;
    let (name, rest) = inside.split_at(end);
    let close = rest.find('}')?;
    let body = &rest[..close];
    let form = if body.is_empty() {
        Form::Required
    } else if let Some(value) = body.strip_prefix(":+").or_else(|| body.strip_prefix('+')) {
        Form::Conditional(value)
    } else if let Some(value) = body.strip_prefix(":=").or_else(|| body.strip_prefix(':')) {
        Form::Default(value)
    } else {
        return None;
    };
    Some((Token { name, form }, "${env.".len() + name.len() + close + 1))
}

/// Whether `path` lies in the settings of a provider that is switched off.
fn in_disabled_provider(value: &Value, path: &str) -> bool {
    let Some((api, rest)) = path.strip_prefix("providers.").and_then(|rest| rest.split_once('['))
    else {
        return false;
    };
    let Some((index, rest)) = rest.split_once(']') else { return false };
    rest.starts_with(".config")
        && index.parse::<usize>().ok().is_some_and(|index| {
            let id = &value["providers"][api][index]["provider_id"];
            id.as_str().is_some_and(crate::resolver::is_disabled)
        })
}

#[cfg(test)]
mod tests {
    use super::Environment;
    use serde_json::{Value, json};

    fn environment() -> Environment {
        let variables = [
            ("TEST_VAR", "test_value"),
            ("EMPTY_VAR", ""),
            ("ZERO_VAR", "0"),
            ("T", "~/x"),
            ("A", "v"),
            ("N", "${env.TEST_VAR}"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Environment::new(variables.into(), "/h", "/etc/chaski")
    }

    fn becomes(input: &str, expected: &str) {
        let out = environment().substitute(input.into()).unwrap();
        assert_eq!(out, Value::from(expected), "{input}");
    }

    #[test]
    fn a_set_variable_takes_the_place_of_its_token() {
        becomes("${env.TEST_VAR}", "test_value");
        becomes("${env.TEST_VAR:default}", "test_value");
        becomes("a${env.A}b${env.A:zz}", "avbv");
        becomes("${env.ZERO_VAR:1}", "0");
    }

    #[test]
    fn a_default_stands_in_for_an_unset_or_empty_variable() {
        becomes("${env.NOT_SET:default}", "default");
        becomes("${env.EMPTY_VAR:default}", "default");
        becomes("${env.NOT_SET:}", "");
        becomes("${env.NOT_SET:a:b}", "a:b");
        becomes("${env.NOT_SET: sp }", " sp ");
        becomes("${env.NOT_SET:two\nlines}", "two\nlines");
        becomes("${env.Q:null}", "null");
        becomes("${env.NOT_SET:=default}", "default");
        becomes("${env.TEST_VAR:=default}", "test_value");
        becomes("${env.NOT_SET:=}", "");
    }

    #[test]
    fn a_condition_gives_its_value_where_the_variable_is_set() {
        becomes("${env.TEST_VAR+conditional}", "conditional");
        becomes("${env.NOT_SET+conditional}", "");
        becomes("${env.EMPTY_VAR+conditional}", "");
        becomes("${env.ZERO_VAR+conditional}", "conditional");
        becomes("${env.A+x:y}", "x:y");
        becomes("${env.A+}", "");
        becomes("${env.A:+x}", "x");
        becomes("${env.NOT_SET:+x}", "");
        becomes("${env.TEST_VAR:default} and ${env.NOT_SET+conditional}", "test_value and ");
        becomes(
            "${env.NOT_SET:default} and ${env.TEST_VAR+conditional}",
            "default and conditional",
        );
    }

    #[test]
    fn a_tilde_that_leads_a_replaced_value_is_the_home_folder() {
        becomes("${env.NOT_SET:~/z}", "/h/z");
        becomes("${env.T}/y", "/h/x/y");
        becomes("x~/${env.NOT_SET:~}", "x~//h");
        becomes("~/plain", "~/plain");
        becomes("${env.NOT_SET:~nobody/x}", "~nobody/x");
        becomes("${env.NOT_SET:~/.chaski/distributions}", "/etc/chaski/distributions");
        becomes("${env.NOT_SET:~/.chaskis}", "/h/.chaskis");
    }

    #[test]
    fn what_is_not_a_token_stays_as_it_is() {
        for text in [
            "${env.lower:dd}",
            "$env.A",
            "${ENV.TEST_VAR}",
            "${env.TEST_VAR",
            "${env.:x}",
            "${env.NOT_SET-d}",
            "${env.A }",
            "${env.",
            "$",
        ] {
            becomes(text, text);
        }
    }

    #[test]
    fn a_token_is_replaced_once_and_does_not_nest() {
        becomes("${env.NOT_SET:${env.TEST_VAR}}", "${env.TEST_VAR}");
        becomes("${env.Q:{a}}", "{a}");
        becomes("${env.N}", "${env.TEST_VAR}");
        becomes("${env.x${env.A}", "${env.xv");
    }

    #[test]
    fn values_are_replaced_everywhere_and_keys_nowhere() {
        let value = json!({
            "key1": "${env.TEST_VAR:default}",
            "key2": ["${env.NOT_SET:default}", "${env.TEST_VAR+conditional}"],
            "key3": { "nested": "${env.NOT_SET+conditional}" },
        });
        let expected = json!({
            "key1": "test_value",
            "key2": ["default", "conditional"],
            "key3": { "nested": "" },
        });
        assert_eq!(environment().substitute(value).unwrap(), expected);
        let value = json!({ "${env.TEST_VAR}": 1, "n": null, "b": true, "f": 1.5 });
        assert_eq!(environment().substitute(value.clone()).unwrap(), value);
    }

    #[test]
    fn every_missing_variable_is_named_with_its_path() {
        let value = json!({ "a": [{ "b": ["x", "${env.MISS}"] }], "c": "${env.EMPTY_VAR}" });
        let issues = environment().substitute(value).unwrap_err();
        let texts: Vec<String> = issues.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "Environment variable 'MISS' not set or empty at a[0].b[1]",
                "Environment variable 'EMPTY_VAR' not set or empty at c",
            ]
        );
    }

    #[test]
    fn a_disabled_provider_needs_no_variables() {
        let value = |id: &str| {
            json!({ "providers": { "inference": [
                { "provider_id": id, "config": { "url": "${env.MISS}" } },
            ] } })
        };
        assert!(environment().substitute(value("${env.NOT_SET+x}")).is_ok());
        assert!(environment().substitute(value("__disabled__")).is_ok());
        assert!(environment().substitute(value("${env.A+x}")).is_err());
    }
}
