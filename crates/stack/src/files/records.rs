//! Files, uploads and parts as they are kept.

use super::expiry;
use chaski_api::openai::{
    FileExpiresAfter, FileObject, UploadObject, UploadPartObject, UploadStatus,
};
use chaski_store::{Cell, Column, Index, Record, Table};
use serde::{Deserialize, Serialize};

/// When something expires that does not.
pub(super) const FOR_EVER: i64 = i64::MAX;

static FILES: Table = Table {
    name: "files",
    since: 1,
    columns: &[Column::text("purpose", 1), Column::integer("expires", 1)],
    indexes: &[Index::wide(&["expires"])],
};
static UPLOADS: Table = Table {
    name: "uploads",
    since: 1,
    columns: &[Column::integer("pending_until", 1)],
    indexes: &[Index::wide(&["pending_until"])],
};
static PARTS: Table = Table {
    name: "upload_parts",
    since: 1,
    columns: &[Column::text("upload", 1), Column::integer("bytes", 1)],
    indexes: &[Index::narrow(&["upload"])],
};

/// The tables of files.
pub(crate) static TABLES: &[&Table] = &[&FILES, &UPLOADS, &PARTS];

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredFile {
    pub(crate) file: FileObject,
}

impl Record for StoredFile {
    const TABLE: &'static Table = &FILES;

    fn id(&self) -> &str {
        &self.file.id
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.file.purpose.as_str().into(), expiry(self.file.expires_at).into()]
    }
}

/// An upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredUpload {
    pub(super) upload: UploadObject,
    /// How long the file lives.
    pub(super) expires_after: Option<FileExpiresAfter>,
}

impl Record for StoredUpload {
    const TABLE: &'static Table = &UPLOADS;

    fn id(&self) -> &str {
        &self.upload.id
    }

    fn cells(&self) -> Vec<Cell> {
        let pending = self.upload.status == UploadStatus::Pending;
        vec![(if pending { self.upload.expires_at } else { FOR_EVER }).into()]
    }
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredPart {
    pub(super) part: UploadPartObject,
    pub(super) bytes: i64,
}

impl Record for StoredPart {
    const TABLE: &'static Table = &PARTS;

    fn id(&self) -> &str {
        &self.part.id
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.part.upload_id.as_str().into(), self.bytes.into()]
    }
}
