//! The reference pages, made from what the code declares.

mod commands;
mod configuration;
mod endpoints;
mod fields;
mod page;
mod providers;
mod yaml;

use crate::tree::Tree;
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fs};

/// Where the pages are.
const FOLDER: &str = "docs/reference";

/// The pages: path below the folder, and text.
pub(crate) fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    pages.extend(endpoints::pages());
    pages.extend(providers::pages());
    pages.extend(configuration::pages());
    pages.extend(commands::pages());
    let index = page::index(pages.keys());
    pages.insert("README.md".to_owned(), index);
    pages
}

/// The pages that are not as they should be, and files that no page is written to.
pub(crate) fn stale(tree: &Tree) -> Vec<String> {
    let pages = pages();
    let mut stale: Vec<String> = pages
        .iter()
        .map(|(name, text)| (format!("{FOLDER}/{name}"), text))
        .filter(|(path, text)| tree.text(path).as_ref() != Some(*text))
        .map(|(path, _)| path)
        .collect();
    let prefix = format!("{FOLDER}/");
    for file in tree.files() {
        if file.strip_prefix(&prefix).is_some_and(|name| !pages.contains_key(name)) {
            stale.push(file.clone());
        }
    }
    stale
}

/// Writes the pages and removes files that are none; returns how many files changed.
pub(crate) fn write(tree: &Tree) -> Result<usize> {
    let stale = stale(tree);
    let pages = pages();
    for path in &stale {
        let file = tree.root().join(path);
        match path.strip_prefix(&format!("{FOLDER}/")).and_then(|name| pages.get(name)) {
            Some(text) => {
                if let Some(folder) = file.parent() {
                    fs::create_dir_all(folder)?;
                }
                fs::write(&file, text).with_context(|| format!("cannot write {path}"))?;
            }
            None => fs::remove_file(&file).with_context(|| format!("cannot remove {path}"))?,
        }
    }
    Ok(stale.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_pages_are_current() {
        let stale = stale(&Tree::here().unwrap());
        assert!(stale.is_empty(), "run `make docs`: {}", stale.join(", "));
    }
}
