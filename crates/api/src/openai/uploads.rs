//! Files that come in parts (OpenAI API, "Uploads").

use super::files::{FileContent, FileExpiresAfter, FileObject, FilePurpose};
use crate::wire::Between;

/// The largest file that comes in parts: 8 GiB.
pub const LARGEST_UPLOAD: i64 = 8 << 30;
/// The largest part: 64 MiB.
pub const LARGEST_PART: u64 = 64 << 20;

crate::wire! {
    /// How far an upload is.
    pub enum UploadStatus {
        /// Parts can be added.
        Pending = "pending",
        /// The file is there.
        Completed = "completed",
        /// The caller gave it up.
        Cancelled = "cancelled",
        /// It was not completed in time.
        Expired = "expired",
    }

    /// A file that comes in parts (OpenAI API, "The upload object").
    pub struct UploadObject {
        /// Its id, `upload_...`.
        pub id: String,
        /// `upload`.
        pub object: String = "upload".to_owned(),
        /// The size of the whole file.
        pub bytes: i64,
        /// When it was begun, in seconds since 1970.
        pub created_at: i64,
        /// Until when it can be completed, in seconds since 1970.
        pub expires_at: i64,
        /// The name of the file.
        pub filename: String,
        /// What the file is for.
        pub purpose: FilePurpose,
        /// How far it is.
        pub status: UploadStatus,
        /// The file, once it is complete.
        pub file: Option<FileObject>,
    }

    /// A part of an upload.
    pub struct UploadPartObject {
        /// Its id, `part_...`.
        pub id: String,
        /// `upload.part`.
        pub object: String = "upload.part".to_owned(),
        /// When it came, in seconds since 1970.
        pub created_at: i64,
        /// The upload that it belongs to.
        pub upload_id: String,
    }

    /// A file that will come in parts.
    pub struct CreateUploadRequest {
        /// Its name.
        pub filename: String,
        /// What it is for.
        pub purpose: FilePurpose,
        /// Its size; the parts must add up to it.
        pub bytes: Between<1, LARGEST_UPLOAD>,
        /// Its media type.
        pub mime_type: String,
        /// How long the file lives.
        pub expires_after: Option<FileExpiresAfter>,
    }

    /// A part, as a form with parts (`multipart/form-data`).
    pub struct AddUploadPartRequest {
        /// The upload's id.
        pub upload_id: String,
        /// The bytes, at most 64 MiB.
        pub data: FileContent,
    }

    /// The end of an upload.
    pub struct CompleteUploadRequest {
        /// The upload's id.
        pub upload_id: String,
        /// The parts, in their order in the file.
        pub part_ids: Vec<String>,
        /// The MD5 of the whole file in hexadecimal digits, to compare with.
        pub md5: Option<String>,
    }

    /// Which upload.
    pub struct UploadRequest {
        /// The upload's id.
        pub upload_id: String,
    }
}
