//! What every key-value backend promises.

use async_trait::async_trait;
use chaski_api::Error;
use std::{sync::Arc, time::SystemTime};

/// A key and its value.
pub type Entry = (String, String);

/// One step of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a value; from `expires` on, if given, the key counts as absent.
    Set { key: String, value: String, expires: Option<SystemTime> },
    /// Removes a key; an absent key is fine.
    Delete { key: String },
}

impl Change {
    /// Writes a value that does not expire.
    pub fn set(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Set { key: key.into(), value: value.into(), expires: None }
    }

    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }
}

/// Why a store could not do its work. Cheap to clone, so that every waiting caller gets it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} the store `{store}`: {cause}")]
pub struct StoreError {
    /// What was tried: `open`, `read`, `write`.
    pub action: &'static str,
    /// The file or address of the store, without credentials.
    pub store: String,
    /// What the backend said.
    pub cause: Arc<str>,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        // Where the store is, is for the log only.
        Self::unavailable("the store is not available").caused_by(error)
    }
}

/// A map from text to text, ordered by the bytes of its keys.
///
/// A write that was answered with success survives the death of the process. The changes of one
/// batch become visible together or not at all. Expired keys are neither read nor listed.
#[async_trait]
pub trait KvStore: Send + Sync + 'static {
    /// The value of `key`.
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// The entries with `start <= key < end`, by key.
    async fn range(&self, start: &str, end: &str) -> Result<Vec<Entry>, StoreError>;

    /// Makes all changes, in order, or none.
    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Writes a value; from `expires` on, if given, the key counts as absent.
    async fn set(
        &self,
        key: &str,
        value: &str,
        expires: Option<SystemTime>,
    ) -> Result<(), StoreError> {
        let change = Change::Set { key: key.to_owned(), value: value.to_owned(), expires };
        self.apply(vec![change]).await
    }

    /// Removes a key; an absent key is fine.
    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.apply(vec![Change::delete(key)]).await
    }
}
