//! The registered resources in the store: the records of the reference, and a note beside each.

use chaski_api::Result;
use chaski_provider::Resource;
use chaski_store::{Change, KvStore};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashMap, marker::PhantomData, sync::Arc};

/// Where a kept record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// From the run configuration.
    Configuration,
    /// From a request.
    Request,
    /// Written by something that keeps no notes, such as the reference.
    Unknown,
}

/// What is known about a record beyond its content. It has a key of its own, because the record
/// itself has the form of the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The place in the order of registration.
    pub(crate) sequence: u64,
    pub(crate) origin: Origin,
    /// What the run configuration said when it last declared the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declared: Option<Value>,
}

/// A kept resource.
#[derive(Debug, Clone)]
pub(crate) struct Record<R> {
    pub(crate) resource: R,
    pub(crate) note: Note,
}

/// The records of one kind.
pub(crate) struct Registry<R> {
    store: Arc<dyn KvStore>,
    kind: PhantomData<fn() -> R>,
}

impl<R: Resource> Registry<R> {
    pub(crate) fn new(store: Arc<dyn KvStore>) -> Self {
        Self { store, kind: PhantomData }
    }

    fn record_prefix() -> String {
        format!("distributions:registry:v8::{}:", R::KIND)
    }

    fn note_prefix() -> String {
        format!("chaski:registry:v1::{}:", R::KIND)
    }

    /// All readable records in the order of registration; those without a note come first, by key.
    pub(crate) async fn load(&self) -> Result<Vec<Record<R>>> {
        let mut notes: HashMap<String, Note> = HashMap::new();
        let prefix = Self::note_prefix();
        for (key, text) in self.store.range(&prefix, &end_of(&prefix)).await? {
            if let (Some(id), Ok(note)) = (key.strip_prefix(&prefix), serde_json::from_str(&text)) {
                notes.insert(id.to_owned(), note);
            }
        }
        let prefix = Self::record_prefix();
        let mut records = Vec::new();
        for (key, text) in self.store.range(&prefix, &end_of(&prefix)).await? {
            match serde_json::from_str::<R>(&text) {
                Ok(resource) => {
                    let note = notes.remove(resource.identifier()).unwrap_or(Note {
                        sequence: 0,
                        origin: Origin::Unknown,
                        declared: None,
                    });
                    records.push(Record { resource, note });
                }
                Err(error) => tracing::warn!(
                    target: "core",
                    key,
                    "a record of the registry cannot be read and is skipped: {error}"
                ),
            }
        }
        records.sort_by_key(|record| record.note.sequence);
        Ok(records)
    }

    /// The changes that keep `record`.
    pub(crate) fn keep(record: &Record<R>) -> [Change; 2] {
        let id = record.resource.identifier();
        let json = |result: serde_json::Result<String>| result.expect("records are plain data");
        [
            Change::set(
                format!("{}{id}", Self::record_prefix()),
                json(serde_json::to_string(&record.resource)),
            ),
            Change::set(
                format!("{}{id}", Self::note_prefix()),
                json(serde_json::to_string(&record.note)),
            ),
        ]
    }

    /// The changes that forget the record called `id`.
    pub(crate) fn forget(id: &str) -> [Change; 2] {
        [
            Change::delete(format!("{}{id}", Self::record_prefix())),
            Change::delete(format!("{}{id}", Self::note_prefix())),
        ]
    }

    pub(crate) async fn apply(&self, changes: Vec<Change>) -> Result<()> {
        if !changes.is_empty() {
            self.store.apply(changes).await?;
        }
        Ok(())
    }
}

/// The first key behind all that start with `prefix`, which ends with a colon.
fn end_of(prefix: &str) -> String {
    let mut end = prefix.trim_end_matches(':').to_owned();
    end.push(';');
    end
}
