//! Categories, and how severe a line of each must be to be written.

use std::fmt;
use tracing::level_filters::LevelFilter;

/// The parts of the process that can be given a level of their own. A tracing target of the same
/// name belongs to the category.
pub const CATEGORIES: [&str; 9] =
    ["core", "server", "router", "inference", "agents", "safety", "eval", "tools", "client"];

/// Which category the events of a crate belong to that do not name one.
const CRATES: [(&str, &str); 11] = [
    ("chaski_server", "server"),
    ("chaski_stack", "core"),
    ("chaski_store", "core"),
    ("chaski_cli", "core"),
    ("chaski_client", "client"),
    ("chaski_weights", "core"),
    ("chaski_upstream", "inference"),
    ("chaski_llm", "inference"),
    ("chaski_providers_inference", "inference"),
    ("chaski_providers_tools", "tools"),
    ("chaski_providers_vector_io", "tools"),
];

/// How severe a line must be, in the words of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Critical,
    Error,
    Warning,
    Info,
    Debug,
    Notset,
}

impl Level {
    /// The level with this name, in capitals; `FATAL` and `WARN` are other names.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "CRITICAL" | "FATAL" => Self::Critical,
            "ERROR" => Self::Error,
            "WARN" | "WARNING" => Self::Warning,
            "INFO" => Self::Info,
            "DEBUG" => Self::Debug,
            "NOTSET" => Self::Notset,
            _ => return None,
        })
    }

    /// Nothing here is more severe than an error, so `CRITICAL` keeps errors.
    fn filter(self) -> LevelFilter {
        match self {
            Self::Critical | Self::Error => LevelFilter::ERROR,
            Self::Warning => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Notset => LevelFilter::TRACE,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Notset => "NOTSET",
        })
    }
}

/// The level of every category, and of everything that belongs to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    categories: [Level; CATEGORIES.len()],
    others: Level,
}

impl Default for Levels {
    fn default() -> Self {
        Self { categories: [Level::Info; CATEGORIES.len()], others: Level::Warning }
    }
}

impl Levels {
    /// Applies a text such as `server=debug;core=info` and says what in it had no effect.
    pub fn apply_text(&mut self, text: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once('=') {
                Some((category, level)) => warnings.extend(
                    self.apply(&category.trim().to_lowercase(), &level.trim().to_uppercase()),
                ),
                None => warnings.push(format!(
                    "Invalid logging configuration: '{item}'. Expected format: 'category=level'."
                )),
            }
        }
        warnings
    }

    /// Gives one category (or `all`) a level, and says why it had no effect, if so. The name of
    /// the level may be in any case; the name of the category is taken as it is.
    pub fn apply(&mut self, category: &str, level: &str) -> Option<String> {
        let Some(parsed) = Level::parse(&level.to_uppercase()) else {
            return Some(format!(
                "Unknown log level '{level}' for category '{category}'. \
                 Falling back to default 'INFO'."
            ));
        };
        if category == "all" {
            self.categories = [parsed; CATEGORIES.len()];
            self.others = parsed;
            return None;
        }
        match CATEGORIES.iter().position(|known| *known == category) {
            Some(index) => {
                self.categories[index] = parsed;
                None
            }
            None => Some(format!("Unknown logging category: {category}. No changes made.")),
        }
    }

    /// The level of a category; nothing if there is no such category.
    pub fn of(&self, category: &str) -> Option<Level> {
        let index = CATEGORIES.iter().position(|known| *known == category)?;
        Some(self.categories[index])
    }

    pub(crate) fn filter(&self, target: &str) -> LevelFilter {
        match category(target).and_then(|category| self.of(category)) {
            Some(level) => level.filter(),
            // The libraries below write whole headers and bodies at DEBUG, credentials included.
            None => self.others.filter().min(LevelFilter::INFO),
        }
    }

    pub(crate) fn most_verbose(&self) -> LevelFilter {
        let levels = self.categories.iter().chain([&self.others]);
        levels.map(|level| level.filter()).max().unwrap_or(LevelFilter::INFO)
    }
}

/// The category that a tracing target belongs to.
pub(crate) fn category(target: &str) -> Option<&'static str> {
    let root = target.split("::").next().unwrap_or(target);
    CATEGORIES
        .into_iter()
        .find(|category| *category == root)
        .or_else(|| CRATES.iter().find(|(name, _)| *name == root).map(|(_, category)| *category))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Level)], warnings: &[&str]) {
        let mut levels = Levels::default();
        assert_eq!(levels.apply_text(text), warnings, "{text}");
        for (category, level) in expected {
            assert_eq!(levels.of(category), Some(*level), "{text}: {category}");
        }
    }

    #[test]
    fn the_text_of_the_environment_sets_levels() {
        check("server=debug;core=warn", &[("server", Level::Debug), ("core", Level::Warning)], &[]);
        check(" Server = DEBUG ;; router=fatal;", &[("server", Level::Debug)], &[]);
        check("all=error", &[("server", Level::Error), ("tools", Level::Error)], &[]);
        check("", &[("core", Level::Info)], &[]);
    }

    #[test]
    fn what_is_not_understood_is_said_and_changes_nothing() {
        check(
            "server;core=zzz;bogus=debug",
            &[("server", Level::Info), ("core", Level::Info)],
            &[
                "Invalid logging configuration: 'server'. Expected format: 'category=level'.",
                "Unknown log level 'ZZZ' for category 'core'. Falling back to default 'INFO'.",
                "Unknown logging category: bogus. No changes made.",
            ],
        );
    }

    #[test]
    fn a_configuration_entry_keeps_its_spelling_in_the_warning() {
        let mut levels = Levels::default();
        assert_eq!(levels.apply("core", "debug"), None);
        assert_eq!(
            levels.apply("core", "Loud").as_deref(),
            Some("Unknown log level 'Loud' for category 'core'. Falling back to default 'INFO'.")
        );
        assert!(levels.apply("Core", "debug").is_some());
    }

    #[test]
    fn libraries_stay_quiet_whatever_is_asked_for() {
        let mut levels = Levels::default();
        assert_eq!(levels.filter("h2::codec"), LevelFilter::WARN);
        levels.apply("all", "debug");
        assert_eq!(levels.filter("h2::codec"), LevelFilter::INFO);
        assert_eq!(levels.filter("chaski_server::app"), LevelFilter::DEBUG);
        assert_eq!(levels.filter("inference"), LevelFilter::DEBUG);
    }
}
