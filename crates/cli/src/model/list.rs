//! `chaski model list`.

use crate::{failure::Outcome, output::Output};
use chaski_llama::{MODELS, Model};
use chaski_weights::{Catalogue, Checkpoint, Checkpoints, Installed, Kind, Store, Weights, size};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What is to be listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) show_all: bool,
    pub(super) downloaded: bool,
    pub(super) search: Option<&'a str>,
}

impl Wanted<'_> {
    fn matches(&self, name: &str) -> bool {
        let search = self.search.unwrap_or_default().to_lowercase();
        name.to_lowercase().contains(&search)
    }
}

/// Weights for models in the process.
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

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "kind": self.kind(),
            "bytes": self.bytes(),
            "downloaded": self.here.is_some(),
            "path": self.here.map(|here| &here.path),
            "source": self.here.and_then(|here| here.source.as_deref()),
            "licence": self.known.map(|known| known.licence),
            "summary": self.known.map(|known| known.summary),
        })
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            self.kind().map(Kind::as_str).unwrap_or_default().to_owned(),
            size(self.bytes()),
            if self.here.is_some() { "yes" } else { "no" }.to_owned(),
            self.known.map(|known| known.licence).unwrap_or_default().to_owned(),
            self.known.map(|known| known.summary).unwrap_or_default().to_owned(),
        ]
    }
}

pub(super) fn run(
    store: &Store,
    checkpoints: &Checkpoints,
    wanted: Wanted<'_>,
    as_json: bool,
    output: Output,
) -> Outcome {
    let installed = store.list()?;
    let weights = weights(&installed, wanted);
    let downloaded = checkpoints.list()?;
    let models: Vec<&Model> = MODELS
        .iter()
        .filter(|model| wanted.show_all || model.is_current())
        .filter(|model| wanted.matches(model.descriptor))
        .collect();
    if as_json {
        let mut list: Vec<Value> = weights.iter().map(Row::json).collect();
        list.extend(if wanted.downloaded {
            downloaded.iter().filter(|one| wanted.matches(&one.name)).map(here).collect()
        } else {
            models.iter().map(|model| known(model, &downloaded)).collect::<Vec<_>>()
        });
        return output.json(&list.into());
    }
    let mut shown = false;
    if !weights.is_empty() {
        let rows: Vec<Vec<String>> = weights.iter().map(Row::cells).collect();
        output.table(&["Name", "Kind", "Size", "Here", "Licence", "Summary"], &rows)?;
        shown = true;
    }
    let (headers, rows): ([&str; 3], Vec<Vec<String>>) = if wanted.downloaded {
        let rows = downloaded.iter().filter(|one| wanted.matches(&one.name)).map(cells);
        (["Model", "Size", "Modified Time"], rows.collect())
    } else {
        let cells = |model: &&Model| {
            vec![
                model.descriptor.to_owned(),
                model.repository.to_owned(),
                model.context_in_thousands(),
            ]
        };
        let headers = ["Model Descriptor(ID)", "Hugging Face Repo", "Context Length"];
        (headers, models.iter().map(cells).collect())
    };
    if !rows.is_empty() {
        if shown {
            output.line("")?;
        }
        return output.table(&headers, &rows);
    }
    match wanted.search {
        _ if shown => Ok(()),
        Some(text) => output.line(&format!("Did not find any model matching `{text}`.")),
        None => {
            output.line("No weights are on this machine; `chaski model pull NAME` fetches some.")
        }
    }
}

fn weights<'a>(installed: &'a [Installed], wanted: Wanted<'_>) -> Vec<Row<'a>> {
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
    known
        .chain(others)
        .filter(|row| row.here.is_some() || !wanted.downloaded)
        .filter(|row| wanted.matches(row.name))
        .collect()
}

fn known(model: &Model, downloaded: &[Checkpoint]) -> Value {
    let here = downloaded.iter().find(|one| one.name == model.folder());
    json!({
        "name": model.descriptor,
        "kind": "llama",
        "bytes": here.map(|here| here.bytes),
        "downloaded": here.is_some(),
        "path": here.map(|here| &here.path),
        "repository": model.repository,
        "context_length": model.context,
    })
}

fn here(checkpoint: &Checkpoint) -> Value {
    json!({
        "name": checkpoint.name,
        "kind": "llama",
        "bytes": checkpoint.bytes,
        "downloaded": true,
        "path": checkpoint.path,
    })
}

#[expect(clippy::cast_precision_loss, reason = "two digits behind the point are shown")]
fn cells(checkpoint: &Checkpoint) -> Vec<String> {
    let modified = checkpoint.modified.and_then(|time| Timestamp::try_from(time).ok());
    let modified = modified.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string());
    vec![
        checkpoint.name.clone(),
        format!("{:.2} GB", checkpoint.bytes as f64 / f64::from(1 << 30)),
        modified.unwrap_or_default(),
    ]
}
