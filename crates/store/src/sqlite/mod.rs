//! SQLite: one file, write-ahead logging, one writer thread and a few readers.
//!
//! The database is touched by threads of its own only, never by the threads of the caller.

use crate::{Change, Entry, KvStore, StoreError};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, config::DbConfig, params};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

/// Reader threads per file.
const READERS: usize = 2;
/// Small batches that wait while the writer is busy are written in one transaction, up to so many.
const GROUP: usize = 256;
/// How long a connection waits for another process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// Statements that a connection keeps prepared: more than a program asks for again and again.
const STATEMENTS: usize = 64;

/// The table of the reference, so that its files open here and ours open there.
const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS kvstore (key TEXT PRIMARY KEY, value TEXT, expiration TIMESTAMP)";

/// A key-value store in a SQLite file.
pub struct Sqlite {
    name: Arc<str>,
    writer: mpsc::Sender<Job>,
    readers: Vec<mpsc::Sender<Read>>,
    next_reader: AtomicUsize,
}

struct Write {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

enum Read {
    Get { key: String, done: oneshot::Sender<Result<Option<String>, StoreError>> },
    Range { start: String, end: String, done: oneshot::Sender<Result<Vec<Entry>, StoreError>> },
}

enum Job {
    Write(Write),
    Read(Read),
}

pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without this, each new value of `LIMIT` has SQLite prepare the statement again.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A commit reaches the disk before it is acknowledged, also when the machine dies.
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    Ok(connection)
}

impl Sqlite {
    /// Opens or creates the file, with its parent folders. `:memory:` is a database in memory.
    ///
    /// This does a little disk work; it belongs to the start of the process.
    ///
    /// # Errors
    /// The file cannot be created, or is not a database.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let name: Arc<str> = path.display().to_string().into();
        let failed = |cause: &dyn std::fmt::Display| failure("open", &name, cause);
        let in_memory = path.as_os_str() == ":memory:";
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|cause| failed(&cause))?;
        }
        let connection = connect(path).map_err(|cause| failed(&cause))?;
        // The pragma answers with the mode in force; file systems without shared memory refuse
        // WAL, and the store works there in the older mode.
        let _: String = connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .map_err(|cause| failed(&cause))?;
        connection.execute_batch(SCHEMA).map_err(|cause| failed(&cause))?;

        let (writer, jobs) = mpsc::channel();
        spawn("store-writer", {
            let name = Arc::clone(&name);
            move || write_loop(connection, &name, &jobs)
        })
        .map_err(|cause| failed(&cause))?;

        let mut readers = Vec::with_capacity(READERS);
        // A database in memory belongs to its one connection, which then reads too.
        for _ in 0..if in_memory { 0 } else { READERS } {
            let connection = connect(path).map_err(|cause| failed(&cause))?;
            let (reader, jobs) = mpsc::channel();
            spawn("store-reader", {
                let name = Arc::clone(&name);
                move || read_loop(&connection, &name, &jobs)
            })
            .map_err(|cause| failed(&cause))?;
            readers.push(reader);
        }
        Ok(Self { name, writer, readers, next_reader: AtomicUsize::new(0) })
    }

    async fn read<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Read,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let ended = || failure("read", &self.name, &"its thread has ended");
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let sent = match self.readers.len() {
            0 => self.writer.send(Job::Read(make(done))).is_ok(),
            readers => self.readers[turn % readers].send(make(done)).is_ok(),
        };
        if !sent {
            return Err(ended());
        }
        answer.await.map_err(|_| ended())?
    }
}

#[async_trait]
impl KvStore for Sqlite {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read(|done| Read::Get { key, done }).await
    }

    async fn range(&self, start: &str, end: &str) -> Result<Vec<Entry>, StoreError> {
        let (start, end) = (start.to_owned(), end.to_owned());
        self.read(|done| Read::Range { start, end, done }).await
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let ended = || failure("write", &self.name, &"its thread has ended");
        self.writer.send(Job::Write(Write { changes, done })).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn failure(action: &'static str, store: &Arc<str>, cause: &dyn std::fmt::Display) -> StoreError {
    StoreError { action, store: store.to_string(), cause: cause.to_string().into() }
}

/// Ends when the store is dropped; what was queued before is written.
fn write_loop(mut connection: Connection, name: &Arc<str>, jobs: &mpsc::Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let mut group = Vec::new();
        let mut next = Some(job);
        // Reads in between see the writes that were queued before them.
        let mut read_after = None;
        while let Some(job) = next.take() {
            match job {
                Job::Write(write) => group.push(write),
                Job::Read(read) => read_after = Some(read),
            }
            if group.len() < GROUP && read_after.is_none() {
                next = jobs.try_recv().ok();
            }
        }
        // A failing batch must not take the others of its group with it.
        let together = group.len() > 1
            && write(&mut connection, group.iter().flat_map(|job| &job.changes)).is_ok();
        for job in group {
            let outcome = if together {
                Ok(())
            } else {
                write(&mut connection, &job.changes).map_err(|cause| failure("write", name, &cause))
            };
            // A caller that has gone does not need the answer.
            drop(job.done.send(outcome));
        }
        if let Some(job) = read_after {
            answer(&connection, name, job);
        }
    }
}

fn write<'a>(
    connection: &mut Connection,
    changes: impl IntoIterator<Item = &'a Change>,
) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for change in changes {
        match change {
            Change::Set { key, value, expires } => {
                transaction
                    .prepare_cached(
                        "INSERT INTO kvstore (key, value, expiration) VALUES (?1, ?2, ?3)
                         ON CONFLICT (key) DO UPDATE
                         SET value = excluded.value, expiration = excluded.expiration",
                    )?
                    .execute(params![key, value, expires.map(timestamp)])?;
            }
            Change::Delete { key } => {
                transaction.prepare_cached("DELETE FROM kvstore WHERE key = ?1")?.execute([key])?;
            }
        }
    }
    transaction.commit()
}

fn read_loop(connection: &Connection, name: &Arc<str>, jobs: &mpsc::Receiver<Read>) {
    while let Ok(job) = jobs.recv() {
        answer(connection, name, job);
    }
}

fn answer(connection: &Connection, name: &Arc<str>, job: Read) {
    let failed = |cause: rusqlite::Error| failure("read", name, &cause);
    match job {
        Read::Get { key, done } => drop(done.send(get(connection, &key).map_err(failed))),
        Read::Range { start, end, done } => {
            drop(done.send(range(connection, &start, &end).map_err(failed)));
        }
    }
}

fn get(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT value FROM kvstore
             WHERE key = ?1 AND value IS NOT NULL AND (expiration IS NULL OR expiration > ?2)",
        )?
        .query_row(params![key, timestamp(SystemTime::now())], |row| row.get(0))
        .optional()
}

fn range(connection: &Connection, start: &str, end: &str) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare_cached(
            "SELECT key, value FROM kvstore
             WHERE key >= ?1 AND key < ?2 AND value IS NOT NULL
             AND (expiration IS NULL OR expiration > ?3) ORDER BY key",
        )?
        .query_map(params![start, end, timestamp(SystemTime::now())], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// `YYYY-MM-DD HH:MM:SS.ffffff` in UTC: the form that the reference writes, which sorts as text.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:06}",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros(),
    )
}

/// The Gregorian date of a day counted from 1970-01-01 (Howard Hinnant, `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
