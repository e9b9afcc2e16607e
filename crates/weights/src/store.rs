//! The folder of weights: what is there, where it is, and how it is removed.

use crate::{Catalogue, Kind, Source, Weights, pull, source::unknown};
use chaski_api::{Error, Result};
use chaski_llm::gguf::{Facts, Header};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The tokens for which memory is stated when nothing else is said.
const USUAL_CONTEXT: u32 = 8192;
/// The tokens that the engine computes at a time.
const BATCH: u32 = 512;

/// A folder with one `<name>.gguf` per model, and beside it what is known of its source.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    pub(crate) hugging_face: String,
}

/// A model in the folder.
#[derive(Debug, Clone, Serialize)]
pub struct Installed {
    /// The name that requests use: the file name without `.gguf`.
    pub name: String,
    pub path: PathBuf,
    /// The size of the file.
    pub bytes: u64,
    pub kind: Kind,
    /// Where it was fetched from, if it was fetched by this program.
    pub source: Option<String>,
    /// What to know about where it comes from.
    pub note: Option<&'static str>,
}

/// What a model file says about itself, and what it needs.
#[derive(Debug, Clone, Serialize)]
pub struct Described {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub source: Option<String>,
    pub sha256: Option<String>,
    pub facts: Facts,
    /// The context for which the memory is stated, in tokens.
    pub context: u32,
    /// The memory that the loaded model takes with that context, in bytes.
    pub memory: u64,
}

/// What is kept beside a fetched file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) source: String,
    pub(crate) sha256: String,
}

impl Store {
    /// The store in `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), hugging_face: "https://huggingface.co".to_owned() }
    }

    /// Uses a mirror of Hugging Face at `address`.
    #[must_use]
    pub fn with_hugging_face(mut self, address: &str) -> Self {
        address.trim_end_matches('/').clone_into(&mut self.hugging_face);
        self
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The models in the folder, by name. A folder that does not exist is empty.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Installed>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.disk(&error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| self.disk(&error))?.path();
            if let Some(installed) = self.installed(path) {
                found.push(installed);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn installed(&self, path: PathBuf) -> Option<Installed> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?.to_owned();
        let bytes = path.metadata().ok().filter(fs::Metadata::is_file)?.len();
        let weights = Catalogue::find(&name).filter(|weights| weights.name == name);
        let kind = weights.map(|weights| weights.kind).or_else(|| {
            let header = Header::read(&path).ok()?;
            Some(Kind::of(&header))
        })?;
        let source = self.record(&name).map(|record| record.source);
        Some(Installed { name, path, bytes, kind, source, note: weights.and_then(|w| w.note) })
    }

    /// The file of the model called `name`: a name or an alias of the catalogue, or the name of a
    /// file in the folder without `.gguf`.
    ///
    /// # Errors
    /// When there is no such file; the message names the remedy.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let weights = Catalogue::find(name);
        let file = weights.map_or_else(|| format!("{name}.gguf"), Weights::file);
        let path = self.dir.join(&file);
        let plain = Path::new(&file).components().count() == 1 && !file.starts_with('.');
        match weights {
            _ if plain && path.is_file() => Ok(path),
            Some(weights) => Err(Error::not_found(format!(
                "the weights of `{name}` are not on this machine; fetch them with \
                 `chaski model pull {}`",
                weights.name
            ))),
            None => Err(unknown(name)),
        }
    }

    /// What the model called `name` says about itself.
    ///
    /// # Errors
    /// When there is no such file, or it is not a usable GGUF file.
    pub fn describe(&self, name: &str) -> Result<Described> {
        let path = self.path(name)?;
        let header = Header::read(&path).map_err(|error| Error::invalid(&error))?;
        let facts = header.facts();
        let context = USUAL_CONTEXT.min(facts.context_length);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let record = self.record(&name);
        let (source, sha256) = record.map(|record| (record.source, record.sha256)).unzip();
        let bytes = path.metadata().map_err(|error| self.disk(&error))?.len();
        let memory = header.memory_needed(context, BATCH);
        Ok(Described { name, path, bytes, source, sha256, facts, context, memory })
    }

    /// Deletes the model called `name` and gives back how many bytes that freed.
    ///
    /// # Errors
    /// When there is no such file or it cannot be deleted.
    pub fn remove(&self, name: &str) -> Result<u64> {
        let path = self.path(name)?;
        let bytes = path.metadata().map_err(|error| self.disk(&error))?.len();
        fs::remove_file(&path).map_err(|error| self.disk(&error))?;
        // There is no record beside a file that the user put there.
        _ = fs::remove_file(path.with_extension("json"));
        Ok(bytes)
    }

    /// Fetches the weights from `source`, checks them and puts them into the folder.
    ///
    /// Interrupted HTTP downloads go on where they ended. One fetch at a time works in a folder;
    /// another one waits.
    ///
    /// # Errors
    /// When no place works (each is named with its reason), when what came is not what was
    /// expected, or when the disk is full.
    pub async fn pull(
        &self,
        http: &dyn crate::Fetch,
        source: &Source,
        progress: &dyn crate::Progress,
    ) -> Result<pull::Pulled> {
        pull::pull(self, http, source, progress).await
    }

    fn record(&self, name: &str) -> Option<Record> {
        let text = fs::read(self.dir.join(format!("{name}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The error for a failure of the disk.
    pub(crate) fn disk(&self, error: &io::Error) -> Error {
        let dir = self.dir.display();
        if error.kind() == io::ErrorKind::StorageFull {
            return Error::unavailable(format!("the disk of `{dir}` is full; free some space"));
        }
        Error::unavailable(format!("the weights folder `{dir}` cannot be used: {error}"))
    }
}
