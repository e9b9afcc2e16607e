//! Files in vector stores.

use super::{
    TURN, VectorStores, chunks, forgetting, place,
    records::{StoredStore, StoredStoreFile, file_of, key},
};
use crate::{
    data::{now, owner},
    files::order,
    jobs::{Job, Jobs},
    vector_stores::ingest::{INGEST, Ingested},
};
use chaski_api::{
    Error, Result,
    openai::{
        Attributes, BatchedFile, ChunkingStrategy, CreateVectorStoreFileRequest,
        DeletedVectorStoreFile, IngestStatus, ListVectorStoreFilesRequest,
        UpdateVectorStoreFileRequest, VectorStoreFileContent, VectorStoreFileList,
        VectorStoreFileObject,
    },
};
use chaski_provider::{Context, EmbeddedChunk, StoredChunk};
use chaski_store::{Batch, Condition, Database, Held, Owner, Page, Query, RowError};
use std::collections::HashSet;

/// How many chunks are asked for at one time.
const CHUNKS_AT_ONCE: usize = 500;

/// A file to read into a vector store.
pub(super) struct NewStoreFile {
    pub(super) file_id: String,
    pub(super) attributes: Option<Attributes>,
    pub(super) chunking: Option<ChunkingStrategy>,
}

impl NewStoreFile {
    /// Without settings of its own.
    pub(super) fn plain(file_id: &str) -> Self {
        Self { file_id: file_id.to_owned(), attributes: None, chunking: None }
    }
}

impl From<BatchedFile> for NewStoreFile {
    fn from(file: BatchedFile) -> Self {
        let BatchedFile { file_id, attributes, chunking_strategy: chunking } = file;
        Self { file_id, attributes, chunking }
    }
}

/// The ids, each once and in their order.
pub(super) fn distinct(ids: &[String]) -> impl Iterator<Item = &String> {
    let mut seen = HashSet::new();
    ids.iter().filter(move |id| seen.insert(id.as_str()))
}

/// The changes that take away what the job of a file does and has done.
pub(super) fn forgotten(
    batch: Batch,
    owner: &Owner,
    store: &StoredStore,
    file: &StoredStoreFile,
) -> Batch {
    let forget = forgetting(&store.vector_db, Some(&file.job_id));
    batch
        .clear::<Job>(owner, vec![Condition::is("id", file.job_id.as_str())])
        .insert(owner, &forget)
}

impl VectorStores {
    /// Begins to read a file into a vector store. One that is there already stays as it is.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such vector store or no such file.
    pub async fn add_file(
        &self,
        cx: &Context,
        request: CreateVectorStoreFileRequest,
    ) -> Result<VectorStoreFileObject> {
        let owner = owner(cx);
        let store = self.usable(&owner, &request.vector_store_id).await?;
        let new = NewStoreFile {
            file_id: request.file_id,
            attributes: request.attributes,
            chunking: request.chunking_strategy,
        };
        let (file, batch) = self.attached(&owner, &store.record, new, "", Batch::default()).await?;
        self.0.jobs.apply(batch).await?;
        self.touch(&store).await?;
        Ok(file.object)
    }

    /// The changes that begin to read a file, on top of `batch`.
    pub(super) async fn attached(
        &self,
        owner: &Owner,
        store: &StoredStore,
        new: NewStoreFile,
        batch_id: &str,
        batch: Batch,
    ) -> Result<(StoredStoreFile, Batch)> {
        let NewStoreFile { file_id, attributes, chunking } = new;
        let chunking = chunking.unwrap_or_else(|| store.chunking.clone());
        chunks::check(&chunking)?;
        let file = self.0.files.find(owner, &file_id).await;
        let file = file.map_err(|error| error.with_param("file_id"))?.record.file;
        let key = key(&store.id, &file_id);
        let known = self.database().get::<StoredStoreFile>(owner, &key).await?;
        if let Some(known) = &known
            && matches!(known.record.status(), IngestStatus::InProgress | IngestStatus::Completed)
            && batch_id.is_empty()
        {
            return Ok((known.record.clone(), batch));
        }
        let job = Jobs::prepare(INGEST, &store.id, &Ingested::new(store, &file_id));
        let object = VectorStoreFileObject {
            id: file_id,
            object: "vector_store.file".to_owned(),
            created_at: now(),
            vector_store_id: store.id.clone(),
            status: IngestStatus::InProgress,
            last_error: None,
            usage_bytes: 0,
            attributes,
            chunking_strategy: chunks::shown(&chunking),
        };
        let row = StoredStoreFile {
            key,
            object,
            filename: file.filename,
            chunking,
            batch_id: batch_id.to_owned(),
            job_id: job.id.clone(),
            superseded: false,
        };
        let batch = match known {
            Some(known) => {
                let mut batch = forgotten(batch, owner, store, &known.record);
                if let Some(superseded) = known.record.superseded() {
                    batch = batch.insert(owner, &superseded);
                }
                batch.replace(&known, &row)
            }
            None => batch.insert(owner, &row),
        };
        Ok((row, batch.insert(owner, &job)))
    }

    /// The changes, on top of `batch`, that tell earlier batches how reading the file of this row
    /// ended: those that it was taken from while it was being read.
    pub(super) async fn told(
        &self,
        owner: &Owner,
        ended: &StoredStoreFile,
        mut batch: Batch,
    ) -> Result<Batch> {
        let mut seen = 0;
        loop {
            let waiting = Database::query::<StoredStoreFile>(owner)
                .with(Condition::is("file", ended.key.as_str()))
                .with(Condition::is("status", IngestStatus::InProgress.as_str()))
                .offset(seen)
                .limit(TURN);
            let Page { records, has_more } = self.database().list(waiting).await?;
            for held in &records {
                let mut row = held.record.clone();
                row.object.status = ended.object.status;
                row.object.usage_bytes = ended.object.usage_bytes;
                row.object.last_error.clone_from(&ended.object.last_error);
                batch = batch.replace(held, &row);
            }
            if !has_more {
                return Ok(batch);
            }
            seen += records.len();
        }
    }

    /// A page of the files of a vector store.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such vector store.
    pub async fn list_files(
        &self,
        cx: &Context,
        request: ListVectorStoreFilesRequest,
    ) -> Result<VectorStoreFileList> {
        let owner = owner(cx);
        let id = request.vector_store_id;
        self.find(&owner, &id).await?;
        let query = Database::query::<StoredStoreFile>(&owner)
            .with(Condition::is("store", id.as_str()))
            .order(order(request.order))
            .place(place(request.after, request.before, |file| key(&id, file))?)
            .limit(usize::try_from(request.limit.0).unwrap_or_default());
        self.page(query, request.filter).await
    }

    pub(super) async fn page(
        &self,
        mut query: Query<StoredStoreFile>,
        filter: Option<IngestStatus>,
    ) -> Result<VectorStoreFileList> {
        if let Some(status) = filter {
            query = query.with(Condition::is("status", status.as_str()));
        }
        let listed = self.database().list(query).await;
        let Page { records, has_more } = listed.map_err(|error| match error {
            RowError::NoPlace { id } => RowError::NoPlace { id: file_of(&id).to_owned() },
            other @ (RowError::Store(_) | RowError::Exists { .. } | RowError::Changed { .. }) => {
                other
            }
        })?;
        let data: Vec<VectorStoreFileObject> =
            records.into_iter().map(|held| held.record.object).collect();
        Ok(VectorStoreFileList {
            object: "list".to_owned(),
            first_id: data.first().map(|file| file.id.clone()),
            last_id: data.last().map(|file| file.id.clone()),
            data,
            has_more,
        })
    }

    /// How far a file of a vector store is.
    ///
    /// # Errors
    /// `NotFound` if it is not there.
    pub async fn get_file(
        &self,
        cx: &Context,
        store: &str,
        file: &str,
    ) -> Result<VectorStoreFileObject> {
        Ok(self.find_file(&owner(cx), store, file).await?.record.object)
    }

    async fn find_file(
        &self,
        owner: &Owner,
        store: &str,
        file: &str,
    ) -> Result<Held<StoredStoreFile>> {
        self.find(owner, store).await?;
        let held = self.database().get::<StoredStoreFile>(owner, &key(store, file)).await?;
        held.ok_or_else(|| {
            let message = format!("No such File object in the vector store `{store}`: {file}");
            Error::not_found(message).with_param("file_id")
        })
    }

    /// Puts attributes in the place of those that a file of a vector store has.
    ///
    /// # Errors
    /// `NotFound` if it is not there; `Conflict` if it is changed at the same time.
    pub async fn update_file(
        &self,
        cx: &Context,
        request: UpdateVectorStoreFileRequest,
    ) -> Result<VectorStoreFileObject> {
        let owner = owner(cx);
        let store = self.usable(&owner, &request.vector_store_id).await?;
        let held = self.find_file(&owner, &request.vector_store_id, &request.file_id).await?;
        let mut file = held.record.clone();
        file.object.attributes = request.attributes;
        if file.status() == IngestStatus::InProgress {
            // What was inserted so far has the old ones: it is read anew.
            let ingested = Ingested::new(&store.record, &request.file_id);
            let job = Jobs::prepare(INGEST, &store.record.id, &ingested);
            file.job_id.clone_from(&job.id);
            let batch = forgotten(Batch::default(), &owner, &store.record, &held.record);
            self.0.jobs.interrupt(batch.replace(&held, &file).insert(&owner, &job)).await?;
            self.0.jobs.look();
            return Ok(file.object);
        }
        let db = &store.record.vector_db;
        let mut after = None;
        loop {
            let filter = chunks::of_job(&file.job_id);
            let page =
                self.0.backend.list(cx, db, &filter, after.as_deref(), CHUNKS_AT_ONCE).await?;
            let changed: Vec<EmbeddedChunk> = page
                .chunks
                .into_iter()
                .map(|mut chunk| {
                    let attributes = file.object.attributes.as_ref();
                    chunks::set_attributes(&mut chunk.chunk.metadata, attributes);
                    chunk
                })
                .collect();
            if !changed.is_empty() {
                self.0.backend.put(cx, db, changed).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if let Err(error) = self.database().replace(&held, &file).await {
            // The chunks that were removed meanwhile may be there again.
            let known = self.database().get::<StoredStoreFile>(&owner, &file.key).await?;
            if known.is_none_or(|known| known.record.job_id != file.job_id) {
                let forget = forgetting(db, Some(&file.job_id));
                self.0.jobs.apply(Batch::default().insert(&owner, &forget)).await?;
            }
            return Err(error.into());
        }
        self.touch(&store).await?;
        Ok(file.object)
    }

    /// Takes a file out of a vector store.
    ///
    /// # Errors
    /// `NotFound` if it is not there.
    pub async fn remove_file(
        &self,
        cx: &Context,
        store: &str,
        file: &str,
    ) -> Result<DeletedVectorStoreFile> {
        let owner = owner(cx);
        let held = self.find_file(&owner, store, file).await?;
        self.detach(&owner, &held).await?;
        Ok(DeletedVectorStoreFile {
            id: file.to_owned(),
            object: "vector_store.file.deleted".to_owned(),
            deleted: true,
        })
    }

    pub(super) async fn detach(&self, owner: &Owner, held: &Held<StoredStoreFile>) -> Result<()> {
        let store = &held.record.object.vector_store_id;
        let superseded = vec![Condition::is("file", held.record.key.as_str())];
        let mut batch = Batch::default().remove(held).clear::<StoredStoreFile>(owner, superseded);
        // A vector store that is being removed takes its chunks along.
        if let Some(store) = self.database().get::<StoredStore>(owner, store).await? {
            batch = forgotten(batch, owner, &store.record, &held.record);
        }
        self.0.jobs.interrupt(batch).await?;
        self.0.jobs.look();
        Ok(())
    }

    /// The text of a file of a vector store.
    ///
    /// # Errors
    /// `NotFound` if it is not there, `InvalidRequest` if it is not read yet.
    pub async fn file_content(
        &self,
        cx: &Context,
        store: &str,
        file: &str,
    ) -> Result<VectorStoreFileContent> {
        let owner = owner(cx);
        let held = self.find_file(&owner, store, file).await?;
        if held.record.status() != IngestStatus::Completed {
            let message =
                format!("the file `{file}` is `{}`, not `completed`", held.record.status());
            return Err(Error::invalid(message).with_param("file_id"));
        }
        let db = self.usable(&owner, store).await?.record.vector_db;
        let filter = chunks::of_job(&held.record.job_id);
        let mut found: Vec<StoredChunk> = Vec::new();
        let mut after = None;
        loop {
            let page =
                self.0.backend.list(cx, &db, &filter, after.as_deref(), CHUNKS_AT_ONCE).await?;
            found.extend(page.chunks.into_iter().map(|chunk| chunk.chunk));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(VectorStoreFileContent {
            object: "vector_store.file_content.page".to_owned(),
            data: chunks::joined(found),
            has_more: false,
            next_page: None,
        })
    }
}
