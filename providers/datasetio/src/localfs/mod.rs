//! Datasets by their rows, or by files behind addresses; appended rows are kept in SQLite.

mod columns;
mod records;
mod source;
mod table;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result,
    datasets::{DataSource, Dataset, IterrowsResponse, Row},
    wire::Between,
};
use chaski_provider::{
    Context, DatasetIo, DatasetIoProvider, Declarer, Deps, Hosts, Lifecycle, Provider,
    ProviderConfig, RowRange, Spec,
};
use chaski_store::{Database, SqliteRows};
use moka::future::Cache;
use records::{Appended, Appendix, SCHEMA};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use source::{AT_ONCE, Files};
use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};
use table::Table;
use tokio::sync::Semaphore;

/// The most rows of an answer.
const MOST_ROWS: usize = 100_000;
/// How long the appended rows of an answer may be together, as JSON.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How long the rows of a file are remembered for the next page, and how much memory they take.
const MEMORY_TIME: Duration = Duration::from_mins(1);
const MEMORY_BYTES: u64 = 128 * 1024 * 1024;

const DOCS: &str = "\
Datasets whose rows are given, or stand in a file: CSV (also with tabs or semicolons), XLSX, JSON (a list of objects) or
JSON Lines, behind an `http:`, `https:` or `data:` address.

- `http` and `https` lead to public addresses only, unless `server.egress_allow` lists others. A file has at most
  `max_bytes` bytes, 2000000 cells and 1000000 rows. CSV and XLSX are read in processes with limits of memory and time.
- Files of the server (a path, or `file:`) are read for datasets that the configuration declares, and for those of
  requests where they are in one of `folders`.
- The first row of a table names the columns. In CSV a column of numbers or truth values holds such, and whole numbers stay
  whole; an empty cell is `null`. In XLSX the first sheet is read.
- A file is read anew whenever its first row is asked for. Pages after it come from what was read then, for a minute.
- Appended rows follow those of the source, are kept in the SQLite file of `kvstore`, and go when the dataset is removed
  or gets another source. They can be read by whoever can use the dataset: datasets are shared, as models are.
- An answer has at most 100000 rows; `next_start_index` says where the next one begins.
";

chaski_api::wire! {
    /// Where appended rows are kept.
    pub struct KvStoreConfig {
        /// Always `sqlite` in this build.
        pub kind as "type": String = "sqlite".to_owned(),
        /// Has no effect.
        pub namespace: Option<String>,
        /// The file; `:memory:` keeps nothing.
        pub db_path: String,
    }

    /// The configuration of `inline::localfs`.
    pub struct LocalFsConfig {
        /// Where appended rows are kept.
        pub kvstore: KvStoreConfig,
        /// Folders of this server whose files requests may name. None unless given.
        pub folders: Vec<String> = Vec::new(),
        /// The most bytes of a file.
        pub max_bytes: Between<1, 268_435_456> = Between(32 * 1024 * 1024),
    }
}

impl ProviderConfig for LocalFsConfig {
    fn sample(dir: &str) -> Value {
        json!({ "kvstore": {
            "type": "sqlite", "namespace": null,
            "db_path": format!("${{env.SQLITE_STORE_DIR:{dir}}}/localfs_datasetio.db"),
        } })
    }

    fn validate(&self, reader: &mut Reader) {
        let kind = &self.kvstore.kind;
        if kind != "sqlite" {
            reader.key("kvstore", |reader| {
                reader.key("type", |reader| {
                    let text = format!("this build keeps rows in `sqlite`, not in `{kind}`");
                    reader.issue::<()>("store", text)
                })
            });
        }
        reader.key("folders", |reader| {
            for (index, folder) in self.folders.iter().enumerate() {
                if !PathBuf::from(folder).is_absolute() {
                    let text = format!("`{folder}` is not a path that begins with `/`");
                    reader.index(index, |reader| reader.issue::<()>("folder", text));
                }
            }
        });
    }
}

/// The provider `inline::localfs`.
pub(crate) struct LocalFs {
    files: Files,
    appendix: Appendix,
    /// What was read last, by dataset, address, and who declared it.
    remembered: Cache<(String, String, Declarer), Arc<Table>>,
}

impl Provider for LocalFs {
    type Api = dyn DatasetIoProvider;
    type Config = LocalFsConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::DatasetIo,
            "inline::localfs",
            "Datasets of given rows, or of CSV, XLSX and JSON files, with appended rows in SQLite.",
        )
    };

    async fn build(config: LocalFsConfig, deps: Deps) -> Result<Arc<dyn DatasetIoProvider>> {
        Ok(Arc::new(Self::new(config, deps)?))
    }
}

impl LocalFs {
    fn new(config: LocalFsConfig, deps: Deps) -> Result<Self> {
        let backend = SqliteRows::open(config.kvstore.db_path, &SCHEMA)?;
        let remembered = Cache::builder()
            .time_to_live(MEMORY_TIME)
            .max_capacity(MEMORY_BYTES)
            .weigher(|_, table: &Arc<Table>| u32::try_from(table.bytes()).unwrap_or(u32::MAX))
            .build();
        Ok(Self {
            files: Files {
                http: deps.http,
                documents: deps.documents,
                cpu: deps.cpu,
                folders: config.folders.into_iter().map(PathBuf::from).collect(),
                max_bytes: usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX),
                places: Semaphore::new(AT_ONCE),
            },
            appendix: Appendix::new(Database::new(Arc::new(backend))),
            remembered,
        })
    }

    /// The rows of a file, for an answer from the row `start` on.
    async fn table(
        &self,
        dataset: &Dataset,
        uri: &str,
        declarer: Declarer,
        start: usize,
    ) -> Result<Arc<Table>> {
        let key = (dataset.identifier.clone(), uri.to_owned(), declarer);
        if start > 0
            && let Some(table) = self.remembered.get(&key).await
        {
            return Ok(table);
        }
        let table = self.files.read(uri, declarer).await.map_err(|error| named(dataset, error))?;
        let table = Arc::new(table);
        self.remembered.insert(key, Arc::clone(&table)).await;
        Ok(table)
    }

    /// Some rows of the source, and how many it has.
    async fn of_source(
        &self,
        dataset: &Dataset,
        declarer: Declarer,
        wanted: Range<usize>,
    ) -> Result<(Vec<Row>, usize)> {
        match &dataset.source {
            DataSource::Rows(source) => {
                let rows = &source.rows.0;
                Ok((rows[within(&wanted, rows.len())].to_vec(), rows.len()))
            }
            DataSource::Uri(source) => {
                let table = self.table(dataset, &source.uri, declarer, wanted.start).await?;
                let length = table.len();
                let range = within(&wanted, length);
                let rows = self.files.cpu.run(move || table.rows(range)).await?;
                Ok((rows.map_err(|error| named(dataset, error))?, length))
            }
        }
    }
}

/// The part of a range that a list of this length has.
fn within(range: &Range<usize>, length: usize) -> Range<usize> {
    range.start.min(length)..range.end.min(length)
}

/// The error with the dataset that it is about.
fn named(dataset: &Dataset, error: Error) -> Error {
    let is_complete = error.message.starts_with("Unsupported file type");
    let is_about_file =
        matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::TooLarge | ErrorKind::Timeout);
    if is_complete || !is_about_file {
        return error;
    }
    // It is the file that is too large, and not the request.
    let is_large = error.kind == ErrorKind::TooLarge;
    let kind = if is_large { ErrorKind::InvalidRequest } else { error.kind };
    let message =
        format!("the rows of dataset `{}` cannot be read: {}", dataset.identifier, error.message);
    Error { kind, message, ..error }
}

/// What tells two sources apart.
fn digest(source: &DataSource) -> Result<String> {
    let json = serde_json::to_vec(source)
        .map_err(|error| Error::internal("a source cannot be written").caused_by(error))?;
    Ok(BASE64_STANDARD.encode(Sha256::digest(json)))
}

#[async_trait]
impl DatasetIo for LocalFs {
    async fn rows(
        &self,
        _cx: &Context,
        dataset: &Dataset,
        declarer: Declarer,
        range: RowRange,
    ) -> Result<IterrowsResponse> {
        let RowRange { start, limit } = range;
        let most = limit.unwrap_or(usize::MAX).min(MOST_ROWS);
        let end = start.saturating_add(most);
        let (mut data, length) = self.of_source(dataset, declarer, start..end).await?;
        let has_more = if end < length {
            true
        } else {
            let (skipped, rest) = (start.saturating_sub(length), most - data.len());
            let id = &dataset.identifier;
            let Appended { rows, has_more } =
                self.appendix.rows(id, skipped, rest, MOST_BYTES).await?;
            data.extend(rows);
            has_more
        };
        let next = has_more.then(|| i64::try_from(start + data.len()).unwrap_or(i64::MAX));
        Ok(IterrowsResponse { data, next_start_index: next })
    }

    async fn append(&self, _cx: &Context, dataset: &Dataset, rows: Vec<Row>) -> Result<()> {
        let id = &dataset.identifier;
        // A dataset that another program registered is taken in with its first rows.
        if !self.appendix.has(id).await? {
            self.appendix.register(id, &digest(&dataset.source)?).await?;
        }
        self.appendix.append(id, rows).await
    }
}

#[async_trait]
impl Hosts<Dataset> for LocalFs {
    async fn on_register(&self, dataset: Dataset) -> Result<Dataset> {
        self.appendix.register(&dataset.identifier, &digest(&dataset.source)?).await?;
        Ok(dataset)
    }

    async fn on_unregister(&self, dataset: &Dataset) -> Result<()> {
        self.appendix.unregister(&dataset.identifier).await
    }
}

#[async_trait]
impl Lifecycle for LocalFs {}
