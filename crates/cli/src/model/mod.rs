//! `chaski model`: weights on this machine.

mod download;
mod progress;

use crate::{
    args::ModelCommand,
    environment::{Environment, HF_TOKEN},
    failure::{Failure, Outcome},
    output::Output,
};
use chaski_api::Secret;
use chaski_upstream::{Http, HttpOptions};
use chaski_weights::{Catalogue, Installed, Kind, Source, Store, Weights, size};
use serde_json::{Value, json};
use std::io::{self, BufRead, IsTerminal, Write};

pub(crate) fn run(command: &ModelCommand, environment: &Environment, output: Output) -> Outcome {
    let store = Store::new(environment.weights_dir()?);
    match command {
        ModelCommand::List { downloaded, search, table } => {
            list(&store, *downloaded, search.as_deref(), table.json, output)
        }
        ModelCommand::Pull { sources } => pull(&store, sources, environment, output),
        ModelCommand::Describe { name, table } => describe(&store, name, table.json, output),
        ModelCommand::Remove { name, force } => remove(&store, name, *force, output),
    }
}

/// One line of the list.
struct Row<'a> {
    name: &'a str,
    known: Option<&'a Weights>,
    here: Option<&'a Installed>,
}

impl Row<'_> {
    fn kind(&self) -> Option<Kind> {
        self.here.map(|here| here.kind).or(self.known.map(|known| known.kind))
    }

    fn bytes(&self) -> u64 {
        let known = self.known.map(|known| known.bytes);
        self.here.map(|here| here.bytes).or(known).unwrap_or_default()
    }
}

fn list(
    store: &Store,
    downloaded: bool,
    search: Option<&str>,
    as_json: bool,
    output: Output,
) -> Outcome {
    let installed = store.list()?;
    let here = |name: &str| installed.iter().find(|installed| installed.name == name);
    let known = Catalogue::all().iter().map(|weights| Row {
        name: weights.name,
        known: Some(weights),
        here: here(weights.name),
    });
    let others = installed
        .iter()
        .filter(|installed| Catalogue::all().iter().all(|weights| weights.name != installed.name))
        .map(|installed| Row { name: &installed.name, known: None, here: Some(installed) });
    let wanted = search.unwrap_or_default().to_lowercase();
    let rows: Vec<Row<'_>> = known
        .chain(others)
        .filter(|row| row.here.is_some() || !downloaded)
        .filter(|row| row.name.to_lowercase().contains(&wanted))
        .collect();
    if as_json {
        let list: Value = rows
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "kind": row.kind(),
                    "bytes": row.bytes(),
                    "downloaded": row.here.is_some(),
                    "path": row.here.map(|here| &here.path),
                    "source": row.here.and_then(|here| here.source.as_deref()),
                    "licence": row.known.map(|known| known.licence),
                    "summary": row.known.map(|known| known.summary),
                })
            })
            .collect();
        return output.json(&list);
    }
    if rows.is_empty() {
        return output.line(&match search {
            Some(text) => format!("Did not find any model matching `{text}`."),
            None => {
                "No weights are on this machine; `chaski model pull NAME` fetches some.".to_owned()
            }
        });
    }
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.to_owned(),
                row.kind().map(kind).unwrap_or_default().to_owned(),
                size(row.bytes()),
                if row.here.is_some() { "yes" } else { "no" }.to_owned(),
                row.known.map(|known| known.licence).unwrap_or_default().to_owned(),
                row.known.map(|known| known.summary).unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    output.table(&["Name", "Kind", "Size", "Here", "Licence", "Summary"], &rows)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Chat => "chat",
        Kind::Embedding => "embedding",
    }
}

fn pull(store: &Store, sources: &[String], environment: &Environment, output: Output) -> Outcome {
    let sources: Vec<Source> =
        sources.iter().map(|text| text.parse()).collect::<Result<_, chaski_api::Error>>()?;
    let http = Http::new(HttpOptions::default())?;
    let client = download::Client::new(http, environment.get(HF_TOKEN).map(Secret::new));
    let progress = progress::Shown::new(io::stderr().is_terminal());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for source in &sources {
        let pulled = runtime.block_on(store.pull(&client, source, &progress));
        progress.finish();
        let pulled = pulled?;
        let what = format!("`{}` ({}, {})", pulled.name, kind(pulled.kind), size(pulled.bytes));
        output.line(&match &pulled.source {
            Some(from) => format!("{what} from {from} is at {}", pulled.path.display()),
            None => format!("{what} is at {} already", pulled.path.display()),
        })?;
    }
    Ok(())
}

fn describe(store: &Store, name: &str, as_json: bool, output: Output) -> Outcome {
    let known = Catalogue::find(name);
    let local = store.describe(name);
    let (known, local) = match (known, local) {
        (None, Err(error)) => return Err(error.into()),
        (known, local) => (known, local.ok()),
    };
    if as_json {
        let catalogue = known.map(|weights| {
            json!({
                "name": weights.name,
                "aliases": weights.aliases,
                "kind": weights.kind,
                "summary": weights.summary,
                "bytes": weights.bytes,
                "licence": weights.licence,
                "sha256": weights.sha256(),
                "note": weights.note,
            })
        });
        return output.json(&json!({ "catalogue": catalogue, "file": local }));
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut put = |label: &str, text: String| rows.push(vec![label.to_owned(), text]);
    if let Some(weights) = known {
        put("Summary", weights.summary.to_owned());
        put("Kind", kind(weights.kind).to_owned());
        put("Other names", weights.aliases.join(", "));
        put("Licence", weights.licence.to_owned());
        put("Download", size(weights.bytes));
        if let Some(sha256) = weights.sha256() {
            put("SHA-256", sha256.to_owned());
        }
        if let Some(note) = weights.note {
            put("Note", note.to_owned());
        }
    }
    match &local {
        Some(local) => {
            put("File", local.path.display().to_string());
            put("File size", size(local.bytes));
            if let Some(source) = &local.source {
                put("Fetched from", source.clone());
            }
            put("Memory", format!("{} with {} tokens", size(local.memory), local.context));
            let facts = serde_json::to_value(&local.facts).map_err(Failure::failed)?;
            for (label, value) in facts.as_object().into_iter().flatten() {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                put(&label.replace('_', " "), text);
            }
        }
        None => put("File", format!("not here; fetch it with `chaski model pull {name}`")),
    }
    let title = known.map_or(name, |weights| weights.name);
    output.table(&["Model", title], &rows)
}

fn remove(store: &Store, name: &str, force: bool, output: Output) -> Outcome {
    let path = store.path(name)?;
    if !force {
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(format!("`{}` is not removed unasked", path.display()))
                .hint("add `--force`"));
        }
        let mut ask = io::stderr().lock();
        write!(ask, "Are you sure you want to remove {}? (y/n): ", path.display())?;
        ask.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            return Err(Failure::failed("Removal aborted."));
        }
    }
    let freed = store.remove(name)?;
    output.line(&format!("{name} removed; {} are free again.", size(freed)))
}
