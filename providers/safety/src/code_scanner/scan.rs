//! Looking for insecure code in texts.

use super::rules::{ALL, Language, NAMES, Rule};
use regex::{RegexSet, RegexSetBuilder};
use std::{borrow::Cow, sync::LazyLock};

/// Bytes of a line that are looked at: longer ones are data.
const LINE_BYTES: usize = 4096;

/// Findings of a text at most.
const FINDINGS: usize = 50;

/// A line in which a rule finds something.
#[derive(Clone, Copy)]
pub(super) struct Finding {
    pub(super) rule: &'static Rule,
    /// The line of the text, from 1.
    pub(super) line: usize,
}

/// The rules of a language, ready to be used.
struct Set {
    language: Option<Language>,
    rules: &'static [Rule],
    patterns: RegexSet,
}

/// Bytes of memory for the rules of a language, at most.
const SET_BYTES: usize = 64 << 20;

static SETS: LazyLock<Vec<Set>> = LazyLock::new(|| {
    let set = |(language, rules): &(Option<Language>, &'static [Rule])| {
        let patterns = rules.iter().map(|rule| rule.pattern);
        // A test makes them all.
        let patterns = RegexSetBuilder::new(patterns).size_limit(SET_BYTES).build();
        Set { language: *language, rules, patterns: patterns.unwrap_or_default() }
    };
    ALL.iter().map(set).collect()
});

/// What blocks are called whose languages have no rules of their own. Any other name, such as
/// `text`, says nothing about what is in the block.
const OTHERS: &[&str] = &[
    "bash",
    "clojure",
    "cs",
    "csharp",
    "css",
    "csv",
    "dart",
    "diff",
    "dockerfile",
    "elixir",
    "fish",
    "fsharp",
    "go",
    "golang",
    "graphql",
    "haskell",
    "hcl",
    "ini",
    "json",
    "jsonc",
    "julia",
    "latex",
    "lua",
    "makefile",
    "mermaid",
    "nix",
    "ocaml",
    "perl",
    "powershell",
    "proto",
    "protobuf",
    "ps1",
    "r",
    "rb",
    "ruby",
    "scala",
    "sh",
    "shell",
    "sql",
    "swift",
    "tex",
    "toml",
    "xml",
    "yaml",
    "yml",
    "zig",
    "zsh",
];

/// Which rules a part of a text is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It stands beside blocks of code.
    Beside,
    /// Code of a language that there are rules for.
    Of(Language),
    /// Code of another language.
    Other,
    /// Code that does not say of which language.
    Unknown,
}

impl Part {
    fn takes(self, language: Option<Language>) -> bool {
        match (self, language) {
            (Self::Other, Some(_)) => false,
            (Self::Of(own), Some(language)) => own == language,
            (Self::Beside | Self::Unknown, Some(_)) | (_, None) => true,
        }
    }
}

/// What begins or ends a block of code: its language.
fn fence(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = line.strip_prefix("```").or_else(|| line.strip_prefix("~~~"))?;
    Some(rest.trim_start_matches(['`', '~']).trim())
}

fn part(name: &str) -> Part {
    let name = name.split([' ', ',', '{', ':']).next().unwrap_or_default().to_ascii_lowercase();
    match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, language)) => Part::Of(*language),
        None if OTHERS.contains(&name.as_str()) => Part::Other,
        None => Part::Unknown,
    }
}

/// A line without the code that it quotes between backticks, which is spoken about and not run.
fn without_quotes(line: &str) -> Cow<'_, str> {
    let Some(first) = line.find('`') else { return line.into() };
    let mut kept = String::from(&line[..first]);
    let mut rest = &line[first..];
    while let Some(open) = rest.find('`') {
        kept.push_str(&rest[..open]);
        let after = rest[open..].trim_start_matches('`');
        let quotes = &rest[open..rest.len() - after.len()];
        let Some(close) = after.find(quotes) else {
            // What does not end is no quote.
            kept.push_str(&rest[open..]);
            return kept.into();
        };
        kept.push(' ');
        rest = &after[close + quotes.len()..];
    }
    kept.push_str(rest);
    kept.into()
}

/// Whether a line is a comment, which nothing runs.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["#", "//", "* ", "/*", "<!--"].iter().any(|start| line.starts_with(start))
        && !line.starts_with("#!")
}

/// The findings in a text, in the order of its lines: in blocks of code by the rules of their
/// languages, and elsewhere by all rules. Where there are blocks, what is between backticks beside
/// them is prose.
pub(super) fn scan(text: &str) -> Vec<Finding> {
    let fenced = text.lines().any(|line| fence(line).is_some());
    let mut now = if fenced { Part::Beside } else { Part::Unknown };
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = fence(line) {
            now = if now == Part::Beside { part(name) } else { Part::Beside };
            continue;
        }
        let line = &line[..line.floor_char_boundary(LINE_BYTES)];
        let line = if now == Part::Beside { without_quotes(line) } else { line.into() };
        if line.trim().is_empty() {
            continue;
        }
        let comment = is_comment(&line);
        for set in SETS.iter().filter(|set| now.takes(set.language)) {
            // Secrets are secrets in comments too.
            if comment && set.language.is_some() {
                continue;
            }
            let rules = set.patterns.matches(&line).into_iter().map(|at| &set.rules[at]);
            found.extend(rules.map(|rule| Finding { rule, line: index + 1 }));
        }
        if found.len() >= FINDINGS {
            break;
        }
    }
    found.truncate(FINDINGS);
    found
}
