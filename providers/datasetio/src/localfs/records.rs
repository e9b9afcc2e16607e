//! Datasets and the rows that were appended to them, as they are kept.

use chaski_api::{Result, datasets::Row};
use chaski_store::{
    Batch, Cell, Column, Condition, Database, Held, Index, Order, Owner, Record, RowError, Schema,
    Table,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

// The reference keeps a table called `kvstore` in the same file; it stays as it is.
static DATASETS: Table = Table { name: "kept_datasets", since: 1, columns: &[], indexes: &[] };
static ROWS: Table = Table {
    name: "appended_rows",
    since: 1,
    columns: &[Column::text("edition", 1)],
    indexes: &[Index::narrow(&["edition"])],
};

/// The tables of datasets.
pub(super) const SCHEMA: Schema = Schema { version: 1, tables: &[&DATASETS, &ROWS] };

/// How many rows are read from the database at one time.
const AT_ONCE: usize = 500;

/// A dataset that rows can be appended to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredDataset {
    id: String,
    /// Which source the rows are appended to.
    source: String,
    /// Changes with the source, so that rows never follow those of another one.
    edition: String,
}

impl Record for StoredDataset {
    const TABLE: &'static Table = &DATASETS;
    fn id(&self) -> &str {
        &self.id
    }
    fn cells(&self) -> Vec<Cell> {
        Vec::new()
    }
}

/// An appended row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StoredRow {
    id: String,
    edition: String,
    /// How long its JSON is.
    bytes: usize,
    row: Row,
}

impl Record for StoredRow {
    const TABLE: &'static Table = &ROWS;
    fn id(&self) -> &str {
        &self.id
    }
    fn cells(&self) -> Vec<Cell> {
        vec![self.edition.as_str().into()]
    }
}

/// Rows, and whether more follow.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Appended {
    pub(super) rows: Vec<Row>,
    pub(super) has_more: bool,
}

/// The appended rows of all datasets.
///
/// Datasets are shared by all callers, as models are: they and their rows are nobody's own.
pub(super) struct Appendix(Database);

impl Appendix {
    pub(super) fn new(database: Database) -> Self {
        Self(database)
    }

    /// Takes a dataset with this source in. Where it had another one, what was appended goes.
    pub(super) async fn register(&self, id: &str, source: &str) -> Result<()> {
        loop {
            let held = self.dataset(id).await?;
            if held.as_ref().is_some_and(|held| held.record.source == source) {
                return Ok(());
            }
            match self.take_in(id, source, held).await {
                // Somebody else has registered it in the meantime.
                Err(RowError::Exists { .. } | RowError::Changed { .. }) => {}
                other => return Ok(other?),
            }
        }
    }

    async fn take_in(
        &self,
        id: &str,
        source: &str,
        held: Option<Held<StoredDataset>>,
    ) -> Result<(), RowError> {
        let record = StoredDataset {
            id: id.to_owned(),
            source: source.to_owned(),
            edition: Uuid::new_v4().simple().to_string(),
        };
        let batch = match &held {
            None => Batch::default().insert(&Owner::default(), &record),
            Some(held) => without_rows(held).replace(held, &record),
        };
        self.0.apply(batch).await
    }

    /// Whether a dataset was taken in.
    pub(super) async fn has(&self, id: &str) -> Result<bool> {
        Ok(self.dataset(id).await?.is_some())
    }

    /// Removes a dataset and its rows.
    pub(super) async fn unregister(&self, id: &str) -> Result<()> {
        match self.dataset(id).await? {
            Some(held) => Ok(self.0.apply(without_rows(&held).remove(&held)).await?),
            None => Ok(()),
        }
    }

    /// Appends rows to a dataset that was taken in, all or none.
    ///
    /// # Errors
    /// `Conflict` if it was removed or got another source meanwhile.
    pub(super) async fn append(&self, id: &str, rows: Vec<Row>) -> Result<()> {
        let gone = || RowError::Changed { id: id.to_owned() };
        let held = self.dataset(id).await?.ok_or_else(gone)?;
        let mut batch = Batch::default().expect(&held);
        for row in rows {
            let bytes = serde_json::to_string(&row).map_or(0, |json| json.len());
            let id = Uuid::new_v4().simple().to_string();
            let edition = held.record.edition.clone();
            let row = StoredRow { id, edition, bytes, row };
            batch = batch.insert(&Owner::default(), &row);
        }
        Ok(self.0.apply(batch).await?)
    }

    /// The appended rows of a dataset from `start` on, at most `most`, and fewer where they have
    /// more than `bytes`.
    pub(super) async fn rows(
        &self,
        id: &str,
        start: usize,
        most: usize,
        bytes: usize,
    ) -> Result<Appended> {
        let Some(held) = self.dataset(id).await? else { return Ok(Appended::default()) };
        let (mut found, mut used) = (Appended { rows: Vec::new(), has_more: true }, 0_usize);
        while found.has_more {
            let wanted = (most - found.rows.len()).min(AT_ONCE);
            let query = Database::query::<StoredRow>(&Owner::default())
                .with(Condition::is("edition", held.record.edition.as_str()))
                .order(Order::OldestFirst)
                .offset(start.saturating_add(found.rows.len()))
                // One row more where none is wanted tells whether there are any.
                .limit(wanted.max(1));
            let page = self.0.list(query).await?;
            if wanted == 0 {
                found.has_more = !page.records.is_empty();
                break;
            }
            found.has_more = page.has_more;
            for held in page.records {
                if !found.rows.is_empty() && used.saturating_add(held.record.bytes) > bytes {
                    found.has_more = true;
                    return Ok(found);
                }
                used += held.record.bytes;
                found.rows.push(held.record.row);
            }
            if found.rows.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    async fn dataset(&self, id: &str) -> Result<Option<Held<StoredDataset>>> {
        Ok(self.0.get(&Owner::default(), id).await?)
    }
}

fn without_rows(held: &Held<StoredDataset>) -> Batch {
    let edition = Condition::is("edition", held.record.edition.as_str());
    Batch::default().clear::<StoredRow>(&Owner::default(), vec![edition])
}
