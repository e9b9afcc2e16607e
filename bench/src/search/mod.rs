//! The embedded search index beside faiss and sqlite-vec, on the same data in one run.
//!
//! Each way is a process of its own, which reads the data from a folder and prints what it
//! measured; here the data are made, and what was found is held against the truth.

mod chaski;
mod data;

use crate::machine::State;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, env, fs, path::Path, process::Command};

pub(crate) use chaski::measure as measure_chaski;

/// How many chunks, numbers a vector, queries and hits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) chunks: usize,
    pub(crate) dimension: usize,
    pub(crate) queries: usize,
    pub(crate) k: usize,
}

/// What one way measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) way: String,
    /// Seconds to insert everything, and to open it again.
    pub(crate) built: f64,
    pub(crate) opened: f64,
    /// Megabytes resident by the index.
    pub(crate) memory: f64,
    pub(crate) rows: Vec<Row>,
}

/// One kind of query.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) kind: String,
    pub(crate) times_ms: Vec<f64>,
    /// The numbers of the chunks that each query found.
    pub(crate) found: Vec<Vec<usize>>,
}

/// How many chunks there are unless somebody says so.
pub(crate) const USUAL: usize = 100_000;
/// The folder of the script beside this program's checkout.
const SCRIPT: &str = "scripts/bench-search.py";
/// The name of the kind whose chunks are those with a number that ends in three.
pub(crate) const FILTERED: &str = "vector, one in ten";
const PEERS: [&str; 3] = ["faiss-flat", "faiss-hnsw", "sqlite"];

/// Measures every way; the others where the interpreter has their libraries.
pub(crate) fn measure(folder: &Path, python: Option<&Path>, chunks: usize) -> Result<()> {
    let before = State::now();
    let shape = Shape { chunks, dimension: 384, queries: 200, k: 10 };
    let place = tempfile::tempdir_in(folder)?;
    let truth = data::make(place.path(), shape)?;
    let mut all =
        vec![run(Command::new(env::current_exe()?).arg("search-chaski").arg(place.path()))?];
    for way in PEERS {
        let Some(python) = python else { continue };
        match run(Command::new(python).args([SCRIPT, way]).arg(place.path())) {
            Ok(measured) => all.push(measured),
            Err(error) => eprintln!("{way} is left out: {error:#}"),
        }
    }
    let page = page(shape, &truth, &all, &[before, State::now()]);
    let name = match chunks {
        USUAL => "search.md".to_owned(),
        _ => format!("search-{chunks}.md"),
    };
    fs::write(folder.join(name), page).context("cannot write the results")
}

fn run(command: &mut Command) -> Result<Measured> {
    eprintln!("{command:?}");
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.lines().last().unwrap_or_default());
    serde_json::from_slice(&output.stdout).context("the way did not print what it measured")
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn float(number: usize) -> f64 {
    number as f64
}

/// The share of the true hits that were found.
fn recall(row: &Row, truth: &data::Truth) -> Option<f64> {
    let truth = match &*row.kind {
        FILTERED => &truth.filtered,
        kind if kind.starts_with("vector") => &truth.all,
        _ => return None,
    };
    let same = row.found.iter().zip(truth).map(|(found, truth)| {
        let found: HashSet<_> = found.iter().collect();
        truth.iter().filter(|number| found.contains(number)).count()
    });
    Some(float(same.sum()) / float(truth.iter().map(Vec::len).sum()))
}

fn quantile(times: &[f64], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) * percent / 100]
}

fn page(shape: Shape, truth: &data::Truth, all: &[Measured], machine: &[State; 2]) -> String {
    let Shape { chunks, dimension, queries, k } = shape;
    let [before, after] = machine;
    let raw = float(chunks * dimension * 4) / 1e6;
    let mut out = vec![
        "# Search".to_owned(),
        String::new(),
        format!(
            "Written by `make bench`: {chunks} chunks of 80 words with vectors of {dimension} \
             numbers ({raw:.0} MB) in 1000 clusters, {queries} queries for {k} hits, one at a \
             time. Chaski and SQLite commit to the disk; faiss is in memory only, and its memory \
             does not hold texts. Recall is against all vectors."
        ),
        String::new(),
        format!(
            "Machine: {} cores, {}, {} GB, Linux {}; load {} before and {} after.",
            before.cores,
            before.processor,
            before.memory_gigabytes,
            before.kernel,
            before.load,
            after.load
        ),
        String::new(),
        "| Way | Insert, chunks/s | Open ms | Memory MB |".to_owned(),
        "| --- | ---: | ---: | ---: |".to_owned(),
    ];
    for Measured { way, built, opened, memory, .. } in all {
        let rate = float(chunks) / built;
        out.push(format!("| {way} | {rate:.0} | {:.0} | {memory:.0} |", opened * 1e3));
    }
    out.push(String::new());
    out.push(format!("| Way | Query | p50 ms | p99 ms | Recall@{k} |"));
    out.push("| --- | --- | ---: | ---: | ---: |".to_owned());
    for Measured { way, rows, .. } in all {
        for row in rows {
            let (p50, p99) = (quantile(&row.times_ms, 50), quantile(&row.times_ms, 99));
            let recall =
                recall(row, truth).map_or_else(String::new, |recall| format!("{recall:.3}"));
            out.push(format!("| {way} | {} | {p50:.2} | {p99:.2} | {recall} |", row.kind));
        }
    }
    out.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_is_the_share_of_the_true_hits() {
        let truth = data::Truth { all: vec![vec![1, 2], vec![3, 4]], filtered: vec![vec![9]; 2] };
        let row = |kind: &str| Row {
            kind: kind.to_owned(),
            times_ms: Vec::new(),
            found: vec![vec![2, 9], vec![4, 3]],
        };
        assert_eq!(recall(&row("vector"), &truth), Some(0.75));
        assert_eq!(recall(&row(FILTERED), &truth), Some(0.5));
        assert_eq!(recall(&row("keyword"), &truth), None);
    }
}
