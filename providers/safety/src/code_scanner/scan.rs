//! Looking for insecure code in texts.

use super::rules::{ALL, Language, NAMES, Rule};
use regex::{RegexSet, RegexSetBuilder};
use std::sync::LazyLock;

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

/// Which rules a part of a text is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It is no code.
    Prose,
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
            (Self::Prose, _) | (Self::Other, Some(_)) => false,
            (Self::Of(own), Some(language)) => own == language,
            (Self::Unknown, Some(_)) | (_, None) => true,
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
    if name.is_empty() {
        return Part::Unknown;
    }
    let known = NAMES.iter().find(|(known, _)| *known == name);
    known.map_or(Part::Other, |(_, language)| Part::Of(*language))
}

/// Whether a line is a comment, which nothing runs.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["#", "//", "* ", "/*", "<!--"].iter().any(|start| line.starts_with(start))
        && !line.starts_with("#!")
}

/// The findings in a text, in the order of its lines. A text with blocks of code is looked at in
/// those alone, each by the rules of its language; any other text is looked at as a whole.
pub(super) fn scan(text: &str) -> Vec<Finding> {
    let fenced = text.lines().any(|line| fence(line).is_some());
    let mut now = if fenced { Part::Prose } else { Part::Unknown };
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = fence(line) {
            now = if now == Part::Prose { part(name) } else { Part::Prose };
            continue;
        }
        let line = &line[..line.floor_char_boundary(LINE_BYTES)];
        if now == Part::Prose || line.trim().is_empty() {
            continue;
        }
        let comment = is_comment(line);
        for set in SETS.iter().filter(|set| now.takes(set.language)) {
            // Secrets are secrets in comments too.
            if comment && set.language.is_some() {
                continue;
            }
            let rules = set.patterns.matches(line).into_iter().map(|at| &set.rules[at]);
            found.extend(rules.map(|rule| Finding { rule, line: index + 1 }));
        }
        if found.len() >= FINDINGS {
            break;
        }
    }
    found.truncate(FINDINGS);
    found
}
