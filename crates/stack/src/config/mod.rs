//! Reading a run configuration: YAML, environment, upgrade, types, warnings.

mod cache;
mod checks;
mod environment;
mod files;
mod nearest;
mod network;
mod redact;
mod run;
mod safety;
mod server;
mod storage;
mod targets;
mod unknown;
mod upgrade;
mod yaml;

pub use cache::ResponseCacheConfig;
pub use environment::Environment;
pub use files::FilesConfig;
pub use nearest::nearest;
pub use network::*;
pub use redact::{redact, redacted};
pub(crate) use redact::{redacted_map, redacted_text};
pub use run::*;
pub use safety::*;
pub use server::*;
pub use storage::*;
pub(crate) use targets::check_targets;
pub use yaml::to_yaml;

use crate::{Catalog, resolver};
use chaski_api::{Issue, Reader, Schemas, Segment, Wire};
use serde_json::Value;

/// A configuration that can be started.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: RunConfig,
    /// The file after upgrade and substitution, with nothing filled in and secrets in clear.
    pub raw: Value,
    /// What is odd but does not keep the stack from starting, one sentence each.
    pub warnings: Vec<String>,
    /// The warnings about keys that mean nothing; a strict check takes them for problems.
    pub unknown_keys: Vec<Issue>,
}

/// Reads the text of a `run.yaml`.
///
/// # Errors
/// All problems at once, each with its path.
pub fn load(
    text: &str,
    environment: &Environment,
    catalog: &Catalog,
) -> Result<Loaded, Vec<Issue>> {
    let parsed = yaml::parse(text)?;
    let upgraded = upgrade::upgrade(parsed)?;
    let raw = environment.substitute(upgraded)?;

    let mut reader = Reader::default();
    let config = RunConfig::read(raw.clone(), &mut reader);
    let mut issues = match reader.finish(config) {
        Ok(config) => {
            let plan = resolver::plan(&config, catalog);
            let mut problems = plan.problems;
            problems.extend(checks::run(&config));
            if problems.is_empty() {
                let unknown_keys = unknown::keys(&raw, catalog);
                let warnings =
                    unknown_keys.iter().map(ToString::to_string).chain(plan.warnings).collect();
                return Ok(Loaded { config, raw, warnings, unknown_keys });
            }
            problems
        }
        Err(mut issues) => {
            // What can be read is looked at all the same, so that one run reports everything.
            let readable = providers_alone(&raw);
            issues.extend(
                readable
                    .map(|config| resolver::plan(&config, catalog).problems)
                    .into_iter()
                    .flatten(),
            );
            issues
        }
    };
    for issue in &mut issues {
        drop_tags(&mut issue.loc, &raw);
    }
    Err(issues)
}

/// The configuration of the providers with nothing around it, if that much can be read.
fn providers_alone(raw: &Value) -> Option<RunConfig> {
    let kept = ["version", "image_name", "apis", "providers"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), raw.get(key)?.clone())))
        .collect();
    RunConfig::from_json(Value::Object(kept)).ok()
}

/// The JSON schema of a `run.yaml`.
pub fn schema() -> Value {
    let mut schemas = Schemas::default();
    let reference = RunConfig::schema(&mut schemas);
    let mut root = schemas.resolve(&reference).clone();
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["$defs"] = schemas.into_named().into();
    root
}

/// Takes the steps out of a path that name the tag of a union and no key of the file.
fn drop_tags(loc: &mut Vec<Segment>, raw: &Value) {
    let mut place = Some(raw);
    loc.retain(|segment| {
        let Some(value) = place else { return true };
        match segment {
            Segment::Key(key) => {
                let is_tag = value.get(&**key).is_none()
                    && value.get("type").and_then(Value::as_str) == Some(key);
                if !is_tag {
                    place = value.get(&**key);
                }
                !is_tag
            }
            Segment::Index(index) => {
                place = value.get(index);
                true
            }
        }
    });
}

#[cfg(test)]
mod tests;
