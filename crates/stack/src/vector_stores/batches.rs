//! Batches: files that are read into a vector store together.

use super::{
    TURN, VectorStores,
    files::{NewStoreFile, distinct, forgotten},
    place,
    records::{StoredBatch, StoredStoreFile, key},
};
use crate::{
    data::{new_id, now, owner},
    files::order,
};
use chaski_api::{
    Error, Result,
    openai::{
        CreateFileBatchRequest, FileBatchObject, IngestStatus, ListBatchFilesRequest, MOST_BATCHED,
        VectorStoreFileList,
    },
};
use chaski_provider::Context;
use chaski_store::{Batch, Condition, Database, Held, Owner, RowError};
use std::collections::HashSet;

impl VectorStores {
    /// Begins to read files into a vector store together.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such vector store or one of the files is not there.
    pub async fn create_batch(
        &self,
        cx: &Context,
        request: CreateFileBatchRequest,
    ) -> Result<FileBatchObject> {
        let owner = owner(cx);
        let store = self.usable(&owner, &request.vector_store_id).await?;
        let files = wanted(request)?;
        let record = StoredBatch {
            id: new_id("vsfb_"),
            created_at: now(),
            vector_store_id: store.record.id.clone(),
            cancelled: false,
        };
        let mut batch = Batch::default().insert(&owner, &record);
        for file in files {
            (_, batch) = self.attached(&owner, &store.record, file, &record.id, batch).await?;
        }
        self.0.jobs.apply(batch).await?;
        self.touch(&store).await?;
        self.batch_object(&owner, record).await
    }

    /// How far a batch is.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such batch.
    pub async fn get_batch(&self, cx: &Context, store: &str, id: &str) -> Result<FileBatchObject> {
        let owner = owner(cx);
        let held = self.find_batch(&owner, store, id).await?;
        self.batch_object(&owner, held.record).await
    }

    async fn find_batch(&self, owner: &Owner, store: &str, id: &str) -> Result<Held<StoredBatch>> {
        self.find(owner, store).await?;
        let held = self.database().get::<StoredBatch>(owner, id).await?;
        held.filter(|held| held.record.vector_store_id == store).ok_or_else(|| {
            let message = format!("No such batch in the vector store `{store}`: {id}");
            Error::not_found(message).with_param("batch_id")
        })
    }

    async fn batch_object(&self, owner: &Owner, record: StoredBatch) -> Result<FileBatchObject> {
        let like = vec![Condition::is("batch", record.id.as_str())];
        let (file_counts, _) = self.counts(owner, like).await?;
        let status = if record.cancelled {
            IngestStatus::Cancelled
        } else if file_counts.in_progress > 0 {
            IngestStatus::InProgress
        } else if file_counts.total > 0 && file_counts.failed == file_counts.total {
            IngestStatus::Failed
        } else {
            IngestStatus::Completed
        };
        Ok(FileBatchObject {
            id: record.id,
            object: "vector_store.files_batch".to_owned(),
            created_at: record.created_at,
            vector_store_id: record.vector_store_id,
            status,
            file_counts,
        })
    }

    /// Gives up the files of a batch that are not read yet. Those that are stay, and a batch that
    /// has ended stays as it ended.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such batch.
    pub async fn cancel_batch(
        &self,
        cx: &Context,
        store: &str,
        id: &str,
    ) -> Result<FileBatchObject> {
        let owner = owner(cx);
        let of_store = self.find(&owner, store).await?.record;
        let held = self.find_batch(&owner, store, id).await?;
        let like = vec![Condition::is("batch", id)];
        if self.counts(&owner, like).await?.0.in_progress == 0 {
            // There is nothing to give up.
            return self.batch_object(&owner, held.record).await;
        }
        let record = StoredBatch { cancelled: true, ..held.record.clone() };
        if !held.record.cancelled {
            match self.database().replace(&held, &record).await {
                // Somebody else cancels it.
                Ok(()) | Err(RowError::Changed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        loop {
            let query = Database::query::<StoredStoreFile>(&owner)
                .with(Condition::is("batch", id))
                .with(Condition::is("status", IngestStatus::InProgress.as_str()))
                .limit(TURN);
            let records = self.database().list(query).await?.records;
            if records.is_empty() {
                break;
            }
            for held in records {
                let mut file = held.record.clone();
                file.object.status = IngestStatus::Cancelled;
                let mut batch = Batch::default();
                if !file.superseded {
                    batch = forgotten(batch, &owner, &of_store, &held.record);
                    batch = self.told(&owner, &file, batch).await?;
                }
                match self.0.jobs.interrupt(batch.replace(&held, &file)).await {
                    // It was completed at the last moment.
                    Ok(()) | Err(RowError::Changed { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.0.jobs.look();
        self.batch_object(&owner, record).await
    }

    /// A page of the files of a batch.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such batch.
    pub async fn list_batch_files(
        &self,
        cx: &Context,
        request: ListBatchFilesRequest,
    ) -> Result<VectorStoreFileList> {
        let owner = owner(cx);
        let store = request.vector_store_id;
        self.find_batch(&owner, &store, &request.batch_id).await?;
        let from = request.after.as_deref().or(request.before.as_deref());
        let superseded = from.map(|file| key(&request.batch_id, file));
        let is_superseded = match &superseded {
            Some(key) => self.database().get::<StoredStoreFile>(&owner, key).await?.is_some(),
            None => false,
        };
        let of = if is_superseded { &request.batch_id } else { &store };
        let query = Database::query::<StoredStoreFile>(&owner)
            .with(Condition::is("batch", request.batch_id.as_str()))
            .order(order(request.order))
            .place(place(request.after, request.before, |file| key(of, file))?)
            .limit(usize::try_from(request.limit.0).unwrap_or_default());
        self.page(query, request.filter).await
    }
}

/// The files of a new batch, each once.
fn wanted(request: CreateFileBatchRequest) -> Result<Vec<NewStoreFile>> {
    let wrong = |message: String| Error::invalid(message).with_param("file_ids");
    let files: Vec<NewStoreFile> = match (request.file_ids, request.files) {
        (Some(_), Some(files)) if !files.is_empty() => {
            return Err(wrong("give `file_ids` or `files`, not both".to_owned()));
        }
        (Some(ids), _) => distinct(&ids)
            .map(|id| NewStoreFile {
                file_id: id.clone(),
                attributes: request.attributes.clone(),
                chunking: request.chunking_strategy.clone(),
            })
            .collect(),
        (None, files) => {
            let mut seen = HashSet::new();
            let files = files.unwrap_or_default().into_iter().map(NewStoreFile::from);
            files.filter(|file| seen.insert(file.file_id.clone())).collect()
        }
    };
    match files.len() {
        0 => Err(wrong("there are no files; give their ids in `file_ids`".to_owned())),
        1..=MOST_BATCHED => Ok(files),
        count => Err(wrong(format!("there are {count} files; a batch may have {MOST_BATCHED}"))),
    }
}
