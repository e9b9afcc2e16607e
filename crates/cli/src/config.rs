//! `chaski config`: checks and shows run configurations.

use crate::{
    args::ConfigCommand,
    environment::Environment,
    failure::{Failure, Outcome},
    output::Output,
    source,
};
use chaski_stack::config;
use serde_json::{Value, json};

pub(crate) fn run(
    command: &ConfigCommand,
    mut environment: Environment,
    output: Output,
) -> Outcome {
    match command {
        ConfigCommand::Check { config, strict, env, table } => {
            source::add_pairs(&mut environment, env)?;
            check(config, *strict, table.json, &environment, output)
        }
        ConfigCommand::Show { config, env, table } => {
            source::add_pairs(&mut environment, env)?;
            let found = source::find(config, &environment.config_dir()?)?;
            let loaded = source::load(&found, &environment)?;
            let shown = config::redacted(loaded.raw);
            if table.json { output.json(&shown) } else { output.text(&config::to_yaml(&shown)) }
        }
        ConfigCommand::Schema => output.json(&config::schema()),
    }
}

fn check(
    name: &str,
    strict: bool,
    as_json: bool,
    environment: &Environment,
    output: Output,
) -> Outcome {
    let found = source::find(name, &environment.config_dir()?)?;
    let (problems, warnings) = match source::read(&found, environment)? {
        Ok(loaded) if strict && !loaded.unknown_keys.is_empty() => {
            (loaded.unknown_keys, Vec::new())
        }
        Ok(loaded) => (Vec::new(), loaded.warnings),
        Err(issues) => (issues, Vec::new()),
    };
    let valid = problems.is_empty();
    if as_json {
        let problems: Value = problems
            .iter()
            .map(|issue| json!({ "path": issue.path(), "message": issue.msg, "type": issue.kind }))
            .collect();
        output.json(&json!({ "valid": valid, "problems": problems, "warnings": warnings }))?;
        return if valid { Ok(()) } else { Err(Failure { message: None, ..Failure::failed("") }) };
    }
    if !problems.is_empty() {
        return Err(source::problems(&found.name, &problems));
    }
    for warning in &warnings {
        crate::note("warning", warning);
    }
    output.line(&format!("`{}` is valid", found.name))
}
