//! `chaski model remove`.

use crate::{
    failure::{Failure, Outcome},
    output::Output,
};
use chaski_weights::{Checkpoints, Store, size};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

pub(super) fn run(
    store: &Store,
    checkpoints: &Checkpoints,
    name: &str,
    force: bool,
    output: Output,
) -> Outcome {
    let freed = if let Some(folder) = checkpoints.find(name) {
        confirm(&folder, force)?;
        checkpoints.remove(name)?
    } else {
        let path = store.path(name).map_err(|error| {
            let message = format!("'{name}' is not a valid llama model or does not exist.");
            Failure::failed(message).hint(error.message)
        })?;
        confirm(&path, force)?;
        store.remove(name)?
    };
    output.line(&format!("{name} removed; {} are free again.", size(freed)))
}

/// Asks, unless `force` says that it is meant.
fn confirm(path: &Path, force: bool) -> Outcome {
    if force {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("`{}` is not removed unasked", path.display()))
            .hint("add `--force`"));
    }
    let mut ask = io::stderr().lock();
    write!(ask, "Are you sure you want to remove {}? (y/n): ", path.display())?;
    ask.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::failed("Removal aborted."))
}
