//! The bytes of files, in a folder.
//!
//! A file is written under a name of its own, made durable, and only then gets the name it is found
//! under. Names are ids of this server; nothing that a caller sends is ever part of a path.

use chaski_api::{Error, ErrorKind, Result};
use md5::{Digest, Md5};
use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
    runtime::Handle,
};
use uuid::Uuid;

/// What one file that is being written takes of memory at most.
const BUFFER: usize = 256 * 1024;
/// What nobody finished in this time was left by a process that ended.
const ABANDONED: Duration = Duration::from_hours(2);

/// A folder of files, by id.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    folder: PathBuf,
}

/// Where files are that are still being written.
const INCOMING: &str = "incoming";
/// Where complete files are.
const KEPT: &str = "kept";

impl Disk {
    /// The folder is made when it is needed.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the file called `id` is. `id` is one that this server has made.
    pub(crate) fn path(&self, id: &str) -> PathBuf {
        self.folder.join(KEPT).join(id)
    }

    /// A new file to write into; it is gone again unless it is kept. `limit` is the most it may
    /// hold, in bytes.
    pub(crate) async fn incoming(&self, limit: u64) -> Result<Incoming> {
        let folder = self.folder.join(INCOMING);
        let path = folder.join(Uuid::new_v4().simple().to_string());
        fs::create_dir_all(&folder).await.map_err(failed)?;
        fs::create_dir_all(self.folder.join(KEPT)).await.map_err(failed)?;
        let mut file = File::create_new(&path).await.map_err(failed)?;
        file.set_max_buf_size(BUFFER);
        Ok(Incoming { file, path: Some(path), bytes: 0, limit })
    }

    /// Opens a file and says how long it is.
    ///
    /// # Errors
    /// `Internal` if it is not there: its record says that it is.
    pub(crate) async fn open(&self, id: &str) -> Result<(File, u64)> {
        let lost = |error| Error::internal("a file cannot be read").caused_by(error);
        let file = File::open(self.path(id)).await.map_err(lost)?;
        let bytes = file.metadata().await.map_err(lost)?.len();
        Ok((file, bytes))
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) async fn remove(&self, id: &str) {
        if let Err(error) = fs::remove_file(self.path(id)).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(target: "core", id, "a file could not be removed: {error}");
        }
    }

    /// Removes what a process that ended has left unfinished, and names the complete files that
    /// are old enough to have a record.
    pub(crate) async fn tidy(&self) -> Vec<String> {
        let abandoned = |path: &Path| {
            let changed = std::fs::metadata(path).and_then(|found| found.modified());
            changed.is_ok_and(|changed| {
                SystemTime::now().duration_since(changed).is_ok_and(|age| age > ABANDONED)
            })
        };
        let folder = self.folder.clone();
        let work = move || {
            let entries = |name: &str| {
                let entries = std::fs::read_dir(folder.join(name)).into_iter().flatten().flatten();
                entries.filter(|entry| abandoned(&entry.path())).collect::<Vec<_>>()
            };
            for entry in entries(INCOMING) {
                // It is tried again the next time.
                drop(std::fs::remove_file(entry.path()));
            }
            let kept = entries(KEPT).into_iter();
            kept.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }
}

/// A file that is being written. Dropping it removes it.
#[derive(Debug)]
pub struct Incoming {
    file: File,
    path: Option<PathBuf>,
    bytes: u64,
    limit: u64,
}

impl Incoming {
    /// Appends bytes.
    ///
    /// # Errors
    /// `TooLarge` beyond the limit, `Unavailable` if the disk is full.
    pub async fn write(&mut self, data: &[u8]) -> Result<()> {
        self.bytes += data.len() as u64;
        if self.bytes > self.limit {
            let message = format!("the file has more than {} bytes", self.limit);
            return Err(Error::new(ErrorKind::TooLarge, message).with_param("file"));
        }
        self.file.write_all(data).await.map_err(failed)
    }

    /// Appends whole files, and says the MD5 of them together in hexadecimal digits.
    pub(super) async fn append(&mut self, paths: Vec<PathBuf>) -> Result<String> {
        let file = self.file.try_clone().await.map_err(failed)?.into_std().await;
        let work = move || {
            let mut out = Hashed { writer: file, digest: Md5::new() };
            let mut bytes = 0;
            for path in paths {
                bytes += io::copy(&mut std::fs::File::open(path)?, &mut out)?;
            }
            Ok((bytes, out.digest.finalize()))
        };
        let (bytes, digest) = blocking(work).await?;
        self.bytes += bytes;
        Ok(digest.iter().fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        }))
    }

    /// How many bytes were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file durable and puts it under its id.
    pub(crate) async fn keep(mut self, disk: &Disk, id: &str) -> Result<()> {
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        let Some(path) = self.path.take() else { return Ok(()) };
        let target = disk.path(id);
        let work = move || {
            std::fs::rename(&path, &target).inspect_err(|_| drop(std::fs::remove_file(&path)))?;
            // The name is durable when the folder is.
            target.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
        };
        blocking(work).await
    }
}

/// Adds up what passes through to `writer`.
struct Hashed<W> {
    writer: W,
    digest: Md5,
}

impl<W: io::Write> io::Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(data)?;
        self.digest.update(&data[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let work = move || drop(std::fs::remove_file(path));
        match Handle::try_current() {
            // Removing a large file takes its time.
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}

/// Disk work away from the threads of the network.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome
        .map_err(|error| Error::internal("work on the disk failed").caused_by(error))?
        .map_err(failed)
}

pub(crate) fn failed(error: io::Error) -> Error {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    let message = if full {
        "the disk of the server is full; remove files or try again later"
    } else {
        "the file cannot be kept on the disk of the server"
    };
    Error::unavailable(message).caused_by(error)
}
