//! Writing: one connection, one transaction a call.

use super::{Place, State, fingerprint, pragma, read::checksum, signed};
use crate::{Chunk, Error, Result, Settings};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::{self, File};

/// Free pages are given back when they are at least so many, and at least such a part of all.
const SPARE_PAGES: i64 = 128;
const SPARE_PART: i64 = 4;
/// How many pages are given back while a writer may have to wait.
const PAGES_AT_ONCE: i64 = 256;

/// The one writer of an index.
pub(crate) struct Writer {
    place: Place,
    connection: Connection,
    pub(crate) state: State,
    /// Keeps other processes away.
    _lock: File,
}

/// A transaction that changes chunks; without `commit` nothing changes.
pub(crate) struct Change<'w> {
    place: &'w Place,
    transaction: Transaction<'w>,
    state: &'w mut State,
    next_row: u64,
    digest: u64,
    /// The rows that are gone.
    removed: Vec<u64>,
}

impl Writer {
    pub(crate) fn new(place: Place, connection: Connection, state: State, lock: File) -> Self {
        Self { place, connection, state, _lock: lock }
    }

    pub(crate) fn change(&mut self) -> Result<Change<'_>> {
        let Self { place, connection, state, .. } = self;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(place.failed())?;
        let (next_row, digest) = (state.next_row, state.digest);
        Ok(Change { place, transaction, state, next_row, digest, removed: Vec::new() })
    }

    /// Makes another setting of the text the one that is in force.
    pub(crate) fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        let text = serde_json::to_string(settings).unwrap_or_default();
        self.connection
            .execute(
                "UPDATE state SET settings = ?1, checksum = ?2",
                params![text, crc32fast::hash(text.as_bytes())],
            )
            .map_err(self.place.failed())?;
        self.state.settings = settings.clone();
        Ok(())
    }

    /// Replaces names in the list of segments.
    pub(crate) fn set_segments(&mut self, gone: &[String], new: &[(String, u32)]) -> Result<()> {
        let Self { place, connection, .. } = self;
        let set = || {
            let transaction = connection.unchecked_transaction()?;
            for name in gone {
                transaction.execute("DELETE FROM segments WHERE name = ?1", [name])?;
            }
            for (name, checksum) in new {
                let statement = "INSERT OR REPLACE INTO segments VALUES (?1, ?2)";
                transaction.execute(statement, params![name, checksum])?;
            }
            transaction.commit()
        };
        set().map_err(place.failed())
    }

    /// Rows that have expired.
    pub(crate) fn expired(&self, now: u64) -> Result<Vec<u64>> {
        let find = || {
            self.connection
                .prepare_cached("SELECT row FROM chunks WHERE expires <= ?1 ORDER BY row")?
                .query_map([signed(now)], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))?
                .collect::<rusqlite::Result<_>>()
        };
        find().map_err(self.place.failed())
    }

    /// Moves what was written into the database file and gives free pages back; the log is
    /// emptied when nobody reads any more.
    pub(crate) fn tidy(&self, alone: bool) -> Result<()> {
        self.give_back(None)?;
        self.checkpoint(if alone { "TRUNCATE" } else { "PASSIVE" })
    }

    /// Whether so many pages are free that it is worth giving them back.
    pub(crate) fn is_hollow(&self) -> Result<bool> {
        let free = self.number("freelist_count")?;
        Ok(free >= SPARE_PAGES && free * SPARE_PART >= self.number("page_count")?)
    }

    /// Gives some free pages back, if there are any; answers how many are left.
    pub(crate) fn shrink(&self) -> Result<i64> {
        self.give_back(Some(PAGES_AT_ONCE))?;
        self.number("freelist_count")
    }

    /// Moves what was written into the database file if that is much longer than it need be: it is cut
    /// on the way. Where a reader still needs the end of the log, it stays for the next time.
    pub(crate) fn cut(&self) -> Result<()> {
        let page = self.number("page_size")?;
        let file = fs::metadata(&self.place.database);
        let length = file.map_err(Error::files("read", &self.place.database))?.len();
        let needed = (self.number("page_count")? + SPARE_PAGES) * page;
        if length < needed.cast_unsigned() {
            return Ok(());
        }
        self.checkpoint("PASSIVE")
    }

    fn give_back(&self, pages: Option<i64>) -> Result<()> {
        let limit = pages.map(|pages| format!("({pages})")).unwrap_or_default();
        let give_back = || {
            let mut statement =
                self.connection.prepare(&format!("PRAGMA incremental_vacuum{limit}"))?;
            let mut pages = statement.query([])?;
            while pages.next()?.is_some() {}
            Ok(())
        };
        give_back().map_err(self.place.failed())
    }

    fn checkpoint(&self, mode: &str) -> Result<()> {
        let statement = format!("PRAGMA wal_checkpoint({mode})");
        self.connection.query_row(&statement, [], |_| Ok(())).map_err(self.place.failed())
    }

    fn number(&self, name: &str) -> Result<i64> {
        pragma(&self.connection, name).map_err(self.place.failed())
    }
}

impl Change<'_> {
    /// Takes the chunk with this id out; answers whether it was there.
    pub(crate) fn remove_id(&mut self, id: &str) -> Result<bool> {
        let row: Option<i64> = self
            .transaction
            .prepare_cached("SELECT row FROM chunks WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(self.place.failed())?;
        match row {
            Some(row) => self.remove(row.cast_unsigned(), id).map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes the chunk in this row out.
    pub(crate) fn remove_row(&mut self, row: u64) -> Result<()> {
        let id = self
            .transaction
            .prepare_cached("SELECT id FROM chunks WHERE row = ?1")
            .and_then(|mut statement| {
                statement.query_row([signed(row)], |row| row.get::<_, String>(0))
            })
            .optional()
            .map_err(self.place.failed())?
            .ok_or_else(|| self.place.damaged(format!("chunk {row} is missing")))?;
        self.remove(row, &id)
    }

    fn remove(&mut self, row: u64, id: &str) -> Result<()> {
        let delete =
            |statement: &str| self.transaction.prepare_cached(statement)?.execute([signed(row)]);
        let deleted = delete("DELETE FROM chunks WHERE row = ?1").map_err(self.place.failed())?;
        delete("DELETE FROM vectors WHERE row = ?1").map_err(self.place.failed())?;
        if deleted != 1 {
            return Err(self.place.damaged(format!("chunk {row} is in the list of ids only")));
        }
        self.digest = self.digest.wrapping_sub(fingerprint(row, id));
        self.removed.push(row);
        Ok(())
    }

    /// Puts a chunk in, whose metadata are given as JSON; answers its row.
    pub(crate) fn insert(&mut self, chunk: &Chunk, metadata: &str) -> Result<u64> {
        let row = self.next_row;
        let Chunk { id, text, vector, expires, .. } = chunk;
        let expires = expires.map(signed);
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let insert = || {
            self.transaction
                .prepare_cached("INSERT INTO chunks VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![
                    signed(row),
                    id,
                    text,
                    metadata,
                    expires,
                    checksum(id, text, metadata, expires)
                ])?;
            self.transaction
                .prepare_cached("INSERT INTO vectors VALUES (?1, ?2, ?3)")?
                .execute(params![signed(row), bytes, crc32fast::hash(&bytes)])
        };
        insert().map_err(self.place.failed())?;
        self.digest = self.digest.wrapping_add(fingerprint(row, id));
        self.next_row += 1;
        Ok(row)
    }

    /// Makes the change durable; answers the rows that are gone, ascending.
    pub(crate) fn commit(self) -> Result<Vec<u64>> {
        let Self { place, transaction, state, next_row, digest, mut removed } = self;
        let generation = state.generation + 1;
        let commit = || {
            transaction
                .prepare_cached("UPDATE state SET generation = ?1, next_row = ?2, digest = ?3")?
                .execute([generation, next_row, digest].map(signed))?;
            transaction.commit()
        };
        commit().map_err(place.failed())?;
        (state.generation, state.next_row, state.digest) = (generation, next_row, digest);
        removed.sort_unstable();
        Ok(removed)
    }
}
