//! Parsing in processes of their own, so that a file can take down nothing but its parser.
//!
//! The caller names a command that runs [`serve`] on its standard input and output. Such a worker
//! has limits of memory and processor time, and is killed when the time of a file is over. A crash
//! becomes an error for the file that caused it, and the next file gets another worker.

mod frames;
mod pool;
mod worker;

pub use pool::{Pool, PoolOptions, parse};
pub use worker::serve;

use crate::{Document, Error, ErrorKind, Hints, Limits, Result};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The command of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

impl WorkerCommand {
    pub fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments }
    }
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    Bytes(&'a [u8]),
    /// A regular file, which this process reads; the worker opens nothing.
    Path(&'a Path),
}

/// Reads a file in this process: for tests, and for programs that trust their files.
///
/// # Errors
/// See [`crate::parse`], and where the file cannot be read.
pub fn parse_here(source: Source<'_>, hints: &Hints, limits: &Limits) -> Result<Document> {
    let (mut file, bytes) = source.open()?;
    if bytes > limits.input_bytes {
        return Err(Error::limit("bytes", limits.input_bytes, "input_bytes"));
    }
    let mut content = Vec::new();
    file.by_ref().take(limits.input_bytes.saturating_add(1)).read_to_end(&mut content).map_err(
        |error| Error::new(ErrorKind::Unreadable, format!("the file cannot be read: {error}")),
    )?;
    crate::parse(&content, hints, limits)
}

/// A source that is being read.
enum Opened<'a> {
    Bytes(&'a [u8]),
    File(File),
}

impl<'a> Source<'a> {
    /// The bytes and how many they are.
    fn open(self) -> Result<(Opened<'a>, u64)> {
        match self {
            Self::Bytes(bytes) => {
                Ok((Opened::Bytes(bytes), u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Self::Path(path) => {
                let unreadable = |error: io::Error| {
                    let message = format!("cannot read the file `{}`: {error}", path.display());
                    Error::new(ErrorKind::Unreadable, message)
                };
                // Asked before opening, because a pipe without a writer would hold this thread.
                let metadata = std::fs::metadata(path).map_err(unreadable)?;
                if !metadata.is_file() {
                    let reason = io::Error::other("it is not a regular file");
                    return Err(unreadable(reason));
                }
                let file = File::open(path).map_err(unreadable)?;
                Ok((Opened::File(file), metadata.len()))
            }
        }
    }
}

impl Read for Opened<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => bytes.read(buffer),
            Self::File(file) => file.read(buffer),
        }
    }
}
