//! Files and uploads of callers.

mod disk;
mod name;
mod records;
#[cfg(test)]
mod tests;
mod uploads;

pub(crate) use disk::Disk;
pub use disk::Incoming;
pub(crate) use records::{StoredFile, TABLES};

use crate::{
    Data,
    config::FilesConfig,
    data::{new_id, now, owner},
};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    openai::{
        DeletedFile, FileExpiresAfter, FileList, FileObject, FilePurpose, FileStatus,
        ListFilesRequest, ListOrder,
    },
};
use chaski_provider::Context;
use chaski_store::{Batch, Condition, Database, Held, Order, Owner, Page, Place, Query, Scope};
use records::{FOR_EVER, StoredPart, StoredUpload};
use std::sync::{Arc, OnceLock};
use tokio::fs::File;

/// How long a file with the requests of a batch lives: 30 days.
const LIFE_OF_BATCHES: i64 = 30 * 24 * 3600;
/// How many records are looked at in one turn.
const TURN: usize = 200;

/// A file to keep.
#[derive(Debug, Clone)]
pub struct NewFile {
    pub filename: String,
    pub purpose: FilePurpose,
    pub expires_after: Option<FileExpiresAfter>,
}

/// The content of a file, opened.
#[derive(Debug)]
pub struct Content {
    pub file: File,
    pub bytes: u64,
    pub filename: String,
}

/// The files and uploads of all callers; clones are the same.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    data: Data,
    config: FilesConfig,
    /// What uses files.
    linked: OnceLock<Arc<dyn Linked>>,
}

/// What uses files, and lets go of them before they are removed.
#[async_trait]
pub(crate) trait Linked: Send + Sync {
    async fn release(&self, owner: &Owner, file: &str) -> Result<()>;
}

impl Files {
    pub(crate) fn new(data: Data, config: FilesConfig) -> Self {
        Self(Arc::new(Inner { data, config, linked: OnceLock::new() }))
    }

    /// Names what is to let go of files before they are removed.
    pub(crate) fn link(&self, linked: Arc<dyn Linked>) {
        // There is one stack, which does this once.
        drop(self.0.linked.set(linked));
    }

    async fn remove(&self, held: &Held<StoredFile>) -> Result<()> {
        let id = &held.record.file.id;
        if let Some(linked) = self.0.linked.get() {
            linked.release(held.owner(), id).await?;
        }
        self.database().apply(Batch::default().remove(held)).await?;
        self.disk().remove(id).await;
        Ok(())
    }

    fn database(&self) -> &Database {
        &self.0.data.database
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.0.data.disk
    }

    /// The most bytes that a file which comes in one piece may have.
    pub fn largest(&self) -> u64 {
        u64::try_from(self.0.config.max_bytes.0).unwrap_or_default()
    }

    /// A file to write into, for [`Files::create`].
    ///
    /// # Errors
    /// The disk does not take it.
    pub async fn incoming(&self) -> Result<Incoming> {
        self.disk().incoming(self.largest()).await
    }

    /// Keeps a file. When this has returned, the file survives the death of the process.
    ///
    /// # Errors
    /// `InvalidRequest` for a purpose that is not for callers; the disk or the store may fail.
    pub async fn create(
        &self,
        cx: &Context,
        incoming: Incoming,
        new: NewFile,
    ) -> Result<FileObject> {
        for_callers(new.purpose)?;
        let owner = owner(cx);
        let (stored, batch) = self.keep(&owner, incoming, &new).await?;
        self.finish(&stored.file.id, batch).await?;
        Ok(stored.file)
    }

    /// Puts the bytes in their place, and says which change makes them a file.
    async fn keep(
        &self,
        owner: &Owner,
        incoming: Incoming,
        new: &NewFile,
    ) -> Result<(StoredFile, Batch)> {
        let created_at = now();
        let life = new.expires_after.as_ref().map(|after| after.seconds.0);
        let life = life.or((new.purpose == FilePurpose::Batch).then_some(LIFE_OF_BATCHES));
        let file = FileObject {
            id: new_id("file-"),
            object: "file".to_owned(),
            bytes: i64::try_from(incoming.bytes()).unwrap_or(i64::MAX),
            created_at,
            expires_at: life.map(|seconds| created_at + seconds),
            filename: name::clean(&new.filename),
            purpose: new.purpose,
            status: FileStatus::Processed,
            status_details: None,
        };
        incoming.keep(self.disk(), &file.id).await?;
        let stored = StoredFile { file };
        let batch = Batch::default().insert(owner, &stored);
        Ok((stored, batch))
    }

    /// Makes a change that the bytes of `id` belong to.
    async fn finish(&self, id: &str, batch: Batch) -> Result<()> {
        if let Err(error) = self.database().apply(batch).await {
            self.disk().remove(id).await;
            return Err(error.into());
        }
        Ok(())
    }

    /// A page of the caller's files.
    ///
    /// # Errors
    /// `InvalidRequest` if `after` is not one of them.
    pub async fn list(&self, cx: &Context, request: ListFilesRequest) -> Result<FileList> {
        let owner = owner(cx);
        let mut query = Database::query::<StoredFile>(&owner)
            .with(Condition::more_than("expires", now()))
            .order(order(request.order))
            .place(request.after.map_or(Place::Start, Place::After))
            .limit(usize::try_from(request.limit.0).unwrap_or_default());
        if let Some(purpose) = request.purpose {
            query = query.with(Condition::is("purpose", purpose.as_str()));
        }
        let Page { records, has_more } = self.database().list(query).await?;
        let data: Vec<FileObject> = records.into_iter().map(|held| held.record.file).collect();
        Ok(FileList {
            object: "list".to_owned(),
            first_id: data.first().map(|file| file.id.clone()),
            last_id: data.last().map(|file| file.id.clone()),
            data,
            has_more,
        })
    }

    /// The caller's file called `id`.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn get(&self, cx: &Context, id: &str) -> Result<FileObject> {
        Ok(self.find(&owner(cx), id).await?.record.file)
    }

    pub(crate) async fn find(&self, owner: &Owner, id: &str) -> Result<Held<StoredFile>> {
        let held = self.database().get::<StoredFile>(owner, id).await?;
        held.filter(|held| held.record.file.expires_at.is_none_or(|at| at > now()))
            .ok_or_else(|| Error::not_found(format!("No such File object: {id}")).with_param("id"))
    }

    /// Opens the content of the caller's file called `id`.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn content(&self, cx: &Context, id: &str) -> Result<Content> {
        let held = self.find(&owner(cx), id).await?;
        let FileObject { id, filename, .. } = held.record.file;
        let (file, bytes) = self.disk().open(&id).await?;
        Ok(Content { file, bytes, filename })
    }

    /// Removes the caller's file called `id`.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn delete(&self, cx: &Context, id: &str) -> Result<DeletedFile> {
        let held = self.find(&owner(cx), id).await?;
        self.remove(&held).await?;
        Ok(DeletedFile { id: held.record.file.id, object: "file".to_owned(), deleted: true })
    }

    /// Removes what has expired at `time`.
    pub(crate) async fn sweep(&self, time: i64) -> Result<()> {
        loop {
            let expired = Database::query::<StoredFile>(Scope::Upkeep)
                .with(Condition::at_most("expires", time))
                .limit(TURN);
            let Page { records, has_more } = self.database().list(expired).await?;
            for held in records {
                self.remove(&held).await?;
            }
            if !has_more {
                break;
            }
        }
        self.expire_uploads(time).await
    }

    /// Removes bytes without a record: their process died between the two.
    pub(crate) async fn remove_strays(&self) {
        let kept = self.disk().tidy().await;
        for ids in kept.chunks(TURN) {
            let known = async {
                let ids = || Condition::one_of("id", ids.iter().map(String::as_str));
                let files: Query<StoredFile> =
                    Database::query(Scope::Upkeep).with(ids()).limit(TURN);
                let parts: Query<StoredPart> =
                    Database::query(Scope::Upkeep).with(ids()).limit(TURN);
                let files = self.database().list(files).await?.records.into_iter();
                let parts = self.database().list(parts).await?.records.into_iter();
                let files = files.map(|held| held.record.file.id);
                let known: Vec<String> =
                    files.chain(parts.map(|held| held.record.part.id)).collect();
                Ok::<_, Error>(known)
            };
            // What is not known for sure stays.
            let Ok(known) = known.await else { return };
            for stray in ids.iter().filter(|id| !known.contains(id)) {
                self.disk().remove(stray).await;
            }
        }
    }
}

fn for_callers(purpose: FilePurpose) -> Result<()> {
    if purpose.is_for_callers() {
        return Ok(());
    }
    let all = FilePurpose::ALL.iter().filter(|purpose| purpose.is_for_callers());
    let all: Vec<String> = all.map(|purpose| format!("`{purpose}`")).collect();
    let message = format!("files for `{purpose}` are made by the server; use {}", all.join(", "));
    Err(Error::invalid(message).with_param("purpose"))
}

pub(crate) fn order(order: ListOrder) -> Order {
    match order {
        ListOrder::Ascending => Order::OldestFirst,
        ListOrder::Descending => Order::NewestFirst,
    }
}

/// When something expires, as a number to compare with.
fn expiry(at: Option<i64>) -> i64 {
    at.unwrap_or(FOR_EVER)
}
