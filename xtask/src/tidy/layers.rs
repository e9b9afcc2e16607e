//! Who may know whom, as data, held against what Cargo resolved.

use super::Report;
use crate::tree::Tree;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;

/// The layer of each crate. A crate may use crates of lower layers, never of its own or a higher.
const LAYERS: &[(&str, u8)] = &[
    ("chaski-api", 0),
    ("chaski-documents", 1),
    ("chaski-index", 1),
    ("chaski-llama", 1),
    ("chaski-llm", 1),
    ("chaski-sandbox", 1),
    ("chaski-store", 1),
    ("chaski-telemetry", 2),
    ("chaski-upstream", 2),
    ("chaski-provider", 3),
    ("chaski-weights", 3),
    ("chaski-stack", 4),
    ("chaski-providers-inference", 4),
    ("chaski-providers-agents", 4),
    ("chaski-providers-datasetio", 4),
    ("chaski-providers-safety", 4),
    ("chaski-providers-telemetry", 4),
    ("chaski-providers-tools", 4),
    ("chaski-providers-vector-io", 4),
    ("chaski-server", 5),
    ("chaski-client", 5),
    ("chaski-cli", 6),
];

/// Crates for tests (as a dev-dependency, anywhere) and for developers (nowhere).
const OUTSIDE: &[&str] = &["chaski-testkit", "xtask", "chaski-bench"];

/// Libraries that a few crates keep from the others.
const EXCLUSIVE: &[(&str, &[&str])] = &[
    ("axum", &["chaski-server"]),
    ("reqwest", &["chaski-upstream"]),
    ("rusqlite", &["chaski-store", "chaski-index"]),
    ("tokio-postgres", &["chaski-providers-vector-io"]),
    ("llama-cpp-2", &["chaski-llm"]),
    ("tracing-subscriber", &["chaski-telemetry"]),
    ("clap", &["chaski-cli"]),
];

/// A dependency of a crate of this workspace.
struct Edge {
    from: String,
    to: String,
    dev: bool,
}

fn metadata(tree: &Tree) -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(tree.root())
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The value, or a problem in the report.
fn reported<T>(outcome: Result<T>, report: &mut Report) -> Option<T> {
    outcome.map_err(|error| report.problem(format!("{error:#}"))).ok()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn edges(metadata: &Value) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in list(metadata, "packages") {
        for dependency in list(package, "dependencies") {
            edges.push(Edge {
                from: text(package, "name").to_owned(),
                to: text(dependency, "name").to_owned(),
                dev: dependency["kind"] == "dev",
            });
        }
    }
    edges
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, layer)| *layer)
}

/// Why this edge is not allowed, if it is not.
fn refusal(edge: &Edge) -> Option<String> {
    let Edge { from, to, dev } = edge;
    if OUTSIDE.contains(&from.as_str()) {
        return None;
    }
    if OUTSIDE.contains(&to.as_str()) {
        return (!dev || to != "chaski-testkit")
            .then(|| format!("{from} -> {to}: only tests may use it"));
    }
    let (above, below) = (layer(from)?, layer(to)?);
    (!dev && below >= above)
        .then(|| format!("{from} (layer {above}) -> {to} (layer {below}): use lower layers only"))
}

pub(super) fn layers(tree: &Tree, report: &mut Report) {
    let Some(metadata) = reported(metadata(tree), report) else { return };
    let names: Vec<&str> = list(&metadata, "packages").iter().map(|p| text(p, "name")).collect();
    for name in &names {
        if layer(name).is_none() && !OUTSIDE.contains(name) {
            report.problem(format!("{name} has no layer; give it one in xtask/src/tidy/layers.rs"));
        }
    }
    for (name, _) in LAYERS {
        if !names.contains(name) {
            report.problem(format!("{name} has a layer, but is not in the workspace"));
        }
    }
    report.problems.extend(edges(&metadata).iter().filter_map(refusal));
}

pub(super) fn exclusive(tree: &Tree, report: &mut Report) {
    let Some(metadata) = reported(metadata(tree), report) else { return };
    for edge in edges(&metadata) {
        let from = edge.from.as_str();
        for (library, owners) in EXCLUSIVE {
            let allowed = edge.dev || owners.contains(&from) || OUTSIDE.contains(&from);
            if edge.to == *library && !allowed {
                let owners = owners.join(" and ");
                report.problem(format!("{from} uses {library}, which only {owners} may know"));
            }
        }
    }
}

pub(super) fn lints(tree: &Tree, report: &mut Report) {
    for manifest in tree.ending("Cargo.toml").filter(|file| file.contains('/')) {
        let text = tree.text(manifest).unwrap_or_default();
        if !text.contains("[lints]\nworkspace = true") {
            report.problem(format!("{manifest}: add `[lints]` with `workspace = true`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, to: &str, dev: bool, allowed: bool) {
        let edge = Edge { from: from.to_owned(), to: to.to_owned(), dev };
        assert_eq!(refusal(&edge).is_none(), allowed, "{from} -> {to}, dev: {dev}");
    }

    #[test]
    fn edges_lead_downwards() {
        check("chaski-server", "chaski-stack", false, true);
        check("chaski-stack", "chaski-server", false, false);
        check("chaski-stack", "chaski-providers-inference", false, false);
        check("chaski-server", "chaski-client", false, false);
        check("chaski-server", "chaski-client", true, true);
        check("chaski-server", "chaski-testkit", true, true);
        check("chaski-server", "chaski-testkit", false, false);
        check("chaski-server", "xtask", true, false);
        check("chaski-testkit", "chaski-store", false, true);
        check("chaski-api", "serde", false, true);
    }
}
