//! Conventions, each as a check with a name. A convention that cannot be checked is none.

mod endpoints;
mod files;
mod layers;
mod providers;

pub(crate) use providers::{Listed, tables as provider_tables};

use crate::tree::Tree;

/// What the checks found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What must be mended.
    pub(crate) problems: Vec<String>,
    /// What should be thought about.
    pub(crate) warnings: Vec<String>,
}

impl Report {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

type Check = fn(&Tree, &mut Report);

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("crates use lower layers only", layers::layers),
    ("a library that is kept to one crate stays there", layers::exclusive),
    ("every crate takes the lints of the workspace", layers::lints),
    ("files have a readable size", files::sizes),
    ("every module says what it is", files::headers),
    ("no test is switched off", files::ignored),
    ("no path of a machine and no private registry", files::machine),
    ("links between documents lead somewhere", files::links),
    ("every crate stands in ARCHITECTURE.md", files::code_map),
    ("every provider folder is registered", providers::registered),
    ("nobody but its folder knows a provider's type", providers::named),
    ("samples of provider configurations are valid", providers::samples),
    ("endpoints are unique and complete", endpoints::unique),
];

/// Runs all checks.
pub(crate) fn run(tree: &Tree) -> Report {
    let mut all = Report::default();
    for (name, check) in CHECKS {
        let mut report = Report::default();
        check(tree, &mut report);
        let named = |text: String| format!("{text} ({name})");
        all.problems.extend(report.problems.into_iter().map(named));
        all.warnings.extend(report.warnings.into_iter().map(named));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let report = run(&Tree::here().unwrap());
        assert!(report.problems.is_empty(), "{}", report.problems.join("\n"));
    }
}
