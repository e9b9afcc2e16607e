//! Reading: a pool of connections, each with one view of the database at a time.

use super::{Place, fingerprint, signed};
use crate::{Chunk, Error, Result};
use rusqlite::{Connection, OptionalExtension, Row};
use std::sync::{Mutex, PoisonError};

/// Connections that wait for the next reader.
const IDLE: usize = 8;

/// Connections for readers.
pub(crate) struct Pool {
    place: Place,
    idle: Mutex<Vec<Connection>>,
}

/// A view of the database that does not change while it is held.
pub(crate) struct Reading<'p> {
    pool: &'p Pool,
    /// Given back at the end.
    connection: Option<Connection>,
}

/// A chunk without its vector.
pub(crate) struct Stored {
    pub(crate) row: u64,
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) metadata: serde_json::Map<String, serde_json::Value>,
    pub(crate) expires: Option<u64>,
}

/// The checksum of a chunk without its vector.
pub(super) fn checksum(id: &str, text: &str, metadata: &str, expires: Option<i64>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [id, text, metadata] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&expires.unwrap_or(-1).to_le_bytes());
    hasher.finalize()
}

impl Pool {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, idle: Mutex::new(Vec::new()) }
    }

    /// Starts a view; answers with it the generation that it shows.
    pub(crate) fn read(&self) -> Result<(Reading<'_>, u64)> {
        let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match waiting {
            Some(connection) => connection,
            None => self.place.connect()?,
        };
        let reading = Reading { pool: self, connection: Some(connection) };
        let generation: i64 = reading.with(|connection| {
            connection.execute_batch("BEGIN")?;
            connection
                .prepare_cached("SELECT generation FROM state")?
                .query_row([], |row| row.get(0))
        })?;
        Ok((reading, generation.cast_unsigned()))
    }

    /// Closes the connections that wait.
    pub(crate) fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A connection whose view cannot be ended is closed.
        if connection.is_autocommit() || connection.execute_batch("COMMIT").is_ok() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
    }
}

fn stored(place: &Place, row: &Row<'_>) -> rusqlite::Result<Result<Stored>> {
    let (id, text, metadata): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let expires: Option<i64> = row.get(4)?;
    let number: i64 = row.get(0)?;
    let expected: u32 = row.get(5)?;
    if checksum(&id, &text, &metadata, expires) != expected {
        return Ok(Err(place.damaged(format!("the checksum of chunk {number} is another"))));
    }
    let Ok(metadata) = serde_json::from_str(&metadata) else {
        return Ok(Err(place.damaged(format!("the metadata of chunk {number} is no JSON"))));
    };
    let expires = expires.map(i64::cast_unsigned);
    Ok(Ok(Stored { row: number.cast_unsigned(), id, text, metadata, expires }))
}

const COLUMNS: &str = "row, id, text, metadata, expires, checksum";

impl Reading<'_> {
    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.connection.as_ref().ok_or(Error::Closed)?;
        work(connection).map_err(self.pool.place.failed())
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Error {
        self.pool.place.damaged(what)
    }

    /// The chunk in a row of a segment.
    pub(crate) fn row(&self, row: u64) -> Result<Stored> {
        let found = self.with(|connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM chunks WHERE row = ?1"))?
                .query_row([signed(row)], |found| stored(&self.pool.place, found))
                .optional()
        })?;
        found.unwrap_or_else(|| Err(self.damaged(format!("chunk {row} is missing"))))
    }

    pub(crate) fn by_id(&self, id: &str) -> Result<Option<Stored>> {
        let found = self.with(|connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM chunks WHERE id = ?1"))?
                .query_row([id], |found| stored(&self.pool.place, found))
                .optional()
        })?;
        found.transpose()
    }

    /// At most so many chunks after an id that are not expired, in the order of ids.
    pub(crate) fn after(&self, id: &str, limit: usize, now: u64) -> Result<Vec<Stored>> {
        let found: Vec<Result<Stored>> = self.with(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM chunks WHERE id > ?1
                     AND (expires IS NULL OR expires > ?2) ORDER BY id LIMIT ?3"
                ))?
                .query_map((id, signed(now), signed(limit as u64)), |row| {
                    stored(&self.pool.place, row)
                })?
                .collect()
        })?;
        found.into_iter().collect()
    }

    /// The vector of a row, into memory that is used again.
    pub(crate) fn vector(&self, row: u64, out: &mut Vec<f32>) -> Result<()> {
        out.clear();
        let whole = self.with(|connection| {
            connection
                .prepare_cached("SELECT vector, checksum FROM vectors WHERE row = ?1")?
                .query_row([signed(row)], |found| {
                    let bytes = found.get_ref(0)?.as_blob()?;
                    let (numbers, rest) = bytes.as_chunks::<4>();
                    out.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                    Ok(rest.is_empty() && crc32fast::hash(bytes) == found.get::<_, u32>(1)?)
                })
                .optional()
        })?;
        match whole {
            Some(true) => Ok(()),
            Some(false) => Err(self.damaged(format!("the checksum of vector {row} is another"))),
            None => Err(self.damaged(format!("vector {row} is missing"))),
        }
    }

    /// The chunk with its vector.
    pub(crate) fn whole(&self, stored: Stored) -> Result<Chunk> {
        let Stored { row, id, text, metadata, expires } = stored;
        let mut vector = Vec::new();
        self.vector(row, &mut vector)?;
        Ok(Chunk { id, text, vector, metadata, expires })
    }

    /// All rows, ascending, once their ids have been held against the digest.
    pub(crate) fn rows(&self, digest: u64) -> Result<Vec<u64>> {
        let (mut rows, mut sum) = (Vec::new(), 0u64);
        self.with(|connection| {
            let mut statement = connection.prepare("SELECT row, id FROM chunks ORDER BY id")?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let number = row.get::<_, i64>(0)?.cast_unsigned();
                sum = sum.wrapping_add(fingerprint(number, row.get_ref(1)?.as_str()?));
                rows.push(number);
            }
            Ok(())
        })?;
        if sum != digest {
            return Err(self.damaged("the list of ids does not agree with its checksum"));
        }
        rows.sort_unstable();
        Ok(rows)
    }

    /// The names and checksums of the files of segments.
    pub(crate) fn segments(&self) -> Result<Vec<(String, u32)>> {
        self.with(|connection| {
            connection
                .prepare("SELECT name, checksum FROM segments")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// What SQLite finds wrong, if anything.
    pub(crate) fn structure(&self) -> Result<()> {
        let answer: String = self.with(|connection| {
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        })?;
        if answer == "ok" { Ok(()) } else { Err(self.damaged(answer)) }
    }
}
