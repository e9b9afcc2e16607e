//! Files that come in parts.

use super::{Files, Incoming, NewFile, StoredPart, StoredUpload, TURN, for_callers, name};
use crate::data::{new_id, now, owner};
use chaski_api::{
    Error, ErrorKind, Result,
    openai::{
        CompleteUploadRequest, CreateUploadRequest, LARGEST_PART, UploadObject, UploadPartObject,
        UploadStatus,
    },
};
use chaski_provider::Context;
use chaski_store::{Batch, Condition, Database, Held, Order, Owner, Page, RowError, Scope};
use std::collections::HashMap;

/// How long an upload may take: an hour.
const PATIENCE: i64 = 3600;
/// The most parts of an upload: 8 GiB in parts of 4 MiB.
const MOST_PARTS: usize = 2048;

impl Files {
    /// Begins a file that comes in parts.
    ///
    /// # Errors
    /// `InvalidRequest` for a purpose that is not for callers.
    pub async fn create_upload(
        &self,
        cx: &Context,
        request: CreateUploadRequest,
    ) -> Result<UploadObject> {
        for_callers(request.purpose)?;
        let created_at = now();
        let upload = UploadObject {
            id: new_id("upload_"),
            object: "upload".to_owned(),
            bytes: request.bytes.0,
            created_at,
            expires_at: created_at + PATIENCE,
            filename: name::clean(&request.filename),
            purpose: request.purpose,
            status: UploadStatus::Pending,
            file: None,
        };
        let stored = StoredUpload { upload, expires_after: request.expires_after };
        self.database().insert(&owner(cx), &stored).await?;
        Ok(stored.upload)
    }

    /// A file to write a part into, for [`Files::add_part`].
    ///
    /// # Errors
    /// `NotFound` if the caller has no such upload, `InvalidRequest` if it takes no parts any more.
    pub async fn incoming_part(&self, cx: &Context, upload: &str) -> Result<Incoming> {
        self.pending(&owner(cx), upload).await?;
        self.disk().incoming(LARGEST_PART).await
    }

    /// Adds a part to an upload.
    ///
    /// # Errors
    /// As [`Files::incoming_part`]; `TooLarge` if the parts have much more than the file.
    pub async fn add_part(
        &self,
        cx: &Context,
        upload: &str,
        incoming: Incoming,
    ) -> Result<UploadPartObject> {
        let owner = owner(cx);
        let held = self.pending(&owner, upload).await?;
        let bytes = i64::try_from(incoming.bytes()).unwrap_or(i64::MAX);
        if bytes == 0 {
            return Err(Error::invalid("the part `data` is empty").with_param("data"));
        }
        let like = vec![Condition::is("upload", upload)];
        let tallied = self.database().tally::<StoredPart>(&owner, like, "upload", "bytes").await?;
        let (parts, sum) = tallied.first().map_or((0, 0), |found| (found.rows, found.sum));
        // Parts may be sent twice, but not without end.
        let whole = held.record.upload.bytes;
        if sum.saturating_add(bytes) > whole.saturating_mul(2) {
            let message = format!("the parts have more than twice the {whole} bytes of the upload");
            return Err(Error::new(ErrorKind::TooLarge, message).with_param("data"));
        }
        if usize::try_from(parts).is_ok_and(|parts| parts >= MOST_PARTS) {
            let message = format!("the upload has {MOST_PARTS} parts already; send larger ones");
            return Err(Error::invalid(message).with_param("data"));
        }
        let part = UploadPartObject {
            id: new_id("part_"),
            object: "upload.part".to_owned(),
            created_at: now(),
            upload_id: upload.to_owned(),
        };
        incoming.keep(self.disk(), &part.id).await?;
        let stored = StoredPart { part, bytes };
        if let Err(error) = self.record_part(held, &stored).await {
            self.disk().remove(&stored.part.id).await;
            return Err(error);
        }
        Ok(stored.part)
    }

    /// Adds a part to its upload, which must still be pending then.
    async fn record_part(&self, mut held: Held<StoredUpload>, part: &StoredPart) -> Result<()> {
        let owner = held.owner().clone();
        loop {
            let batch = Batch::default().replace(&held, &held.record).insert(&owner, part);
            match self.database().apply(batch).await {
                Ok(()) => return Ok(()),
                // Another part came at the same time.
                Err(RowError::Changed { .. }) => {
                    held = self.pending(&owner, &held.record.upload.id).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes a file of the parts.
    ///
    /// # Errors
    /// `InvalidRequest` if the parts do not add up to the file, or its MD5 is another.
    pub async fn complete_upload(
        &self,
        cx: &Context,
        request: CompleteUploadRequest,
    ) -> Result<UploadObject> {
        let owner = owner(cx);
        let held = self.pending(&owner, &request.upload_id).await?;
        let bytes = self.check_parts(&owner, &held.record.upload, &request.part_ids).await?;
        let limit = u64::try_from(bytes).unwrap_or_default();
        let mut incoming = self.disk().incoming(limit).await?;
        let paths = request.part_ids.iter().map(|id| self.disk().path(id)).collect();
        let found = incoming.append(paths).await?;
        if let Some(expected) = &request.md5
            && !expected.trim().eq_ignore_ascii_case(&found)
        {
            let message = format!("the MD5 of the file is `{found}`, not `{expected}`");
            return Err(Error::invalid(message).with_param("md5"));
        }
        let StoredUpload { upload, expires_after } = held.record.clone();
        let new = NewFile {
            filename: upload.filename.clone(),
            purpose: upload.purpose,
            expires_after: expires_after.clone(),
        };
        let (stored, batch) = self.keep(&owner, incoming, &new).await?;
        let upload = UploadObject {
            status: UploadStatus::Completed,
            file: Some(stored.file.clone()),
            ..upload
        };
        let done = StoredUpload { upload, expires_after };
        let batch = batch.replace(&held, &done);
        self.finish(&stored.file.id, batch).await?;
        self.remove_parts(&owner, &done.upload.id).await?;
        Ok(done.upload)
    }

    /// The size of the parts together, if they are those of the upload and make up the file.
    async fn check_parts(
        &self,
        owner: &Owner,
        upload: &UploadObject,
        ids: &[String],
    ) -> Result<i64> {
        let wrong = |message: String| Error::invalid(message).with_param("part_ids");
        if ids.is_empty() {
            return Err(wrong(
                "`part_ids` is empty; give the ids of the parts in their order".to_owned(),
            ));
        }
        let query = Database::query::<StoredPart>(owner)
            .with(Condition::is("upload", upload.id.as_str()))
            .limit(MOST_PARTS);
        let mut sizes: HashMap<String, i64> = self
            .database()
            .list(query)
            .await?
            .records
            .into_iter()
            .map(|held| (held.record.part.id, held.record.bytes))
            .collect();
        let mut sum = 0;
        for id in ids {
            // Taken out, so that none counts twice.
            sum += sizes.remove(id).ok_or_else(|| {
                wrong(format!("`{id}` is not a part of `{}`, or given twice", upload.id))
            })?;
        }
        if sum != upload.bytes {
            return Err(wrong(format!(
                "the parts have {sum} bytes together, and the upload was begun for {}",
                upload.bytes
            )));
        }
        Ok(sum)
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such upload, `InvalidRequest` if it has ended.
    pub async fn cancel_upload(&self, cx: &Context, id: &str) -> Result<UploadObject> {
        let owner = owner(cx);
        let held = self.pending(&owner, id).await?;
        self.end_upload(&held, UploadStatus::Cancelled).await
    }

    async fn end_upload(
        &self,
        held: &Held<StoredUpload>,
        status: UploadStatus,
    ) -> Result<UploadObject> {
        let mut ended = held.record.clone();
        ended.upload.status = status;
        self.database().replace(held, &ended).await?;
        self.remove_parts(held.owner(), &ended.upload.id).await?;
        Ok(ended.upload)
    }

    async fn remove_parts(&self, owner: &Owner, upload: &str) -> Result<()> {
        let like = Condition::is("upload", upload);
        let query = Database::query::<StoredPart>(owner).with(like.clone()).limit(MOST_PARTS);
        let parts = self.database().list(query).await?.records;
        self.database().apply(Batch::default().clear::<StoredPart>(owner, vec![like])).await?;
        for held in parts {
            self.disk().remove(&held.record.part.id).await;
        }
        Ok(())
    }

    /// The caller's upload called `id`, if it still takes parts.
    async fn pending(&self, owner: &Owner, id: &str) -> Result<Held<StoredUpload>> {
        let held = self.database().get::<StoredUpload>(owner, id).await?.ok_or_else(|| {
            Error::not_found(format!("No such Upload object: {id}")).with_param("upload_id")
        })?;
        let upload = &held.record.upload;
        let late = upload.expires_at <= now();
        let state = match upload.status {
            UploadStatus::Pending if late => "expired",
            UploadStatus::Pending => return Ok(held),
            UploadStatus::Completed => "completed",
            UploadStatus::Cancelled => "cancelled",
            UploadStatus::Expired => "expired",
        };
        let message = format!("the upload `{id}` is {state}; begin a new one");
        Err(Error::invalid(message).with_param("upload_id"))
    }

    /// Ends the uploads that were not completed until `time`.
    pub(super) async fn expire_uploads(&self, time: i64) -> Result<()> {
        loop {
            let late = Database::query::<StoredUpload>(Scope::Upkeep)
                .with(Condition::at_most("pending_until", time))
                .order(Order::OldestFirst)
                .limit(TURN);
            let Page { records, has_more } = self.database().list(late).await?;
            for held in records {
                match self.end_upload(&held, UploadStatus::Expired).await {
                    Ok(_) => {}
                    // Completed at the last moment.
                    Err(error) if error.kind == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            if !has_more {
                return Ok(());
            }
        }
    }
}
