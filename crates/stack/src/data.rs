//! Where the data of callers is kept: a database of records, and a folder of files.

use crate::{
    config::RunConfig,
    files::{self, Disk, Files},
    jobs::{self, Jobs, milliseconds},
    vector_stores::{self, VectorStores},
};
use chaski_api::Result;
use chaski_provider::Context;
use chaski_store::{Database, Owner, Schema, SqliteRows};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

/// The tables of the stack.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let all = [files::TABLES, jobs::TABLES, vector_stores::TABLES];
    Schema { version: 3, tables: all.concat().leak() }
});

/// Where the data of callers is kept.
#[derive(Clone)]
pub struct Data {
    pub(crate) database: Database,
    pub(crate) disk: Disk,
}

impl Data {
    /// Opens or creates the database and the folder that a configuration names, or the default ones
    /// below `config_dir`.
    ///
    /// # Errors
    /// The database cannot be opened.
    pub fn open(config: &RunConfig, config_dir: &Path) -> Result<Self> {
        let folder = config.data_dir.as_ref().map_or_else(
            || config_dir.join("distributions").join(&config.image_name).join("data"),
            PathBuf::from,
        );
        let backend = SqliteRows::open(folder.join("data.db"), &SCHEMA)?;
        let database = Database::new(Arc::new(backend));
        Ok(Self { database, disk: Disk::new(folder.join("files")) })
    }

    /// A database in memory; files, if there are any, go into `folder`.
    ///
    /// # Errors
    /// The database cannot be made.
    pub fn in_memory(folder: &Path) -> Result<Self> {
        let backend = SqliteRows::open(":memory:", &SCHEMA)?;
        Ok(Self { database: Database::new(Arc::new(backend)), disk: Disk::new(folder.to_owned()) })
    }
}

/// How often what has expired is removed; it is hidden from the second on.
const SWEEP: Duration = Duration::from_mins(1);
/// How long jobs that have ended are kept, in milliseconds.
const MEMORY: i64 = 7 * 24 * 3600 * 1000;

/// Removes what has expired and what a process that died has left, from time to time.
pub(crate) async fn upkeep(files: Files, jobs: Jobs, stores: VectorStores) {
    files.remove_strays().await;
    loop {
        let swept = async {
            files.sweep(now()).await?;
            stores.sweep(now()).await?;
            jobs.forget_ended(milliseconds() - MEMORY).await
        };
        if let Err(error) = swept.await {
            tracing::warn!(target: "core", "what has expired stays for now: {}", error.chain());
        }
        tokio::time::sleep(SWEEP).await;
    }
}

/// Whose data a request is about.
pub(crate) fn owner(cx: &Context) -> Owner {
    cx.owner()
}

/// The time in seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A new id that nobody can guess: `file-` and 32 digits.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}
