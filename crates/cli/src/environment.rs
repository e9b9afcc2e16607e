//! The environment of the process: read once, here and nowhere else.

use crate::failure::{Failure, Outcome};
use chaski_api::Secret;
use chaski_upstream::{HostPort, Http, HttpOptions, Proxies};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// An environment variable that the binary obeys.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Another name that means the same, in most cases that of the reference; `name` wins where
    /// both are set.
    pub twin: Option<&'static str>,
    /// What it does, in one sentence.
    pub meaning: &'static str,
}

pub(crate) const PORT: Variable = Variable {
    name: "CHASKI_PORT",
    twin: Some("LLAMA_STACK_PORT"),
    meaning: "The port to listen on, where `--port` is not given.",
};
pub(crate) const CONFIG_DIR: Variable = Variable {
    name: "CHASKI_CONFIG_DIR",
    twin: Some("LLAMA_STACK_CONFIG_DIR"),
    meaning: "The folder for weights, distributions and databases; `~/.chaski` by default.",
};
pub(crate) const WEIGHTS_DIR: Variable = Variable {
    name: "CHASKI_WEIGHTS_DIR",
    twin: None,
    meaning: "The folder for model weights; `weights` in the configuration folder by default.",
};
pub(crate) const LOG: Variable = Variable {
    name: "CHASKI_LOG",
    twin: Some("LLAMA_STACK_LOGGING"),
    meaning: "Levels by category, such as `server=debug;core=info` or `all=warning`.",
};
pub(crate) const LOG_FILE: Variable = Variable {
    name: "CHASKI_LOG_FILE",
    twin: Some("LLAMA_STACK_LOG_FILE"),
    meaning: "A file that log lines are appended to as well.",
};
pub(crate) const LOG_FORMAT: Variable = Variable {
    name: "CHASKI_LOG_FORMAT",
    twin: None,
    meaning: "`human` or `json`; by default lines for people on a terminal and JSON elsewhere.",
};
pub(crate) const NO_VERSION_CHECK: Variable = Variable {
    name: "CHASKI_DISABLE_VERSION_CHECK",
    twin: Some("LLAMA_STACK_DISABLE_VERSION_CHECK"),
    meaning: "With any value, clients of every version are accepted.",
};
pub(crate) const EGRESS_ALLOW: Variable = Variable {
    name: "CHASKI_EGRESS_ALLOW",
    twin: None,
    meaning: "Private addresses that URLs in requests may point to: `host:port,host:port`.",
};
pub(crate) const HTTP_PROXY: Variable = Variable {
    name: "HTTP_PROXY",
    twin: Some("http_proxy"),
    meaning: "The proxy that upstreams without TLS are reached through.",
};
pub(crate) const HTTPS_PROXY: Variable = Variable {
    name: "HTTPS_PROXY",
    twin: Some("https_proxy"),
    meaning: "The proxy that upstreams with TLS are reached through.",
};
pub(crate) const ALL_PROXY: Variable = Variable {
    name: "ALL_PROXY",
    twin: Some("all_proxy"),
    meaning: "The proxy for both, where they have none of their own.",
};
pub(crate) const NO_PROXY: Variable = Variable {
    name: "NO_PROXY",
    twin: Some("no_proxy"),
    meaning: "Hosts that are reached without a proxy: `internal.example,10.0.0.0/8`.",
};
pub(crate) const HF_TOKEN: Variable = Variable {
    name: "HF_TOKEN",
    twin: None,
    meaning: "The token for downloads from Hugging Face.",
};
pub(crate) const HF_ENDPOINT: Variable = Variable {
    name: "HF_ENDPOINT",
    twin: None,
    meaning: "The address of Hugging Face or of a mirror; `https://huggingface.co` by default.",
};
pub(crate) const NO_COLOR: Variable =
    Variable { name: "NO_COLOR", twin: None, meaning: "With any value, nothing is coloured." };

/// Every variable, for `--help` and the reference page. Those that a run configuration names with
/// `${env.NAME}` come on top.
pub const VARIABLES: &[Variable] = &[
    PORT,
    CONFIG_DIR,
    WEIGHTS_DIR,
    LOG,
    LOG_FILE,
    LOG_FORMAT,
    NO_VERSION_CHECK,
    EGRESS_ALLOW,
    HTTP_PROXY,
    HTTPS_PROXY,
    ALL_PROXY,
    NO_PROXY,
    HF_TOKEN,
    HF_ENDPOINT,
    NO_COLOR,
];

/// The variables of the process, and those that `--env` adds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    values: BTreeMap<String, String>,
    home: Option<PathBuf>,
}

impl Environment {
    /// The environment as it is now. Values that are not UTF-8 do not count.
    pub(crate) fn capture() -> Self {
        let values = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = std::env::home_dir().filter(|path| !path.as_os_str().is_empty());
        Self { values, home }
    }

    /// The value of a variable; an empty one counts as not set.
    pub(crate) fn get(&self, variable: Variable) -> Option<&str> {
        self.source(variable).map(|(_, value)| value)
    }

    /// The value of a variable with the name it was found under.
    pub(crate) fn source(&self, variable: Variable) -> Option<(&'static str, &str)> {
        [Some(variable.name), variable.twin].into_iter().flatten().find_map(|name| {
            let value = self.values.get(name).filter(|value| !value.is_empty())?;
            Some((name, value.as_str()))
        })
    }

    /// All values, for the substitution in run configurations.
    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Adds what `--env` gives.
    pub(crate) fn set(&mut self, name: String, value: String) {
        self.values.insert(name, value);
    }

    /// The home folder of the user, if there is one.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The folder for weights, distributions and databases.
    pub(crate) fn config_dir(&self) -> Outcome<PathBuf> {
        match self.get(CONFIG_DIR) {
            Some(path) => self.folder(path),
            None => Ok(self.home_or_fail()?.join(".chaski")),
        }
    }

    /// The folder for model weights.
    pub(crate) fn weights_dir(&self) -> Outcome<PathBuf> {
        match self.get(WEIGHTS_DIR) {
            Some(path) => self.folder(path),
            None => Ok(self.config_dir()?.join("weights")),
        }
    }

    /// The folder for Llama models as Meta publishes them.
    pub(crate) fn checkpoints_dir(&self) -> Outcome<PathBuf> {
        Ok(self.config_dir()?.join("checkpoints"))
    }

    /// The folder that a variable names; `~` at its start is the home folder.
    fn folder(&self, path: &str) -> Outcome<PathBuf> {
        match path.strip_prefix('~') {
            Some("") => self.home_or_fail(),
            Some(rest) if rest.starts_with('/') => Ok(self.home_or_fail()?.join(&rest[1..])),
            _ => Ok(std::path::absolute(Path::new(path))?),
        }
    }

    fn home_or_fail(&self) -> Outcome<PathBuf> {
        self.home.clone().ok_or_else(|| {
            Failure::failed("there is no home folder to keep files in")
                .hint(format!("set `{}` to a folder", CONFIG_DIR.name))
        })
    }

    /// The private addresses that callers may have fetched.
    pub(crate) fn egress_allow(&self) -> Outcome<Vec<HostPort>> {
        let text = self.get(EGRESS_ALLOW).unwrap_or_default();
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| {
                entry
                    .parse()
                    .map_err(|error| Failure::failed(format!("`{}`: {error}", EGRESS_ALLOW.name)))
            })
            .collect()
    }

    /// A client for what a command asks of one server.
    pub(crate) fn http(&self) -> Outcome<Http> {
        Ok(Http::new(HttpOptions { proxies: self.proxies(), ..HttpOptions::default() })?)
    }

    /// The proxies that upstreams are reached through.
    pub(crate) fn proxies(&self) -> Proxies {
        let proxy = |variable| self.get(variable).map(Secret::new);
        Proxies {
            http: proxy(HTTP_PROXY),
            https: proxy(HTTPS_PROXY),
            all: proxy(ALL_PROXY),
            except: self.get(NO_PROXY).map(str::to_owned),
        }
    }

    /// The port that the environment asks for.
    pub(crate) fn port(&self) -> Outcome<Option<u16>> {
        let Some((name, text)) = self.source(PORT) else { return Ok(None) };
        match text.trim().parse() {
            Ok(port) => Ok(Some(port)),
            Err(_) => Err(Failure::failed(format!(
                "`{name}` must be a port number from 0 to 65535, not `{text}`"
            ))),
        }
    }
}

/// Reads `KEY=value` as `--env` takes it.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let wrong = |cause: String| {
        format!("Invalid environment variable format '{text}': {cause}. Expected format: KEY=value")
    };
    let Some((key, value)) = text.split_once('=') else {
        return Err(wrong("not enough values to unpack (expected 2, got 1)".to_owned()));
    };
    let key = key.trim();
    if key.is_empty() {
        return Err(wrong(format!("Empty key in environment variable pair: {text}")));
    }
    if !key.chars().all(|character| character.is_alphanumeric() || character == '_') {
        return Err(wrong(format!(
            "Key must contain only alphanumeric characters and underscores: {key}"
        )));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(&str, &str)]) -> Environment {
        let values =
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment { values, home: Some("/home/someone".into()) }
    }

    #[test]
    fn our_name_wins_over_its_twin_and_empty_counts_as_unset() {
        let both = of(&[("CHASKI_PORT", "1"), ("LLAMA_STACK_PORT", "2")]);
        assert_eq!(both.port().unwrap(), Some(1));
        assert_eq!(of(&[("CHASKI_PORT", ""), ("LLAMA_STACK_PORT", "2")]).port().unwrap(), Some(2));
        assert_eq!(of(&[]).port().unwrap(), None);
        assert!(of(&[("LLAMA_STACK_PORT", "abc")]).port().is_err());
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        let check = |text: &str, key: &str, value: &str| {
            assert_eq!(pair(text), Ok((key.to_owned(), value.to_owned())), "{text}");
        };
        check("FOO=bar", "FOO", "bar");
        check("A=b=c", "A", "b=c");
        check("A=", "A", "");
        check(" K =v", "K", "v");
        check("\u{e9}=1", "\u{e9}", "1");
    }

    #[test]
    fn a_wrong_pair_is_refused_with_the_cause() {
        let check = |text: &str, cause: &str| {
            let expected = format!(
                "Invalid environment variable format '{text}': {cause}. Expected format: KEY=value"
            );
            assert_eq!(pair(text), Err(expected));
        };
        check("foo", "not enough values to unpack (expected 2, got 1)");
        check("=x", "Empty key in environment variable pair: =x");
        check("a-b=c", "Key must contain only alphanumeric characters and underscores: a-b");
        check("A B=c", "Key must contain only alphanumeric characters and underscores: A B");
    }

    #[test]
    fn the_configuration_folder_follows_the_variable() {
        let check = |variables: &[(&str, &str)], dir: &str, weights: &str| {
            let environment = of(variables);
            assert_eq!(environment.config_dir().unwrap(), Path::new(dir));
            assert_eq!(environment.weights_dir().unwrap(), Path::new(weights));
        };
        check(&[], "/home/someone/.chaski", "/home/someone/.chaski/weights");
        check(&[("LLAMA_STACK_CONFIG_DIR", "/tmp/x")], "/tmp/x", "/tmp/x/weights");
        check(&[("CHASKI_CONFIG_DIR", "~/x")], "/home/someone/x", "/home/someone/x/weights");
        check(&[("CHASKI_WEIGHTS_DIR", "/w")], "/home/someone/.chaski", "/w");
    }
}
