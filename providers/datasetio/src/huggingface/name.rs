//! How datasets of the hub are named.

use chaski_api::{Error, Result};
use chaski_upstream::Url;

/// The first part of an address of the reference, which names no repository.
const KIND: &str = "datasets";

/// A dataset of the hub, and which rows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The repository: `organisation/name`, or a name alone.
    pub(super) repository: String,
    pub(super) config: Option<String>,
    pub(super) split: Option<String>,
}

impl Name {
    /// Reads `huggingface://datasets/ORGANISATION/NAME?split=SPLIT&name=CONFIG`.
    ///
    /// # Errors
    /// `InvalidRequest` if it is something else.
    pub(super) fn read(uri: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!(
                "`{}` names no dataset of the hub: {why}; write \
                 `huggingface://datasets/ORGANISATION/NAME?split=SPLIT`",
                uri.chars().take(200).collect::<String>().escape_debug()
            ))
        };
        let url =
            Url::parse(uri).ok().filter(|url| url.scheme() == "huggingface" && url.has_host());
        let url = url.ok_or_else(|| wrong("it does not begin with `huggingface://`"))?;
        let first = url.host_str().filter(|host| *host != KIND).into_iter();
        let parts = url.path().split('/').filter(|part| !part.is_empty());
        let parts: Vec<&str> = first.chain(parts).collect();
        let is_part = |part: &&str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            part.bytes().all(known) && part.bytes().any(|byte| byte != b'.')
        };
        if !matches!(parts.len(), 1 | 2) || !parts.iter().all(is_part) {
            return Err(wrong(
                "a repository has one or two names of letters, digits, `-`, `_` and `.`",
            ));
        }
        let mut name = Self { repository: parts.join("/"), config: None, split: None };
        for (key, value) in url.query_pairs() {
            let place = match &*key {
                "split" => &mut name.split,
                "name" | "config" => &mut name.config,
                _ => return Err(wrong("beside `split` and `name` nothing can be chosen")),
            };
            *place = Some(value.into_owned()).filter(|value| !value.is_empty());
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    fn read(uri: &str) -> Option<(String, String, String)> {
        let Name { repository, config, split } = Name::read(uri).ok()?;
        Some((repository, config.unwrap_or_default(), split.unwrap_or_default()))
    }

    #[test]
    fn a_dataset_is_named_with_and_without_the_word_that_all_have() {
        let of = |parts: [&str; 3]| Some(parts.map(str::to_owned).into());
        assert_eq!(
            read("huggingface://datasets/o/n?split=train&name=main"),
            of(["o/n", "main", "train"])
        );
        assert_eq!(read("huggingface://o/n?split=test%5B%3A5%5D"), of(["o/n", "", "test[:5]"]));
        assert_eq!(read("huggingface://datasets/n?split="), of(["n", "", ""]));
        assert_eq!(read("huggingface:datasets"), None);
        for wrong in [
            "https://huggingface.co/datasets/o/n",
            "huggingface://datasets",
            "huggingface://datasets/a/b/c",
            "huggingface://datasets/a/b?revision=x",
            "huggingface://datasets/a/%2e%2e",
            "huggingface://datasets/a b/c",
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
