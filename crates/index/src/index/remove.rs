//! Taking an index away, and nothing else.

use crate::{Error, Result, storage::Place};
use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

/// What SQLite writes beside a database, and the database itself, which goes last.
const DATABASE: [&str; 4] = ["-wal", "-shm", "-journal", ""];

pub(super) fn remove(folder: &Path) -> Result<bool> {
    let place = Place::new(folder);
    let is_index = place.database.is_file() && place.lock_file().is_file();
    if !is_index || !place.segments.is_dir() {
        return Ok(false);
    }
    let lock = place.lock()?;
    let removed = |path: &Path, outcome: io::Result<()>| match outcome {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::files("remove", path)(error))
        }
        _ => Ok(()),
    };
    let failed = || Error::files("read", &place.segments);
    for entry in fs::read_dir(&place.segments).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.is_file() {
            removed(&path, fs::remove_file(&path))?;
        }
    }
    for suffix in DATABASE {
        let mut path = place.database.clone().into_os_string();
        path.push(suffix);
        removed(path.as_ref(), fs::remove_file(&path))?;
    }
    let path = place.lock_file();
    removed(&path, fs::remove_file(&path))?;
    drop(lock);
    for folder in [&place.segments, &place.folder] {
        match fs::remove_dir(folder) {
            // What others have put there is theirs.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            outcome => removed(folder, outcome)?,
        }
    }
    Ok(true)
}
