//! Provider folders and the tables they stand in.

use super::Report;
use crate::tree::Tree;
use chaski_provider::{Entry, Spec};

/// What a provider table says of each entry, whatever the API.
#[derive(Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) spec: Spec,
    pub(crate) schema: fn(&mut chaski_api::Schemas) -> serde_json::Value,
    pub(crate) sample: fn(&str) -> serde_json::Value,
    pub(crate) check: fn(serde_json::Value) -> Vec<chaski_api::Issue>,
}

impl Listed {
    fn of<A: ?Sized>(entry: &Entry<A>) -> Self {
        let Entry { spec, schema, sample, check, .. } = *entry;
        Self { spec, schema, sample, check }
    }
}

/// All providers: the folder of their crate, and the entries.
pub(crate) fn tables() -> Vec<(&'static str, Vec<Listed>)> {
    vec![
        ("providers/inference", chaski_providers_inference::ALL.iter().map(Listed::of).collect()),
        ("providers/agents", chaski_providers_agents::ALL.iter().map(Listed::of).collect()),
        ("providers/datasetio", chaski_providers_datasetio::ALL.iter().map(Listed::of).collect()),
        ("providers/safety", chaski_providers_safety::ALL.iter().map(Listed::of).collect()),
        ("providers/telemetry", chaski_providers_telemetry::ALL.iter().map(Listed::of).collect()),
        ("providers/tools", chaski_providers_tools::ALL.iter().map(Listed::of).collect()),
        ("providers/vector-io", chaski_providers_vector_io::ALL.iter().map(Listed::of).collect()),
    ]
}

/// The folder of a provider: `remote::vllm` lives in `vllm`, `inline::llama-cpp` in `llama_cpp`,
/// `remote::hf::endpoint` in `hf_endpoint`.
fn folder(provider_type: &str) -> String {
    let name = provider_type.split_once("::").map_or(provider_type, |(_, name)| name);
    name.replace("::", "_").replace('-', "_")
}

/// The folder of a provider where another one has the short name: `inline::vllm` lives in
/// `inline_vllm`.
fn whole_folder(provider_type: &str) -> String {
    provider_type.replace("::", "_").replace('-', "_")
}

/// Whether a folder holds a provider; others hold what several providers share.
fn holds_provider(tree: &Tree, prefix: &str, folder: &str) -> bool {
    let inside = format!("{prefix}{folder}/");
    tree.files()
        .iter()
        .filter(|file| file.starts_with(&inside))
        .any(|file| tree.text(file).is_some_and(|text| text.contains("impl Provider for ")))
}

pub(super) fn registered(tree: &Tree, report: &mut Report) {
    for (crate_folder, entries) in tables() {
        let prefix = format!("{crate_folder}/src/");
        let mut folders: Vec<&str> = tree
            .files()
            .iter()
            .filter_map(|file| file.strip_prefix(&prefix))
            .filter_map(|file| file.split_once('/'))
            .map(|(folder, _)| folder)
            .collect();
        folders.dedup();
        for found in folders.iter().filter(|folder| holds_provider(tree, &prefix, folder)) {
            let is_found = |name: &str| folder(name) == *found || whole_folder(name) == *found;
            if !entries.iter().any(|entry| is_found(entry.spec.provider_type)) {
                report.problem(format!(
                    "{prefix}{found} is not registered; add `mod {found};` and its entry in `ALL`"
                ));
            }
        }
        for entry in &entries {
            let wanted = folder(entry.spec.provider_type);
            if !folders.contains(&wanted.as_str()) {
                let name = entry.spec.provider_type;
                report.problem(format!("`{name}` has no folder {prefix}{wanted}"));
            }
        }
    }
}

/// The part of a file before its tests.
fn program(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Files that list types of the reference as data, to say of unknown ones that they exist there.
const LISTS: &[&str] = &["crates/stack/src/reference.rs"];

pub(super) fn named(tree: &Tree, report: &mut Report) {
    let types: Vec<&str> = tables()
        .iter()
        .flat_map(|(_, entries)| entries.iter().map(|entry| entry.spec.provider_type))
        .collect();
    let program_text = |file: &&str| {
        file.starts_with("crates/")
            && file.contains("/src/")
            && !file.contains("test")
            && !file.starts_with("crates/testkit/")
            && !LISTS.contains(file)
    };
    for file in tree.ending(".rs").filter(program_text) {
        let text = tree.text(file).unwrap_or_default();
        for name in &types {
            // In quotes it is a value to compare with; in a comment or a text it is an example.
            if program(&text).contains(&format!("\"{name}\"")) {
                report.problem(format!("{file}: knows `{name}`; that is for its folder"));
            }
        }
    }
}

pub(super) fn samples(_: &Tree, report: &mut Report) {
    for (_, entries) in tables() {
        for entry in entries {
            let sample = (entry.sample)("~/.chaski/distributions/sample");
            let open = sample.to_string().contains("${env.");
            // With variables still in it, only the names of the fields can be checked.
            if !open {
                for issue in (entry.check)(sample) {
                    report.problem(format!("sample of `{}`: {issue}", entry.spec.provider_type));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_lives_in_the_folder_of_its_name() {
        assert_eq!(folder("inline::llama-cpp"), "llama_cpp");
        assert_eq!(folder("remote::vllm"), "vllm");
        assert_eq!(folder("remote::hf::endpoint"), "hf_endpoint");
    }
}
