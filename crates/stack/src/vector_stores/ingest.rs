//! The work behind vector stores: reading files into them, and removing what is not wanted.

use super::{
    Inner, VectorStores, chunks, contextual, on_behalf_of,
    records::{StoredStore, StoredStoreFile, key},
};
use crate::jobs::{Failure, Task, Work};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    openai::{ChunkingStrategy, IngestError, IngestErrorCode, IngestStatus},
    retrieval::VectorDb,
};
use chaski_documents::Chunk;
use chaski_provider::{Context, Selection, StoredChunk};
use chaski_store::{Batch, Held};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Weak};

/// Reading a file into a vector store.
pub(super) const INGEST: &str = "vector_store.ingest";
/// Removing chunks.
pub(super) const FORGET: &str = "vector_store.forget";

/// How many chunks are embedded and inserted in one step.
const CHUNKS_AT_ONCE: usize = 32;

/// Which file is read into which vector store.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ingested {
    pub(super) vector_store_id: String,
    pub(super) file_id: String,
    /// Where its chunks go, also when nobody knows the vector store any more.
    pub(super) vector_db: VectorDb,
}

impl Ingested {
    pub(super) fn new(store: &StoredStore, file_id: &str) -> Self {
        Self {
            vector_store_id: store.id.clone(),
            file_id: file_id.to_owned(),
            vector_db: store.vector_db.clone(),
        }
    }
}

/// Which chunks are removed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Forgotten {
    pub(super) vector_db: VectorDb,
    /// Those of this job, or the whole database.
    pub(super) job: Option<String>,
}

pub(super) struct Ingest(pub(super) Weak<Inner>);

fn stores(weak: &Weak<Inner>) -> Result<VectorStores> {
    weak.upgrade().map(VectorStores).ok_or_else(|| Error::unavailable("the server is stopping"))
}

fn input<T: for<'de> Deserialize<'de>>(task: &Task) -> Result<T> {
    serde_json::from_value(task.job.input.clone())
        .map_err(|error| Error::internal("the input of a job cannot be read").caused_by(error))
}

impl Ingest {
    /// The vector store and the file, as long as this job is the one that reads it.
    async fn subject(
        stores: &VectorStores,
        task: &Task,
    ) -> Result<Option<(StoredStore, Held<StoredStoreFile>)>> {
        let Ingested { vector_store_id, file_id, .. } = input(task)?;
        let (database, owner) = (stores.database(), &task.owner);
        let store = database.get::<StoredStore>(owner, &vector_store_id).await?;
        let file = database.get::<StoredStoreFile>(owner, &key(&vector_store_id, &file_id)).await?;
        Ok(store.zip(file).and_then(|(store, file)| {
            let ours = file.record.job_id == task.job.id
                && file.record.status() == IngestStatus::InProgress;
            ours.then_some((store.record, file))
        }))
    }

    /// Reads the file and cuts it.
    async fn cut(
        stores: &VectorStores,
        task: &Task,
        db: &VectorDb,
        file: &StoredStoreFile,
    ) -> Result<Arc<[Chunk]>, Failure> {
        let found = stores.0.files.find(&task.owner, &file.object.id).await;
        found.map_err(|error| {
            if error.kind == ErrorKind::NotFound {
                Failure::lasting("invalid_file", "the file was removed before it was read")
            } else {
                Failure::from(error)
            }
        })?;
        let path = stores.0.files.disk().path(&file.object.id);
        let counter = stores.0.backend.token_counter(&on_behalf_of(&task.owner), db).await?;
        let documents = &stores.0.documents;
        Ok(chunks::cut(documents, path, &file.filename, &file.chunking, counter).await?.into())
    }
}

#[async_trait]
impl Work for Ingest {
    fn kind(&self) -> &'static str {
        INGEST
    }

    async fn run(&self, task: &Task) -> Result<Batch, Failure> {
        let stores = stores(&self.0)?;
        let Some((store, held)) = Self::subject(&stores, task).await? else {
            return Ok(Batch::default());
        };
        let cx = on_behalf_of(&task.owner);
        let file = &held.record;
        let pieces = Self::cut(&stores, task, &store.vector_db, file).await?;
        let total = count(pieces.len());
        // What an earlier attempt has inserted is there. It was cut in the same way.
        let known = if task.job.total == total { task.job.done } else { 0 };
        let mut done = usize::try_from(known).unwrap_or_default();
        task.progress(count(done), total);
        while done < pieces.len() {
            let next = (done + CHUNKS_AT_ONCE).min(pieces.len());
            let chunks = Self::prepared(&stores, &cx, file, &pieces, done..next).await?;
            stores.0.backend.insert(&cx, &store.vector_db, chunks).await?;
            done = next;
            task.progress(count(done), total);
        }
        let mut read = file.clone();
        read.object.status = IngestStatus::Completed;
        read.object.usage_bytes = pieces.iter().map(|piece| count(piece.text.len())).sum();
        let batch = Batch::default().replace(&held, &read);
        Ok(stores.told(&task.owner, &read, batch).await?)
    }

    async fn failed(&self, task: &Task, failure: &Failure) -> Result<Batch> {
        let stores = stores(&self.0)?;
        let Some((store, held)) = Self::subject(&stores, task).await? else {
            return Ok(Batch::default());
        };
        let mut failed = held.record.clone();
        failed.object.status = IngestStatus::Failed;
        let code = IngestErrorCode::parse(&failure.code).unwrap_or(IngestErrorCode::ServerError);
        failed.object.last_error = Some(IngestError { code, message: failure.message.clone() });
        let forget = super::forgetting(&store.vector_db, Some(&task.job.id));
        let batch = Batch::default().replace(&held, &failed).insert(&task.owner, &forget);
        stores.told(&task.owner, &failed, batch).await
    }

    async fn taken(&self, task: &Task) {
        // What was being inserted when the job was taken away may have come after it was removed.
        let outcome = async {
            let stores = stores(&self.0)?;
            let Ingested { vector_store_id, file_id, vector_db } = input(task)?;
            let (database, owner) = (stores.database(), &task.owner);
            let key = key(&vector_store_id, &file_id);
            if let Some(file) = database.get::<StoredStoreFile>(owner, &key).await?
                && file.record.job_id == task.job.id
                && matches!(
                    file.record.status(),
                    IngestStatus::InProgress | IngestStatus::Completed
                )
            {
                // Another worker goes on with it, or has completed it, with the same chunks.
                return Ok(());
            }
            let store = database.get::<StoredStore>(owner, &vector_store_id).await?;
            let is_there = store.is_some_and(|store| !store.record.emptied);
            let job = is_there.then_some(task.job.id.as_str());
            let forget = super::forgetting(&vector_db, job);
            Ok::<_, Error>(stores.0.jobs.apply(Batch::default().insert(owner, &forget)).await?)
        };
        if let Err(error) = outcome.await {
            tracing::warn!(target: "core", "chunks that nobody needs stay: {}", error.chain());
        }
    }
}

impl Ingest {
    /// Chunks as they are kept.
    async fn prepared(
        stores: &VectorStores,
        cx: &Context,
        file: &StoredStoreFile,
        pieces: &Arc<[Chunk]>,
        range: std::ops::Range<usize>,
    ) -> Result<Vec<StoredChunk>> {
        let before = match &file.chunking {
            ChunkingStrategy::Contextual(chosen) => {
                contextual::sentences(stores, cx, &chosen.contextual, pieces, range.clone()).await?
            }
            ChunkingStrategy::Auto(_) | ChunkingStrategy::Static(_) => Vec::new(),
        };
        let chunks = range.enumerate().map(|(place, index)| {
            let before = before.get(place).map(String::as_str);
            chunks::stored(file, index, &pieces[index], before)
        });
        Ok(chunks.collect())
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) struct Forget(pub(super) Weak<Inner>);

#[async_trait]
impl Work for Forget {
    fn kind(&self) -> &'static str {
        FORGET
    }

    async fn run(&self, task: &Task) -> Result<Batch, Failure> {
        let stores = stores(&self.0)?;
        let Forgotten { vector_db, job } = input(task)?;
        let cx = on_behalf_of(&task.owner);
        let backend = &stores.0.backend;
        match job {
            Some(job) => {
                let chunks = Selection::Where(chunks::of_job(&job));
                backend.delete(&cx, &vector_db, &chunks).await?;
            }
            None => backend.remove(&cx, &vector_db).await?,
        }
        Ok(Batch::default())
    }

    async fn failed(&self, task: &Task, failure: &Failure) -> Result<Batch> {
        tracing::warn!(
            target: "core",
            job = task.job.id,
            "chunks that nobody needs stay: {}",
            failure.message
        );
        Ok(Batch::default())
    }

    async fn taken(&self, _: &Task) {}
}
