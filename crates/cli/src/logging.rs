//! Starts logging as the environment and the configuration ask for.

use crate::{
    environment::{Environment, LOG, LOG_FILE, LOG_FORMAT, NO_COLOR},
    failure::{Failure, Outcome},
};
use chaski_telemetry::{Format, Levels, LogGuard, LogOptions};
use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    path::PathBuf,
};

/// Logging that runs, and what was wrong with the wishes for it.
pub(crate) struct Logging {
    pub(crate) guard: LogGuard,
    pub(crate) format: Format,
}

/// Starts logging. `configured` are the levels of the run configuration; the environment wins.
/// A `quiet` command shows warnings only, where nothing else is asked for.
pub(crate) fn start(
    environment: &Environment,
    configured: &BTreeMap<String, String>,
    quiet: bool,
) -> Outcome<Logging> {
    let terminal = io::stderr().is_terminal();
    let format = match environment.get(LOG_FORMAT) {
        Some("human") => Format::Human,
        Some("json") => Format::Json,
        None => {
            if terminal {
                Format::Human
            } else {
                Format::Json
            }
        }
        Some(other) => {
            return Err(Failure::failed(format!(
                "`{}` must be `human` or `json`, not `{other}`",
                LOG_FORMAT.name
            )));
        }
    };
    let mut levels = Levels::default();
    if quiet {
        levels.apply("all", "warning");
    }
    let mut warnings = Vec::new();
    // `all` comes first, so that the entries for single categories hold.
    let (all, single): (Vec<_>, Vec<_>) =
        configured.iter().partition(|(category, _)| *category == "all");
    for (category, level) in all.into_iter().chain(single) {
        warnings.extend(levels.apply(category, level));
    }
    let wished = environment.source(LOG);
    if let Some((_, text)) = wished {
        warnings.extend(levels.apply_text(text));
    }
    let guard = chaski_telemetry::init(LogOptions {
        format,
        colours: terminal && format == Format::Human && environment.get(NO_COLOR).is_none(),
        levels,
        file: environment.get(LOG_FILE).map(PathBuf::from),
    })?;
    if let Some((name, text)) = wished {
        tracing::info!(target: "core", "Environment variable {name} found: {text}");
    }
    for warning in warnings {
        tracing::warn!(target: "core", "{warning}");
    }
    Ok(Logging { guard, format })
}
