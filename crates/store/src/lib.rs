//! Storage: a key-value trait, a relational one, and the backends of this build.
//!
//! This crate knows neither what is stored nor who asks for it.

mod background;
mod kv;
mod memory;
mod relational;
mod sqlite;

#[cfg(any(test, feature = "contract"))]
pub mod contract;

pub use background::in_background;
pub use kv::{Change, Entry, KvStore, StoreError};
pub use memory::Memory;
pub use relational::{
    Among, Batch, Cell, Column, ColumnKind, Condition, Database, Held, Index, Order, Owner, Page,
    Place, Query, Record, Relational, Row, RowChange, RowError, Rows, Schema, Scope, Select,
    SqliteRows, Table, Tallied, Tally, Test,
};
pub use sqlite::Sqlite;
