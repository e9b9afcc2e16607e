//! Finds a run configuration by what the user calls it, and reads it.

use crate::{
    environment::{self, Environment},
    failure::{FAILED, Failure, Outcome},
};
use chaski_api::Issue;
use chaski_stack::{Catalog, Loaded, config, templates};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The template that is used where none is named.
pub(crate) const DEFAULT_TEMPLATE: &str = templates::DEFAULT;

/// Every provider of this build.
pub(crate) fn catalog() -> Catalog {
    Catalog {
        inference: chaski_providers_inference::ALL,
        vector_io: chaski_providers_vector_io::ALL,
        tool_runtime: chaski_providers_tools::ALL,
        safety: chaski_providers_safety::ALL,
        agents: chaski_providers_agents::ALL,
        datasetio: chaski_providers_datasetio::ALL,
        telemetry: chaski_providers_telemetry::ALL,
    }
}

/// The text of a run configuration, and where it was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// How it is called in messages: a path, or the name of a template.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Nothing for a template.
    pub(crate) path: Option<PathBuf>,
}

/// A configuration file, a template, or a distribution in the configuration folder.
pub(crate) fn find(name: &str, config_dir: &Path) -> Outcome<Found> {
    let path = Path::new(name);
    if path.exists() && !path.is_dir() {
        return file(path);
    }
    if let Some(found) = built_in(name) {
        return Ok(found);
    }
    let distributions = config_dir.join("distributions");
    let kept = distributions.join(name).join(format!("{name}-run.yaml"));
    // The reference puts the word of its own project before the name of the folder.
    let of_reference =
        distributions.join(format!("llamastack-{name}")).join(format!("{name}-run.yaml"));
    if let Some(kept) = [&kept, &of_reference].into_iter().find(|path| path.is_file()) {
        return file(kept);
    }
    if path.is_dir() {
        return Err(Failure::usage(format!(
            "Config file must be a valid file path, and `{name}` is a folder"
        )));
    }
    let looked = if path.extension().is_some() || name.contains('/') {
        format!("File {name} does not exist.")
    } else {
        format!("`{name}` is neither a file nor a template, and {} does not exist.", kept.display())
    };
    let names = || templates::ALL.iter().map(|template| template.name);
    let hint = match config::nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("templates: {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(Failure::usage(looked).hint(hint))
}

/// The run configuration that is built in under this name.
pub(crate) fn built_in(name: &str) -> Option<Found> {
    let template = templates::ALL.iter().find(|template| template.name == name)?;
    Some(Found { name: name.to_owned(), text: template.run_yaml.to_owned(), path: None })
}

/// The file at `path`.
pub(crate) fn file(path: &Path) -> Outcome<Found> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read `{}`: {error}", path.display())))?;
    let path = path.to_owned();
    Ok(Found { name: path.display().to_string(), text, path: Some(path) })
}

/// Adds the pairs of `--env` to the environment, and gives back their names.
pub(crate) fn add_pairs(environment: &mut Environment, pairs: &[String]) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for text in pairs {
        let (key, value) = environment::pair(text)
            .map_err(|message| Failure { exit: FAILED, ..Failure::failed(message) })?;
        environment.set(key.clone(), value);
        names.push(key);
    }
    Ok(names)
}

/// What the configuration may refer to: variables, the home folder, the configuration folder.
pub(crate) fn surroundings(environment: &Environment) -> Outcome<chaski_stack::Environment> {
    let config_dir = environment.config_dir()?;
    let home = environment.home().unwrap_or(&config_dir).to_owned();
    Ok(chaski_stack::Environment::new(environment.values().clone(), home, config_dir))
}

/// Reads a run configuration; all its problems at once where it has any.
pub(crate) fn read(
    found: &Found,
    environment: &Environment,
) -> Outcome<Result<Loaded, Vec<Issue>>> {
    Ok(config::load(&found.text, &surroundings(environment)?, &catalog()))
}

/// Reads a run configuration that is to be used.
pub(crate) fn load(found: &Found, environment: &Environment) -> Outcome<Loaded> {
    read(found, environment)?.map_err(|issues| problems(&found.name, &issues))
}

/// The message that names every problem.
pub(crate) fn problems(name: &str, issues: &[Issue]) -> Failure {
    let count = match issues.len() {
        1 => "a problem".to_owned(),
        count => format!("{count} problems"),
    };
    let mut message = format!("the run configuration `{name}` has {count}:");
    for issue in issues {
        message.push_str("\n  ");
        message.push_str(&issue.to_string());
    }
    Failure::failed(message)
}
