//! Records: rows as the types of the program.

use super::{
    Cell, Condition, Order, Owner, Place, Relational, Row, RowChange, RowError, Scope, Select,
    Table, Tallied, Tally,
};
use crate::StoreError;
use serde::{Serialize, de::DeserializeOwned};
use std::{marker::PhantomData, sync::Arc};

/// A type that is kept as rows of a table.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    const TABLE: &'static Table;

    fn id(&self) -> &str;

    /// The values of the declared columns, in the order of their declaration.
    fn cells(&self) -> Vec<Cell>;

    /// The JSON text that it is read from again.
    fn text(&self) -> String {
        serde_json::to_string(self).expect("records are plain data")
    }
}

/// A record as it was read: whose it is, and in which version.
#[derive(Debug, Clone, PartialEq)]
pub struct Held<R> {
    pub record: R,
    owner: Owner,
    version: i64,
}

impl<R> Held<R> {
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// A record as it is once it was inserted.
    pub fn inserted(owner: Owner, record: R) -> Self {
        Self { record, owner, version: 1 }
    }

    /// The record as it is once `record` was put in its place.
    #[must_use]
    pub fn replaced(&self, record: R) -> Self {
        Self { record, owner: self.owner.clone(), version: self.version + 1 }
    }
}

/// A page of records, and whether more follow in its direction.
#[derive(Debug, Clone)]
pub struct Page<R> {
    pub records: Vec<Held<R>>,
    pub has_more: bool,
}

/// Changes that are made together or not at all.
#[derive(Debug, Default)]
pub struct Batch(Vec<RowChange>);

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a record that belongs to `owner`.
    #[must_use]
    pub fn insert<R: Record>(mut self, owner: &Owner, record: &R) -> Self {
        self.0.push(RowChange::Insert {
            table: R::TABLE,
            owner: owner.clone(),
            id: record.id().to_owned(),
            cells: record.cells(),
            body: record.text(),
        });
        self
    }

    /// Puts `record` in the place of the one that was read, which must not have changed since.
    #[must_use]
    pub fn replace<R: Record>(mut self, held: &Held<R>, record: &R) -> Self {
        self.0.push(RowChange::Replace {
            table: R::TABLE,
            owner: held.owner.clone(),
            id: held.record.id().to_owned(),
            version: held.version,
            cells: record.cells(),
            body: record.text(),
        });
        self
    }

    /// Makes the batch only if the record has not changed since it was read.
    #[must_use]
    pub fn expect<R: Record>(mut self, held: &Held<R>) -> Self {
        self.0.push(RowChange::Expect {
            table: R::TABLE,
            owner: held.owner.clone(),
            id: held.record.id().to_owned(),
            version: held.version,
        });
        self
    }

    /// Removes the record that was read, which must not have changed since.
    #[must_use]
    pub fn remove<R: Record>(mut self, held: &Held<R>) -> Self {
        self.0.push(RowChange::Remove {
            table: R::TABLE,
            owner: held.owner.clone(),
            id: held.record.id().to_owned(),
            version: held.version,
        });
        self
    }

    /// Removes all records that are like this; none is fine.
    #[must_use]
    pub fn clear<R: Record>(mut self, scope: impl Into<Scope>, like: Vec<Condition>) -> Self {
        let scope = scope.into();
        self.0.push(RowChange::Clear { table: R::TABLE, scope, conditions: like });
        self
    }
}

/// A question for records of one kind.
#[derive(Debug, Clone)]
#[must_use = "a question that is not asked does nothing"]
pub struct Query<R> {
    select: Select,
    kind: PhantomData<fn() -> R>,
}

impl<R: Record> Query<R> {
    /// Only the records that are like this too.
    pub fn with(mut self, condition: Condition) -> Self {
        self.select.conditions.push(condition);
        self
    }

    pub fn order(mut self, order: Order) -> Self {
        self.select.order = order;
        self
    }

    /// Without so many records.
    pub fn offset(mut self, offset: usize) -> Self {
        self.select.offset = offset;
        self
    }

    pub fn place(mut self, place: Place) -> Self {
        self.select.place = place;
        self
    }

    pub fn limit(mut self, limit: usize) -> Self {
        self.select.limit = limit;
        self
    }
}

/// A database of records; clones are the same.
#[derive(Clone)]
pub struct Database(Arc<dyn Relational>);

impl Database {
    pub fn new(backend: Arc<dyn Relational>) -> Self {
        Self(backend)
    }

    /// A question about the records of `scope`; without more, for the hundred newest.
    pub fn query<R: Record>(scope: impl Into<Scope>) -> Query<R> {
        let select = Select {
            table: R::TABLE,
            scope: scope.into(),
            conditions: Vec::new(),
            order: Order::default(),
            place: Place::default(),
            offset: 0,
            limit: 100,
        };
        Query { select, kind: PhantomData }
    }

    /// The record called `id`.
    pub async fn get<R: Record>(
        &self,
        scope: impl Into<Scope>,
        id: &str,
    ) -> Result<Option<Held<R>>, RowError> {
        let query = Self::query(scope).with(Condition::is("id", id)).limit(1);
        Ok(self.list(query).await?.records.pop())
    }

    /// A page of records.
    pub async fn list<R: Record>(&self, query: Query<R>) -> Result<Page<R>, RowError> {
        let rows = self.0.select(query.select).await?;
        let records = rows.rows.into_iter().map(held).collect::<Result<_, _>>()?;
        Ok(Page { records, has_more: rows.has_more })
    }

    /// A page of records by id, each with why it cannot be read where that is so.
    pub async fn each<R: Record>(
        &self,
        query: Query<R>,
    ) -> Result<Vec<(String, Result<Held<R>, RowError>)>, RowError> {
        let rows = self.0.select(query.select).await?.rows.into_iter();
        Ok(rows.map(|row| (row.id.clone(), held(row))).collect())
    }

    /// Numbers of records, by the values of a column; `sum` is the column that is added up.
    pub async fn tally<R: Record>(
        &self,
        scope: impl Into<Scope>,
        like: Vec<Condition>,
        by: &'static str,
        sum: &'static str,
    ) -> Result<Vec<Tallied>, RowError> {
        let (table, scope) = (R::TABLE, scope.into());
        self.0.tally(Tally { table, scope, conditions: like, by, sum }).await
    }

    /// Makes all changes, or none.
    pub async fn apply(&self, batch: Batch) -> Result<(), RowError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.0.apply(batch.0).await
    }

    /// Adds a record that belongs to `owner`.
    pub async fn insert<R: Record>(&self, owner: &Owner, record: &R) -> Result<(), RowError> {
        self.apply(Batch::default().insert(owner, record)).await
    }

    /// Puts `record` in the place of the one that was read, which must not have changed since.
    pub async fn replace<R: Record>(&self, held: &Held<R>, record: &R) -> Result<(), RowError> {
        self.apply(Batch::default().replace(held, record)).await
    }
}

fn held<R: Record>(row: Row) -> Result<Held<R>, RowError> {
    let Row { id, owner, version, body } = row;
    match serde_json::from_str(&body) {
        Ok(record) => Ok(Held { record, owner, version }),
        Err(error) => Err(RowError::Store(StoreError {
            action: "read",
            store: format!("{}/{id}", R::TABLE.name),
            cause: error.to_string().into(),
        })),
    }
}
