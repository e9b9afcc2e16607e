//! Which projector a model has, and the images of requests for models with one.

use super::{LlamaCpp, is_path};
use crate::{images, local::stem};
use chaski_api::{Error, Result, openai::ChatRequest};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How the names of projectors begin.
const PREFIX: &str = "mmproj";

impl LlamaCpp {
    /// The projector of the model in the file at `path`: the configured one, or one beside it.
    ///
    /// # Errors
    /// When the configured one does not exist.
    pub(super) fn projector(&self, path: &Path) -> Result<Option<PathBuf>> {
        let name = stem(path);
        let Some(configured) = self.projectors.get(&name) else { return Ok(beside(path)) };
        let file = if is_path(configured) {
            PathBuf::from(configured)
        } else {
            let plain = configured.strip_suffix(".gguf").unwrap_or(configured);
            self.store.dir().join(format!("{plain}.gguf"))
        };
        if file.is_file() {
            return Ok(Some(file));
        }
        Err(Error::unavailable(format!(
            "there is no file `{}`, which `projectors` names for `{name}`",
            file.display()
        )))
    }

    /// Puts the images of a request for the model at `path` into it.
    ///
    /// # Errors
    /// When the model sees no images, or one cannot be had.
    pub(super) async fn fetch_images(&self, path: &Path, request: &mut ChatRequest) -> Result<()> {
        if !images::any(request) {
            return Ok(());
        }
        if self.projector(path)?.is_none() {
            let name = stem(path);
            return Err(Error::invalid(format!(
                "`{name}` reads text only: it has no projector for images; put \
                 `{PREFIX}-{name}.gguf` beside its file, or name one in `projectors`"
            ))
            .with_param("messages"));
        }
        images::inline(&self.http, request).await
    }
}

/// The projector beside the model in the file at `path`: the one with its name, or the only one of
/// the only model in the folder.
fn beside(path: &Path) -> Option<PathBuf> {
    let named = path.with_file_name(format!("{PREFIX}-{}.gguf", stem(path)));
    if named.is_file() {
        return Some(named);
    }
    let files = fs::read_dir(path.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let (projectors, models): (Vec<_>, Vec<_>) = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "gguf"))
        .partition(|file| stem(file).starts_with(PREFIX));
    match (&projectors[..], &models[..]) {
        ([projector], [model]) if model == path => Some(projector.clone()),
        _ => None,
    }
}
