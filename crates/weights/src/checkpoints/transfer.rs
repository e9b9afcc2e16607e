//! Fetching the files of a model: several requests at a time, each for a part of a file, going on
//! where an earlier attempt stopped.

use super::{
    Checkpoints, SHA256_LIST, disk,
    plan::{Plan, Wanted},
    verify,
};
use crate::{Fetch, Fetched, Progress, size};
use chaski_api::{Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

/// A part that begins to be answered later counts as failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A part that brings nothing for so long has failed.
const BYTES_WITHIN: Duration = Duration::from_mins(1);
/// How often a part is asked for while nothing new comes.
const TRIES: u32 = 3;
/// What is done of a file is written down after so many bytes.
const NOTED_EACH: u64 = 16 << 20;
/// A tenth of the download stays free on the disk.
const RESERVE: u64 = 10;

/// How files are fetched.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// How many requests are open at a time.
    pub parallel: usize,
    /// The bytes of a part of a file.
    pub part: u64,
    /// How long to wait before the second attempt; each further one waits twice as long.
    pub pause: Duration,
}

impl Default for Transfer {
    fn default() -> Self {
        Self { parallel: 3, part: 256 << 20, pause: Duration::from_secs(1) }
    }
}

/// What is done of a file: kept beside it until it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The size of the file.
    bytes: u64,
    /// The size of each part but the last.
    part: u64,
    /// The bytes of each part that are there, from its beginning.
    done: Vec<u64>,
}

impl State {
    fn new(bytes: u64, part: u64) -> Self {
        let parts = usize::try_from(bytes.div_ceil(part)).unwrap_or(usize::MAX);
        Self { bytes, part, done: vec![0; parts] }
    }

    /// Whether this is a later state of the same download.
    fn continues(&self, new: &Self) -> bool {
        let same = |state: &Self| (state.bytes, state.part, state.done.len());
        same(self) == same(new)
            && self.done.iter().enumerate().all(|(index, done)| {
                let (from, to) = self.span(index);
                *done <= to - from
            })
    }

    /// Where a part begins and ends.
    fn span(&self, index: usize) -> (u64, u64) {
        let from = index as u64 * self.part;
        (from, (from + self.part).min(self.bytes))
    }
}

/// The download of a model.
struct Job<'a> {
    http: &'a dyn Fetch,
    plan: &'a Plan,
    folder: &'a Path,
    transfer: Transfer,
    open: Semaphore,
    /// The bytes that are there, of all files.
    done: AtomicU64,
    progress: &'a dyn Progress,
}

impl Checkpoints {
    /// Fetches the files of `plan` that are not here yet, and gives back the folder.
    ///
    /// An interrupted download goes on where it stopped, part by part. Files whose SHA-256 is known
    /// are checked.
    ///
    /// # Errors
    /// When a file is refused or breaks off again and again, is not what was expected, or when the
    /// disk is full.
    pub async fn download(
        &self,
        http: &dyn Fetch,
        plan: &Plan,
        transfer: Transfer,
        progress: &dyn Progress,
    ) -> Result<PathBuf> {
        let folder = self.folder(&plan.name).ok_or_else(|| {
            Error::invalid(format!("`{}` cannot be the name of a folder", plan.name))
        })?;
        fs::create_dir_all(&folder).map_err(|error| disk(&folder, &error))?;
        let _lock = lock(&folder)?;
        let job = Job {
            http,
            plan,
            folder: &folder,
            transfer,
            open: Semaphore::new(transfer.parallel.max(1)),
            done: AtomicU64::new(0),
            progress,
        };
        job.run().await?;
        Ok(folder)
    }
}

/// Two downloads into one folder would undo each other's work. The lock ends with the handle.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(|error| disk(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Conflict,
            format!("another download works in `{}`; wait for it", folder.display()),
        )),
        Err(fs::TryLockError::Error(error)) => Err(disk(&path, &error)),
    }
}

impl Job<'_> {
    async fn run(&self) -> Result<()> {
        // Sizes first, so that a disk that is too small is found out at once.
        let sizes: Vec<Option<u64>> = stream::iter(&self.plan.files)
            .map(|file| self.size_of(file))
            .buffered(self.transfer.parallel.max(1))
            .try_collect()
            .await?;
        let total: u64 = sizes.iter().flatten().sum();
        let missing = self.plan.files.iter().zip(&sizes);
        let missing = missing.filter(|(file, bytes)| !self.is_here(file, **bytes));
        self.room_for(missing.map(|(file, bytes)| self.missing(file, *bytes)).sum())?;
        let count = self.plan.files.len();
        let what = format!("fetching {} ({count} files)", self.plan.name);
        self.progress.step(&what, sizes.iter().all(Option::is_some).then_some(total));
        let files = self.plan.files.iter().zip(sizes);
        stream::iter(files)
            .map(|(file, bytes)| self.file(file, bytes))
            .buffer_unordered(count.max(1))
            .try_collect::<()>()
            .await?;
        self.write_list()
    }

    fn target(&self, file: &Wanted) -> PathBuf {
        self.folder.join(&file.path)
    }

    fn is_here(&self, file: &Wanted, bytes: Option<u64>) -> bool {
        let here = self.target(file).metadata().ok().map(|about| about.len());
        here.is_some() && (bytes.is_none() || here == bytes)
    }

    fn missing(&self, file: &Wanted, bytes: Option<u64>) -> u64 {
        let state = read_state(&state_path(&self.target(file)));
        let done: u64 = state.map_or(0, |state| state.done.iter().sum());
        bytes.unwrap_or_default().saturating_sub(done)
    }

    /// The size of a file, as the plan or the server says it.
    async fn size_of(&self, file: &Wanted) -> Result<Option<u64>> {
        if file.bytes.is_some() {
            return Ok(file.bytes);
        }
        let _permit = self.open.acquire().await.map_err(Error::internal)?;
        let mut failures = 0;
        loop {
            match self.ask(file, 0, Some(1)).await {
                // Some hosts answer no `HEAD`: the size stands beside the first byte.
                Ok(answer) if answer.status == 206 => return Ok(answer.total),
                Ok(answer) => return Ok(answer.length),
                Err(error) => self.after_failure(&mut failures, error).await?,
            }
        }
    }

    /// The answer to a request for the bytes from `from` to before `to`.
    async fn ask(&self, file: &Wanted, from: u64, to: Option<u64>) -> Result<Fetched> {
        let answer = match timeout(ANSWER_WITHIN, self.http.part(&file.url, from, to)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => {
                return Err(Error::unavailable(format!("`{}`: {}", file.path, failure.0)));
            }
            Err(_) => {
                let path = &file.path;
                return Err(Error::unavailable(format!("`{path}`: no answer within 30 seconds")));
            }
        };
        if matches!(answer.status, 200 | 206) {
            return Ok(answer);
        }
        Err(self.plan.refusal(&file.path, answer.status))
    }

    /// Waits before the next attempt, or gives up.
    async fn after_failure(&self, failures: &mut u32, error: Error) -> Result<()> {
        *failures += 1;
        let final_answer = !matches!(error.kind, ErrorKind::Unavailable { .. });
        if final_answer || *failures >= TRIES {
            return Err(error);
        }
        self.progress.note(&format!("{}; trying again", error.message));
        sleep(self.transfer.pause * 2_u32.saturating_pow(*failures - 1)).await;
        Ok(())
    }

    async fn file(&self, file: &Wanted, bytes: Option<u64>) -> Result<()> {
        let target = self.target(file);
        if self.is_here(file, bytes) {
            self.count(bytes.unwrap_or_default());
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|error| disk(parent, &error))?;
        }
        let unfinished = beside(&target, "part");
        match bytes {
            Some(bytes) => self.parts(file, bytes, &unfinished, &state_path(&target)).await?,
            None => self.unsized_file(file, &unfinished).await?,
        }
        if let Some(expected) = file.sha256.clone() {
            let path = unfinished.clone();
            let found = tokio::task::spawn_blocking(move || verify::hash::<Sha256>(&path))
                .await
                .map_err(Error::internal)?
                .map_err(|error| disk(&unfinished, &error))?;
            if found != expected {
                _ = (fs::remove_file(&unfinished), fs::remove_file(state_path(&target)));
                return Err(Error::unavailable(format!(
                    "`{}` is not the expected file: its SHA-256 is {found} in place of {expected}; \
                     it was removed, start the download again",
                    file.path
                )));
            }
        }
        fs::rename(&unfinished, &target).map_err(|error| disk(&target, &error))?;
        _ = fs::remove_file(state_path(&target));
        Ok(())
    }

    /// Fetches a file of known size in parts.
    async fn parts(
        &self,
        file: &Wanted,
        bytes: u64,
        unfinished: &Path,
        state_path: &Path,
    ) -> Result<()> {
        let new = State::new(bytes, self.transfer.part);
        let earlier = read_state(state_path).filter(|state| state.continues(&new));
        let earlier = earlier.filter(|_| unfinished.is_file());
        let fresh = earlier.is_none();
        let state = earlier.unwrap_or(new);
        let out = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(fresh)
            .open(unfinished)
            .map_err(|error| disk(unfinished, &error))?;
        self.count(state.done.iter().sum());
        let count = state.done.len();
        let part = Part { file, out: &out, path: unfinished, state: Mutex::new(state), state_path };
        let outcome = stream::iter(0..count)
            .map(|index| self.part(&part, index))
            .buffer_unordered(self.transfer.parallel.max(1))
            .try_collect::<()>()
            .await;
        part.note()?;
        outcome?;
        out.sync_all().map_err(|error| disk(unfinished, &error))
    }

    async fn part(&self, part: &Part<'_>, index: usize) -> Result<()> {
        let mut failures = 0;
        loop {
            let (begin, to) = part.state().span(index);
            let before = part.state().done[index];
            if begin + before == to {
                return Ok(());
            }
            let _permit = self.open.acquire().await.map_err(Error::internal)?;
            let outcome = self.piece(part, index, begin + before, to).await;
            if part.state().done[index] > before {
                failures = 0;
            }
            if let Err(error) = outcome {
                self.after_failure(&mut failures, error).await?;
            }
        }
    }

    /// One attempt to fetch what is missing of a part.
    async fn piece(&self, part: &Part<'_>, index: usize, from: u64, to: u64) -> Result<()> {
        let file = part.file;
        let answer = self.ask(file, from, Some(to)).await?;
        if answer.status == 200 && from > 0 {
            return Err(Error::unsupported(format!(
                "the server of `{}` sends whole files only, and the download had stopped; delete \
                 `{}` and start again",
                file.path,
                part.path.display()
            )));
        }
        let mut body = answer.body;
        let mut at = from;
        let mut noted = from;
        while at < to {
            let stopped = |why: &str| {
                Error::unavailable(format!("`{}` stopped at {}: {why}", file.path, size(at)))
            };
            let bytes = match timeout(BYTES_WITHIN, body.next()).await {
                Err(_) => return Err(stopped("nothing came for a minute")),
                Ok(None) => return Err(stopped("the connection was closed")),
                Ok(Some(Err(why))) => return Err(stopped(&why)),
                Ok(Some(Ok(bytes))) => bytes,
            };
            let room = usize::try_from(to - at).unwrap_or(usize::MAX);
            let bytes = &bytes[..bytes.len().min(room)];
            part.out.write_all_at(bytes, at).map_err(|error| disk(part.path, &error))?;
            at += bytes.len() as u64;
            part.state().done[index] += bytes.len() as u64;
            self.count(bytes.len() as u64);
            if at - noted >= NOTED_EACH {
                noted = at;
                part.note()?;
            }
        }
        Ok(())
    }

    /// Fetches a file whose size nobody says: in one go, from its beginning.
    async fn unsized_file(&self, file: &Wanted, unfinished: &Path) -> Result<()> {
        let _permit = self.open.acquire().await.map_err(Error::internal)?;
        let mut answer = self.ask(file, 0, None).await?;
        let out = File::create(unfinished).map_err(|error| disk(unfinished, &error))?;
        let mut at = 0;
        while let Some(bytes) = timeout(BYTES_WITHIN, answer.body.next())
            .await
            .map_err(|_| Error::unavailable(format!("nothing came of `{}`", file.path)))?
        {
            let bytes =
                bytes.map_err(|why| Error::unavailable(format!("`{}`: {why}", file.path)))?;
            out.write_all_at(&bytes, at).map_err(|error| disk(unfinished, &error))?;
            at += bytes.len() as u64;
            self.count(bytes.len() as u64);
        }
        out.sync_all().map_err(|error| disk(unfinished, &error))
    }

    fn count(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        self.progress.at(before + bytes);
    }

    fn room_for(&self, bytes: u64) -> Result<()> {
        let Ok(about) = rustix::fs::statvfs(self.folder) else { return Ok(()) };
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        let needed = bytes.saturating_add(bytes / RESERVE);
        if free >= needed {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "{} are needed in `{}` and {} are free; free some space",
            size(needed),
            self.folder.display(),
            size(free)
        )))
    }

    /// Writes down the checksums that were stated, for checking the files later.
    fn write_list(&self) -> Result<()> {
        let line =
            |file: &Wanted| Some([file.sha256.as_ref()?, "  ", file.path.as_str(), "\n"].concat());
        let list: String = self.plan.files.iter().filter_map(line).collect();
        if list.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(SHA256_LIST);
        fs::write(&path, list).map_err(|error| disk(&path, &error))
    }
}

/// A file that is being fetched.
struct Part<'a> {
    file: &'a Wanted,
    out: &'a File,
    path: &'a Path,
    state: Mutex<State>,
    state_path: &'a Path,
}

impl Part<'_> {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what is done, after the bytes themselves.
    fn note(&self) -> Result<()> {
        let failed = |error: &io::Error| disk(self.state_path, error);
        let text = serde_json::to_vec(&*self.state()).map_err(Error::internal)?;
        self.out.sync_data().map_err(|error| failed(&error))?;
        let new = self.state_path.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, self.state_path))
            .map_err(|error| failed(&error))
    }
}

/// A hidden file beside `target`.
fn beside(target: &Path, extension: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{extension}"))
}

fn state_path(target: &Path) -> PathBuf {
    beside(target, "state")
}

fn read_state(path: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
