//! What holds for files, whatever they say.

use super::Report;
use crate::tree::Tree;

/// Lines from which a file should be split, and from which it must be.
const LINES: (usize, usize) = (500, 800);

/// Whether a file is written by hand, as program text.
fn source(file: &str) -> bool {
    [".rs", ".py", ".sh"].iter().any(|suffix| file.ends_with(suffix))
}

pub(super) fn sizes(tree: &Tree, report: &mut Report) {
    for file in tree.files().iter().filter(|file| source(file)) {
        let lines = tree.text(file).map_or(0, |text| text.lines().count());
        if lines > LINES.1 {
            report.problem(format!("{file}: {lines} lines; {} is the limit", LINES.1));
        } else if lines > LINES.0 {
            report.warn(format!("{file}: {lines} lines; would a newcomer find the room?"));
        }
    }
}

/// Files of tests are named by what they test, and examples by what they show.
fn is_module(file: &str) -> bool {
    file.contains("/src/") && !file.ends_with("/tests.rs") && !file.contains("/tests/")
}

pub(super) fn headers(tree: &Tree, report: &mut Report) {
    for file in tree.ending(".rs").filter(|file| is_module(file)) {
        if !tree.text(file).is_some_and(|text| text.starts_with("//!")) {
            report.problem(format!("{file}: begin with a `//!` line that says what it is"));
        }
    }
}

pub(super) fn ignored(tree: &Tree, report: &mut Report) {
    let attribute = ["#[", "ignore"].concat();
    for file in tree.ending(".rs") {
        if tree.text(file).is_some_and(|text| text.contains(&attribute)) {
            report.problem(format!("{file}: a test that does not run proves nothing"));
        }
    }
}

/// Files that say where packages come from.
fn is_settings(file: &str) -> bool {
    [".toml", ".txt", ".cfg", ".ini", ".conf", ".npmrc"].iter().any(|end| file.ends_with(end))
}

pub(super) fn machine(tree: &Tree, report: &mut Report) {
    // Put together here, so that this file does not contain what it looks for.
    let roots = ["work", "farm", "bash_jobs"].map(|root| format!("/{root}/"));
    let settings = [["index", "-url"].concat(), ["replace", "-with"].concat()];
    for file in tree.files() {
        let Some(text) = tree.text(file) else { continue };
        for (number, line) in text.lines().enumerate() {
            let is_root = |root: &String| {
                line.match_indices(root.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !c.is_alphanumeric() && !"_.-}$~".contains(c))
                })
            };
            if roots.iter().any(is_root) {
                report.problem(format!("{file}:{}: a path of one machine", number + 1));
            }
            if is_settings(file) && settings.iter().any(|setting| line.contains(setting)) {
                report.problem(format!("{file}:{}: the setting of a registry", number + 1));
            }
        }
    }
}

/// The targets of Markdown links and images in a text.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

pub(super) fn links(tree: &Tree, report: &mut Report) {
    for file in tree.ending(".md") {
        let Some(text) = tree.text(file) else { continue };
        let folder = tree.root().join(file);
        let folder = folder.parent().unwrap_or(tree.root());
        for target in targets(&text).filter(|target| !target.contains("://")) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !folder.join(path).exists() {
                report.problem(format!("{file}: `{target}` leads nowhere"));
            }
        }
    }
}

pub(super) fn code_map(tree: &Tree, report: &mut Report) {
    let map = tree.text("ARCHITECTURE.md").unwrap_or_default();
    for manifest in tree.ending("/Cargo.toml") {
        let folder = manifest.trim_end_matches("/Cargo.toml");
        let name = folder.rsplit('/').next().unwrap_or(folder);
        if !map.contains(name) {
            report.problem(format!("ARCHITECTURE.md does not mention {folder}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        let text = "[a](docs/a.md), ![b](b.png) and [c](https://example.com/x#y)";
        let found: Vec<&str> = targets(text).collect();
        assert_eq!(found, ["docs/a.md", "b.png", "https://example.com/x#y"]);
    }

    #[test]
    fn modules_are_told_from_tests() {
        assert!(is_module("crates/api/src/lib.rs"));
        assert!(!is_module("crates/api/src/wire/tests.rs"));
        assert!(!is_module("crates/server/tests/routes.rs"));
    }
}
