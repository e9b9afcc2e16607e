//! The folder of Llama models as Meta publishes them: one folder per model.

mod plan;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;

pub use plan::{Manifest, Plan, hugging_face, meta};
pub use transfer::Transfer;
pub use verify::{Checked, Finding};

use chaski_api::{Error, Result};
use chaski_llama::Model;
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

/// The list of SHA-256 that is kept of what Hugging Face states.
const SHA256_LIST: &str = "checklist.sha256";

/// A folder of models.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
}

/// A model in the folder.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The name of its folder: the short name with `-` in place of `:`.
    pub name: String,
    pub path: PathBuf,
    /// The size of all its files.
    pub bytes: u64,
    /// When the folder was changed.
    pub modified: Option<SystemTime>,
}

impl Checkpoints {
    /// The folder `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where the model called `name` is or would be; nothing if the name cannot be that of a folder.
    pub fn folder(&self, name: &str) -> Option<PathBuf> {
        let name = Model::find(name).map_or_else(|| name.replace(':', "-"), Model::folder);
        let mut components = Path::new(&name).components();
        let plain = matches!(components.next(), Some(Component::Normal(_)));
        (plain && components.next().is_none() && !name.starts_with('.'))
            .then(|| self.dir.join(name))
    }

    /// The folder of the model called `name`, if it is there.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.folder(name).filter(|folder| folder.is_dir())
    }

    /// The models in the folder, by name. A folder that does not exist is empty.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Checkpoint>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(disk(&self.dir, &error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| disk(&self.dir, &error))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if !path.is_dir() || name.starts_with('.') {
                continue;
            }
            let modified = entry.metadata().ok().and_then(|about| about.modified().ok());
            found.push(Checkpoint { name, bytes: bytes_in(&path), path, modified });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Deletes the folder of the model called `name` and gives back how many bytes that freed.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder, or when it cannot be deleted.
    pub fn remove(&self, name: &str) -> Result<u64> {
        let folder = self
            .find(name)
            .ok_or_else(|| Error::not_found(format!("there is no Llama model `{name}` here")))?;
        let bytes = bytes_in(&folder);
        fs::remove_dir_all(&folder).map_err(|error| disk(&folder, &error))?;
        Ok(bytes)
    }
}

/// The size of all files in a folder. Links are not followed.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => bytes_in(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The error for a failure of the disk.
fn disk(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    if error.kind() == io::ErrorKind::StorageFull {
        return Error::unavailable(format!(
            "the disk of `{path}` is full; free some space and start the download again: it goes on \
             where it stopped"
        ));
    }
    Error::unavailable(format!("`{path}` cannot be used: {error}"))
}
