//! The durable part: one SQLite database with the chunks and their vectors.
//!
//! Everything else is made from it. A commit reaches the disk before it is acknowledged. Rows
//! never get a number twice, so that a segment either has the right content for a row or none.

mod read;
mod write;

use crate::{Error, Result, Settings};
use rusqlite::{Connection, OptionalExtension};
use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use read::{Pool, Reading, Stored};
pub(crate) use write::Writer;

/// The version of the database; a newer one is refused.
pub(crate) const VERSION: i64 = 1;
/// Tells our databases from others.
const APPLICATION: i64 = 0x4348_4B49;
/// How long a connection waits for another one that writes.
const BUSY: Duration = Duration::from_secs(30);
/// The log keeps so many bytes when it is begun anew, however long a large change has made it.
const LOG_BYTES: u32 = 16 * 1024 * 1024;

const SCHEMA: &str = "
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        settings TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        next_row INTEGER NOT NULL,
        digest INTEGER NOT NULL
    );
    CREATE TABLE chunks (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        text TEXT NOT NULL,
        metadata TEXT NOT NULL,
        expires INTEGER,
        checksum INTEGER NOT NULL
    );
    CREATE INDEX chunks_expires ON chunks (expires) WHERE expires IS NOT NULL;
    CREATE TABLE vectors (
        row INTEGER PRIMARY KEY,
        vector BLOB NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE TABLE segments (name TEXT PRIMARY KEY, checksum INTEGER NOT NULL) WITHOUT ROWID;
";

/// Where the files of an index are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) database: PathBuf,
    pub(crate) segments: PathBuf,
}

/// What the database says of itself.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) generation: u64,
    pub(crate) next_row: u64,
    /// The sum of `fingerprint` over all rows.
    pub(crate) digest: u64,
}

impl Place {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            database: folder.join("index.db"),
            segments: folder.join("segments"),
        }
    }

    /// The file that is locked while a process has the index open.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// Keeps the index to this process; the lock lasts as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.lock_file();
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::files("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(self.folder.display().to_string())),
            Err(TryLockError::Error(cause)) => Err(Error::files("lock", &path)(cause)),
        }
    }

    pub(crate) fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + Copy {
        Error::database(&self.database)
    }

    pub(crate) fn damaged(&self, what: impl std::fmt::Display) -> Error {
        Error::damaged(&self.database, what)
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        let connect = || {
            let connection = Connection::open(&self.database)?;
            connection.busy_timeout(BUSY)?;
            connection.execute_batch(&format!(
                "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON;
                 PRAGMA journal_size_limit = {LOG_BYTES}"
            ))?;
            Ok(connection)
        };
        connect().map_err(self.failed())
    }
}

/// A number for a row and its id; the sum over all rows tells whether the list of ids is whole.
pub(crate) fn fingerprint(row: u64, id: &str) -> u64 {
    crate::segment::mix(row ^ (u64::from(crc32fast::hash(id.as_bytes())) << 32))
}

/// SQLite holds signed numbers.
pub(crate) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

/// Whether there is an index, finished or not.
pub(crate) fn exists(place: &Place) -> bool {
    fs::metadata(&place.database).is_ok_and(|file| file.len() > 0)
}

/// Makes the tables, or nothing. A database that was left without tables is begun again.
pub(crate) fn create(place: &Place, connection: &Connection, settings: &Settings) -> Result<()> {
    let make = || {
        connection.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL")?;
        let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(SCHEMA)?;
        let text = serde_json::to_string(settings).unwrap_or_default();
        transaction.execute(
            "INSERT INTO state VALUES (1, ?1, ?2, 0, 1, 0)",
            (&text, crc32fast::hash(text.as_bytes())),
        )?;
        transaction.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}"
        ))?;
        transaction.commit()
    };
    make().map_err(place.failed())?;
    fs::create_dir_all(&place.segments).map_err(Error::files("create", &place.segments))?;
    crate::segment::sync_folder(&place.folder)
}

/// Whether the tables were made.
pub(crate) fn begun(place: &Place, connection: &Connection) -> Result<bool> {
    let application = pragma(connection, "application_id").map_err(place.failed())?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(place.failed())?;
    match (application, tables) {
        (0, 0) => Ok(false),
        (APPLICATION, _) => Ok(true),
        _ => Err(place.damaged("it is a database of another program, or its first page is gone")),
    }
}

/// Reads the state, and refuses what this program does not know.
pub(crate) fn state(place: &Place, connection: &Connection) -> Result<State> {
    let found = pragma(connection, "user_version").map_err(place.failed())?;
    if found > VERSION {
        let file = place.database.display().to_string();
        return Err(Error::Version { file, found, known: VERSION });
    }
    if found < 1 {
        return Err(place.damaged(format!("it says that its version is `{found}`")));
    }
    let _: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(place.failed())?;
    let found = connection
        .query_row(
            "SELECT settings, checksum, generation, next_row, digest FROM state",
            [],
            |row| {
                let text: String = row.get(0)?;
                let checksum: u32 = row.get(1)?;
                let numbers: [i64; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
                Ok((text, checksum, numbers[0], numbers[1], numbers[2]))
            },
        )
        .optional()
        .map_err(place.failed())?;
    let Some((text, checksum, generation, next_row, digest)) = found else {
        return Err(place.damaged("it has no state"));
    };
    if crc32fast::hash(text.as_bytes()) != checksum {
        return Err(place.damaged("the checksum of its settings is another"));
    }
    let settings: Settings = serde_json::from_str(&text).map_err(|cause| place.damaged(cause))?;
    settings.check().map_err(|cause| place.damaged(cause))?;
    Ok(State {
        settings,
        generation: generation.cast_unsigned(),
        next_row: next_row.cast_unsigned(),
        digest: digest.cast_unsigned(),
    })
}
