//! The rules, as data. Each has an example that it finds and one that it leaves alone, which the
//! tests hold it to.

mod any;
mod c;
mod java;
mod javascript;
mod php;
mod python;
mod rust;

/// A programming language that there are rules for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Language {
    Python,
    C,
    JavaScript,
    Java,
    Php,
    Rust,
}

/// What is to become of code in which a rule finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Treatment {
    /// It is passed on with a warning: there are good reasons for such code.
    Warn,
    /// It is kept back.
    Block,
}

impl Treatment {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}

/// A pattern of insecure code.
pub(super) struct Rule {
    /// Its name, unique among all rules.
    pub(super) id: &'static str,
    /// The weakness, by its number in the Common Weakness Enumeration.
    pub(super) cwe: u32,
    pub(super) treatment: Treatment,
    /// What is wrong with it and what to do in its place, in one line.
    pub(super) message: &'static str,
    /// A regular expression that is looked for in each line.
    pub(super) pattern: &'static str,
    /// A line that it finds, and one that it does not.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests read it"))]
    pub(super) examples: (&'static str, &'static str),
}

const fn block(
    id: &'static str,
    cwe: u32,
    message: &'static str,
    pattern: &'static str,
    examples: (&'static str, &'static str),
) -> Rule {
    Rule { id, cwe, treatment: Treatment::Block, message, pattern, examples }
}

const fn warn(
    id: &'static str,
    cwe: u32,
    message: &'static str,
    pattern: &'static str,
    examples: (&'static str, &'static str),
) -> Rule {
    Rule { treatment: Treatment::Warn, ..block(id, cwe, message, pattern, examples) }
}

/// The rules of each language; those without one are for all texts.
pub(super) const ALL: &[(Option<Language>, &[Rule])] = &[
    (None, any::RULES),
    (Some(Language::Python), python::RULES),
    (Some(Language::C), c::RULES),
    (Some(Language::JavaScript), javascript::RULES),
    (Some(Language::Java), java::RULES),
    (Some(Language::Php), php::RULES),
    (Some(Language::Rust), rust::RULES),
];

/// The names of languages at the beginning of blocks of code.
pub(super) const NAMES: &[(&str, Language)] = &[
    ("python", Language::Python),
    ("python3", Language::Python),
    ("py", Language::Python),
    ("ipython", Language::Python),
    ("c", Language::C),
    ("h", Language::C),
    ("cpp", Language::C),
    ("c++", Language::C),
    ("cc", Language::C),
    ("hpp", Language::C),
    ("javascript", Language::JavaScript),
    ("js", Language::JavaScript),
    ("jsx", Language::JavaScript),
    ("typescript", Language::JavaScript),
    ("ts", Language::JavaScript),
    ("tsx", Language::JavaScript),
    ("node", Language::JavaScript),
    ("java", Language::Java),
    ("kotlin", Language::Java),
    ("php", Language::Php),
    ("rust", Language::Rust),
    ("rs", Language::Rust),
];
