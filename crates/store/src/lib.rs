//! Key-value storage: the trait, and the backends of this build.
//!
//! This crate knows neither what is stored nor who asks for it.

mod kv;
mod memory;
mod sqlite;

#[cfg(any(test, feature = "contract"))]
pub mod contract;

pub use kv::{Change, Entry, KvStore, StoreError};
pub use memory::Memory;
pub use sqlite::Sqlite;
