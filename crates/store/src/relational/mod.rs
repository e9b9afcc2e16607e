//! What every relational backend promises: rows that belong to somebody, in tables declared as data.
//!
//! A row is an id, its owner, a text (the record as JSON) and the few typed columns that questions
//! are asked by. Names of tables and columns are constants of the program and everything else is a
//! parameter of a statement, so that no text of a caller can become part of one.

mod record;
mod schema;
mod sqlite;

#[cfg(test)]
mod contract;

pub use record::{Batch, Database, Held, Page, Query, Record};
pub use schema::{Column, ColumnKind, Index, Schema, Table};
pub use sqlite::SqliteRows;

use crate::StoreError;
use async_trait::async_trait;
use chaski_api::Error;

/// Whose a row is. Rows of one owner are never seen by another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// The organisation; empty where there is only one.
    pub tenant: String,
    /// The caller; empty where nobody is asked who they are.
    pub principal: String,
}

/// Whose rows are meant. There is no question and no change without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those of one owner.
    Of(Owner),
    /// Those of all owners: for the work of the server itself, such as removing what has expired,
    /// and never for a request.
    Upkeep,
}

impl From<&Owner> for Scope {
    fn from(owner: &Owner) -> Self {
        Self::Of(owner.clone())
    }
}

/// A typed value of a column. There is no null: a number or a text stands for "none".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cell {
    Integer(i64),
    Text(String),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// What a column is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Is(Cell),
    IsNot(Cell),
    OneOf(Vec<Cell>),
    AtMost(i64),
    MoreThan(i64),
    /// One of the values that a column has in rows of a table, of the same owners.
    Among(Among),
}

/// The values of a column in the rows of a table that are like this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Among {
    pub table: &'static Table,
    pub column: &'static str,
    pub conditions: Vec<Condition>,
}

/// What a row must be like. The column is a declared one or `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub column: &'static str,
    pub test: Test,
}

impl Condition {
    /// Whether an index of the table finds the few rows that this can be true of.
    pub(super) fn is_narrow(&self, table: &Table) -> bool {
        let finds_few = match &self.test {
            Test::Is(_) | Test::OneOf(_) => true,
            Test::Among(Among { table, conditions, .. }) => {
                conditions.iter().any(|condition| condition.is_narrow(table))
            }
            Test::IsNot(_) | Test::AtMost(_) | Test::MoreThan(_) => false,
        };
        let mut narrow = table.indexes.iter().filter(|index| index.is_narrow);
        finds_few
            && (self.column == "id"
                || narrow.any(|index| index.columns.first() == Some(&self.column)))
    }

    pub fn is(column: &'static str, value: impl Into<Cell>) -> Self {
        Self { column, test: Test::Is(value.into()) }
    }

    pub fn is_not(column: &'static str, value: impl Into<Cell>) -> Self {
        Self { column, test: Test::IsNot(value.into()) }
    }

    pub fn one_of<T: Into<Cell>>(
        column: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        Self { column, test: Test::OneOf(values.into_iter().map(Into::into).collect()) }
    }

    /// One of the values of `R`'s column `other`, in records like this.
    pub fn among<R: Record>(
        column: &'static str,
        other: &'static str,
        conditions: Vec<Self>,
    ) -> Self {
        let among = Among { table: R::TABLE, column: other, conditions };
        Self { column, test: Test::Among(among) }
    }

    pub fn at_most(column: &'static str, value: i64) -> Self {
        Self { column, test: Test::AtMost(value) }
    }

    pub fn more_than(column: &'static str, value: i64) -> Self {
        Self { column, test: Test::MoreThan(value) }
    }
}

/// The order of a list, by the time of insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    OldestFirst,
    #[default]
    NewestFirst,
}

/// Where in a list a page lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    #[default]
    Start,
    /// The rows that follow the one with this id.
    After(String),
    /// The rows that come right before the one with this id.
    Before(String),
}

/// A question for a page of rows.
#[derive(Debug, Clone)]
pub struct Select {
    pub table: &'static Table,
    pub scope: Scope,
    pub conditions: Vec<Condition>,
    pub order: Order,
    pub place: Place,
    /// How many rows are passed over.
    pub offset: usize,
    pub limit: usize,
}

/// A row as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub owner: Owner,
    /// Counts the changes of the row, from 1.
    pub version: i64,
    /// The record as JSON.
    pub body: String,
}

/// A page of rows, and whether more follow in its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    pub rows: Vec<Row>,
    pub has_more: bool,
}

/// A question for numbers of rows, by the values of a column.
#[derive(Debug, Clone)]
pub struct Tally {
    pub table: &'static Table,
    pub scope: Scope,
    pub conditions: Vec<Condition>,
    /// The column that the rows are told apart by.
    pub by: &'static str,
    /// The column of numbers that is added up.
    pub sum: &'static str,
}

/// The rows with one value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tallied {
    pub value: Cell,
    pub rows: i64,
    pub sum: i64,
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub enum RowChange {
    /// Adds a row; its id must be new in the table, whoever owns it.
    Insert { table: &'static Table, owner: Owner, id: String, cells: Vec<Cell>, body: String },
    /// Replaces a row that has not changed since it was read in `version`.
    Replace {
        table: &'static Table,
        owner: Owner,
        id: String,
        version: i64,
        cells: Vec<Cell>,
        body: String,
    },
    /// Changes nothing, and fails where the row has changed since it was read in `version`.
    Expect { table: &'static Table, owner: Owner, id: String, version: i64 },
    /// Removes a row that has not changed since it was read in `version`.
    Remove { table: &'static Table, owner: Owner, id: String, version: i64 },
    /// Removes all rows that are like this; none is fine.
    Clear { table: &'static Table, scope: Scope, conditions: Vec<Condition> },
}

/// Why rows could not be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The id is taken.
    #[error("`{id}` exists already")]
    Exists { id: String },
    /// The row is not what it was when it was read, or gone.
    #[error("`{id}` was changed meanwhile; read it again")]
    Changed { id: String },
    /// The row that a page is counted from is not in the list.
    #[error("there is no `{id}` in this list to go on from")]
    NoPlace { id: String },
}

impl From<RowError> for Error {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Store(error) => error.into(),
            RowError::Exists { .. } | RowError::Changed { .. } => {
                Self::new(chaski_api::ErrorKind::Conflict, error)
            }
            RowError::NoPlace { .. } => Self::invalid(error).with_param("after"),
        }
    }
}

/// Tables of rows that belong to somebody.
///
/// A change that was answered with success survives the death of the process. The changes of a
/// batch become visible together or not at all. Rows keep the order of their insertion.
#[async_trait]
pub trait Relational: Send + Sync + 'static {
    /// A page of rows.
    async fn select(&self, select: Select) -> Result<Rows, RowError>;

    /// Numbers of rows, by the values of a column.
    async fn tally(&self, tally: Tally) -> Result<Vec<Tallied>, RowError>;

    /// Makes all changes, in order, or none.
    async fn apply(&self, changes: Vec<RowChange>) -> Result<(), RowError>;
}
