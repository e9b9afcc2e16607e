//! Which files a model consists of, and where each of them is.

use crate::Fetch;
use chaski_api::{Error, ErrorKind, Result};
use chaski_llama::Model;
use futures_util::StreamExt;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

/// A listing is not longer.
const LISTING: usize = 4 << 20;
/// A listing takes no longer.
const LISTED_WITHIN: Duration = Duration::from_secs(30);
/// What a link from Meta contains.
const META_HOST: &str = "llamameta.net";

/// A file to fetch.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The path inside the folder of the model.
    pub(super) path: String,
    pub(super) url: String,
    pub(super) bytes: Option<u64>,
    pub(super) sha256: Option<String>,
}

/// Who is asked, so that a refusal can be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Meta,
    HuggingFace,
    /// Whoever wrote the manifest.
    Manifest,
}

/// The files of a model, and where they are.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The name of the model.
    pub name: String,
    pub(super) files: Vec<Wanted>,
    pub(super) host: Host,
    /// The repository on Hugging Face, for the page with the licence.
    pub(super) repository: Option<&'static str>,
}

impl Plan {
    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// What a status other than success means.
    pub(super) fn refusal(&self, file: &str, status: u16) -> Error {
        refusal(self.host, &self.name, self.repository, file, status)
    }
}

fn refusal(
    host: Host,
    name: &str,
    repository: Option<&'static str>,
    file: &str,
    status: u16,
) -> Error {
    let repository = repository.unwrap_or_default();
    let message = match (host, status) {
        (Host::HuggingFace, 401) => format!(
            "Hugging Face does not accept the token for `{repository}`, or none was given; make one \
             at https://huggingface.co/settings/tokens and pass it as `HF_TOKEN`"
        ),
        (Host::HuggingFace, 403) => format!(
            "access to `{repository}` has not been granted to the owner of the token; accept the \
             licence at https://huggingface.co/{repository}"
        ),
        (Host::HuggingFace, 404) => format!(
            "`{file}` is not in `{repository}`; without a token the repository may be hidden: accept \
             the licence at https://huggingface.co/{repository} and pass a token as `HF_TOKEN`"
        ),
        (Host::Meta, 401 | 403) => format!(
            "the link does not open `{file}` of `{name}`: it has expired, has been used too often, \
             or is for other models; ask for another at https://www.llama.com/llama-downloads/"
        ),
        _ => format!("`{file}` of `{name}` was answered with status {status}"),
    };
    let kind = match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable { retry_after: None },
    };
    Error::new(kind, message)
}

/// The files of `model` behind the link that Meta sends by mail.
///
/// # Errors
/// `InvalidRequest` if that is not such a link.
pub fn meta(model: &Model, link: &str) -> Result<Plan> {
    if !link.contains(META_HOST) {
        return Err(Error::invalid(format!(
            "Invalid Meta URL provided: it does not contain `{META_HOST}`"
        )));
    }
    if link.matches('*').count() != 1 {
        return Err(Error::invalid(
            "Invalid Meta URL provided: exactly one `*` must stand where the file goes",
        ));
    }
    let folder = model.meta_folder();
    let file = |path: String| {
        let url = link.replace('*', &format!("{folder}/{path}"));
        Wanted { path, url, bytes: None, sha256: None }
    };
    let files = model.meta_files().into_iter().map(file).collect();
    let repository = Some(model.repository);
    Ok(Plan { name: model.descriptor.to_owned(), files, host: Host::Meta, repository })
}

/// The files of the repository of `model` on Hugging Face or a mirror, without those that a pattern
/// of `ignored` matches.
///
/// # Errors
/// `Unauthenticated`, `Forbidden` or `NotFound` as Hugging Face says, `Unavailable` if it cannot be
/// reached or its listing cannot be understood.
pub async fn hugging_face(
    http: &dyn Fetch,
    base: &str,
    model: &Model,
    ignored: &[String],
) -> Result<Plan> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "type")]
        kind: String,
        path: String,
        #[serde(default)]
        size: Option<u64>,
        #[serde(default)]
        lfs: Option<Lfs>,
    }
    #[derive(Deserialize)]
    struct Lfs {
        oid: String,
    }
    let repository = model.repository;
    let base = base.trim_end_matches('/');
    let listing = format!("{base}/api/models/{repository}/tree/main?recursive=true");
    let text = timeout(LISTED_WITHIN, text_of(http, &listing, model))
        .await
        .map_err(|_| Error::unavailable("Hugging Face did not list the files in 30 seconds"))??;
    let entries: Vec<Entry> = serde_json::from_slice(&text).map_err(|error| {
        Error::unavailable("the list of files of Hugging Face cannot be understood")
            .caused_by(error)
    })?;
    let mut files = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
        if ignored.iter().any(|pattern| matches(pattern.trim(), &entry.path)) {
            continue;
        }
        let path = checked(entry.path)?;
        let sha256 = entry.lfs.map(|lfs| lfs.oid).filter(|oid| oid.len() == 64);
        let url = format!("{base}/{repository}/resolve/main/{path}");
        files.push(Wanted { path, url, bytes: entry.size, sha256 });
    }
    if files.is_empty() {
        return Err(Error::not_found(format!(
            "no file of `{repository}` is left to fetch; look at `--ignore-patterns`"
        )));
    }
    Ok(Plan {
        name: model.descriptor.to_owned(),
        files,
        host: Host::HuggingFace,
        repository: Some(repository),
    })
}

async fn text_of(http: &dyn Fetch, url: &str, model: &Model) -> Result<Vec<u8>> {
    let answer = http.get(url, 0).await.map_err(|failure| Error::unavailable(failure.0))?;
    if answer.status != 200 {
        let repository = Some(model.repository);
        let name = model.descriptor;
        return Err(refusal(
            Host::HuggingFace,
            name,
            repository,
            "the list of files",
            answer.status,
        ));
    }
    let mut body = answer.body;
    let mut text = Vec::new();
    while let Some(bytes) = body.next().await {
        text.extend(bytes.map_err(Error::unavailable)?);
        if text.len() > LISTING {
            return Err(Error::unavailable("the list of files of Hugging Face is too long"));
        }
    }
    Ok(text)
}

/// A file with links to models, as the reference reads it.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    models: Vec<ManifestModel>,
    /// Until when the links are good, as RFC 3339 or a day and time in UTC.
    pub expires_on: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ManifestModel {
    model_id: String,
    files: BTreeMap<String, String>,
}

impl Manifest {
    /// # Errors
    /// `InvalidRequest` if the text is not a manifest.
    pub fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!(
                "the manifest cannot be understood: {error}; expected \
                 `{{\"models\": [{{\"model_id\": NAME, \"files\": {{FILE: URL}}}}], \
                 \"expires_on\": TIME}}`"
            ))
        })
    }

    /// The files of each model.
    ///
    /// # Errors
    /// `InvalidRequest` if a file would lie outside the folder of its model.
    pub fn plans(self) -> Result<Vec<Plan>> {
        let plan = |model: ManifestModel| {
            let file =
                |(path, url)| Ok(Wanted { path: checked(path)?, url, bytes: None, sha256: None });
            let files = model.files.into_iter().map(file).collect::<Result<_>>()?;
            Ok(Plan { name: model.model_id, files, host: Host::Manifest, repository: None })
        };
        self.models.into_iter().map(plan).collect()
    }
}

/// The path, if it stays inside the folder.
fn checked(path: String) -> Result<String> {
    let plain = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', '?', '#'])
    };
    if path.split('/').all(plain) {
        return Ok(path);
    }
    Err(Error::invalid(format!("`{path}` is no path inside the folder of a model")))
}

/// Whether the pattern, in which `*` means any text and `?` any character, matches the path or the
/// name of the file.
fn matches(pattern: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [path, name].into_iter().any(|text| glob(pattern.as_bytes(), text.as_bytes()))
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The last `*`, and the text that it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths_and_names() {
        assert!(matches("*.safetensors", "model-00001.safetensors"));
        assert!(matches("*.safetensors", "deep/model.safetensors"));
        assert!(matches("original/*", "original/params.json"));
        assert!(matches("a*b*c", "a1b2b3c"));
        assert!(matches("?.bin", "x.bin"));
        assert!(!matches("*.safetensors", "model.safetensors.index.json"));
        assert!(!matches("", "x"));
    }

    #[test]
    fn a_link_of_meta_leads_to_each_file() {
        let model = Model::find("Llama3.2-1B-Instruct").unwrap();
        let plan = meta(model, "https://download.llamameta.net/*?Policy=x").unwrap();
        let urls: Vec<&str> = plan.files.iter().map(|file| file.url.as_str()).collect();
        assert_eq!(
            urls[3],
            "https://download.llamameta.net/Llama-3.2-1B-Instruct/consolidated.00.pth?Policy=x"
        );
        for link in ["https://example.com/*", "https://download.llamameta.net/x"] {
            let error = meta(model, link).unwrap_err().message;
            assert!(error.starts_with("Invalid Meta URL provided"), "{error}");
        }
    }

    #[test]
    fn a_manifest_names_files_inside_the_folder_only() {
        let plans = |path: &str| {
            let text = format!(
                r#"{{"models":[{{"model_id":"m","files":{{"{path}":"https://x"}}}}],"expires_on":"2030-01-01T00:00:00"}}"#
            );
            Manifest::read(&text).unwrap().plans()
        };
        assert_eq!(plans("a/b.pth").unwrap()[0].files(), 1);
        for path in ["../x", "/etc/passwd", "a/../../x", "", "a//b"] {
            assert!(plans(path).unwrap_err().message.contains("no path inside"), "{path}");
        }
        let error = Manifest::read("{}").unwrap_err().message;
        assert!(error.contains("missing field `models`"), "{error}");
    }
}
