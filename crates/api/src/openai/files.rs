//! Files, and the paging that all lists of OpenAI's share (OpenAI API, "Files").

use crate::wire::{Between, Reader, Schemas, Wire};
use serde::Serialize;
use serde_json::{Value, json};

/// The content of a file: the bytes themselves, never JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileContent;

impl Wire for FileContent {
    fn read(_: Value, _: &mut Reader) -> Option<Self> {
        Some(Self)
    }
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "format": "binary" })
    }
}

crate::wire! {
    /// The order of a list, by the time of creation.
    pub enum ListOrder {
        /// The oldest first.
        Ascending = "asc",
        /// The newest first.
        Descending = "desc",
    }

    /// What a file is for.
    pub enum FilePurpose {
        /// For vector stores and assistants.
        Assistants = "assistants",
        /// Made by an assistant.
        AssistantsOutput = "assistants_output",
        /// The requests of a batch.
        Batch = "batch",
        /// The answers of a batch.
        BatchOutput = "batch_output",
        /// Examples for fine-tuning.
        FineTune = "fine-tune",
        /// What fine-tuning made.
        FineTuneResults = "fine-tune-results",
        /// Images.
        Vision = "vision",
        /// Anything that a caller wants to use.
        UserData = "user_data",
        /// Data of evaluations.
        Evals = "evals",
    }

    /// What the life of a file is counted from.
    pub enum FileAnchor {
        /// The time of its creation.
        CreatedAt = "created_at",
    }

    /// How long a file lives.
    pub struct FileExpiresAfter {
        /// What is counted from.
        pub anchor: FileAnchor,
        /// The life in seconds, from an hour to 30 days.
        pub seconds: Between<3600, 2_592_000>,
    }

    /// Whether a file can be used.
    pub enum FileStatus {
        /// It is kept as it came.
        Uploaded = "uploaded",
        /// It can be used.
        Processed = "processed",
        /// It cannot be used.
        Error = "error",
    }

    /// A file (OpenAI API, "The file object").
    pub struct FileObject {
        /// Its id, `file-...`.
        pub id: String,
        /// `file`.
        pub object: String = "file".to_owned(),
        /// Its size.
        pub bytes: i64,
        /// When it was made, in seconds since 1970.
        pub created_at: i64,
        /// When it is removed, in seconds since 1970.
        pub expires_at: Option<i64>,
        /// Its name, as the caller gave it, without folders.
        pub filename: String,
        /// What it is for.
        pub purpose: FilePurpose,
        /// Whether it can be used.
        pub status: FileStatus = FileStatus::Processed,
        /// Why it cannot be used.
        pub status_details: Option<String>,
    }

    /// A page of files.
    pub struct FileList {
        /// `list`.
        pub object: String = "list".to_owned(),
        /// The files.
        pub data: Vec<FileObject>,
        /// The id of the first one.
        pub first_id: Option<String>,
        /// The id of the last one; `after` goes on from here.
        pub last_id: Option<String>,
        /// Whether more follow.
        pub has_more: bool,
    }

    /// A file that is gone.
    pub struct DeletedFile {
        /// Its id.
        pub id: String,
        /// `file`.
        pub object: String = "file".to_owned(),
        /// `true`.
        pub deleted: bool = true,
    }

    /// A file to keep, as a form with parts (`multipart/form-data`).
    pub struct CreateFileRequest {
        /// The content, with its name.
        pub file: FileContent,
        /// What it is for: `assistants`, `batch`, `fine-tune`, `vision`, `user_data` or `evals`.
        pub purpose: FilePurpose,
        /// How long it lives, as the parts `expires_after[anchor]` and `expires_after[seconds]`;
        /// 30 days for `batch` and for ever for the others unless given.
        pub expires_after: Option<FileExpiresAfter>,
    }

    /// Which file.
    pub struct FileRequest {
        /// The file's id.
        pub file_id: String,
    }

    /// Which files.
    pub struct ListFilesRequest {
        /// The id of the file that the page follows.
        pub after: Option<String>,
        /// The most files of the page.
        pub limit: Between<1, 10_000> = Between(10_000),
        /// By the time of creation.
        pub order: ListOrder = ListOrder::Descending,
        /// Only files that are for this.
        pub purpose: Option<FilePurpose>,
    }
}

impl FilePurpose {
    /// Whether callers can give files this purpose; the others are made by the server.
    pub fn is_for_callers(self) -> bool {
        match self {
            Self::Assistants
            | Self::Batch
            | Self::FineTune
            | Self::Vision
            | Self::UserData
            | Self::Evals => true,
            Self::AssistantsOutput | Self::BatchOutput | Self::FineTuneResults => false,
        }
    }
}
