//! Files in vector stores, and batches of them (OpenAI API, "Vector store files").

use super::{
    files::ListOrder,
    vector_stores::{Attributes, ChunkingStrategy, FileCounts, IngestStatus, StoreContent},
};
use crate::wire::Between;

crate::wire! {
    /// Why a file could not be read.
    pub enum IngestErrorCode {
        /// A fault of the server.
        ServerError = "server_error",
        /// Files of this kind are not read, or it has no text.
        UnsupportedFile = "unsupported_file",
        /// The file is damaged, encrypted, or too large.
        InvalidFile = "invalid_file",
    }

    /// Why a file could not be read.
    pub struct IngestError {
        /// The kind of failure.
        pub code: IngestErrorCode,
        /// What went wrong, for people.
        pub message: String,
    }

    /// A file in a vector store (OpenAI API, "The vector store file object").
    pub struct VectorStoreFileObject {
        /// The id of the file.
        pub id: String,
        /// `vector_store.file`.
        pub object: String = "vector_store.file".to_owned(),
        /// When it was added, in seconds since 1970.
        pub created_at: i64,
        /// The vector store.
        pub vector_store_id: String,
        /// How far it is.
        pub status: IngestStatus,
        /// Why it could not be read.
        pub last_error: Option<IngestError>,
        /// The bytes of the text that is kept.
        pub usage_bytes: i64 = 0,
        /// Up to 16 facts, which searches filter by.
        pub attributes: Option<Attributes>,
        /// How it is cut.
        pub chunking_strategy: ChunkingStrategy,
    }

    /// A page of files in a vector store.
    pub struct VectorStoreFileList {
        /// `list`.
        pub object: String = "list".to_owned(),
        /// The files.
        pub data: Vec<VectorStoreFileObject>,
        /// The id of the first one.
        pub first_id: Option<String>,
        /// The id of the last one.
        pub last_id: Option<String>,
        /// Whether more follow.
        pub has_more: bool,
    }

    /// A file to read into a vector store.
    pub struct CreateVectorStoreFileRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// The file's id.
        pub file_id: String,
        /// Up to 16 facts.
        pub attributes: Option<Attributes>,
        /// How it is cut; as the vector store says unless given.
        pub chunking_strategy: Option<ChunkingStrategy>,
    }

    /// Which file of which vector store.
    pub struct VectorStoreFileRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// The file's id.
        pub file_id: String,
    }

    /// Which files of a vector store.
    pub struct ListVectorStoreFilesRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// The most of the page.
        pub limit: Between<1, 100> = Between(20),
        /// By the time of adding.
        pub order: ListOrder = ListOrder::Descending,
        /// The id that the page follows.
        pub after: Option<String>,
        /// The id that the page comes before.
        pub before: Option<String>,
        /// Only files that are this far.
        pub filter: Option<IngestStatus>,
    }

    /// New attributes of a file in a vector store.
    pub struct UpdateVectorStoreFileRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// The file's id.
        pub file_id: String,
        /// Up to 16 facts, in place of all that it has.
        pub attributes: Option<Attributes>,
    }

    /// A file that is not in the vector store any more.
    pub struct DeletedVectorStoreFile {
        /// The file's id.
        pub id: String,
        /// `vector_store.file.deleted`.
        pub object: String = "vector_store.file.deleted".to_owned(),
        /// `true`.
        pub deleted: bool = true,
    }

    /// The text of a file in a vector store.
    pub struct VectorStoreFileContent {
        /// `vector_store.file_content.page`.
        pub object: String = "vector_store.file_content.page".to_owned(),
        /// The text in pieces, in its order; together they are the text of the file.
        pub data: Vec<StoreContent>,
        /// Whether more follow.
        pub has_more: bool = false,
        /// What to ask for the next page with.
        pub next_page: Option<String>,
    }

    /// One file of a batch.
    pub struct BatchedFile {
        /// The file's id.
        pub file_id: String,
        /// Up to 16 facts.
        pub attributes: Option<Attributes>,
        /// How it is cut.
        pub chunking_strategy: Option<ChunkingStrategy>,
    }

    /// Files to read into a vector store together.
    pub struct CreateFileBatchRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// The ids of the files, at most 2000; either these or `files`.
        pub file_ids: Option<Vec<String>>,
        /// The files, each with its own settings.
        pub files: Option<Vec<BatchedFile>>,
        /// Up to 16 facts of all of `file_ids`.
        pub attributes: Option<Attributes>,
        /// How all of `file_ids` are cut.
        pub chunking_strategy: Option<ChunkingStrategy>,
    }

    /// A batch of files (OpenAI API, "The vector store files batch object").
    pub struct FileBatchObject {
        /// Its id, `vsfb_...`.
        pub id: String,
        /// `vector_store.files_batch`.
        pub object: String = "vector_store.files_batch".to_owned(),
        /// When it was made, in seconds since 1970.
        pub created_at: i64,
        /// The vector store.
        pub vector_store_id: String,
        /// How far it is.
        pub status: IngestStatus,
        /// Its files.
        pub file_counts: FileCounts,
    }

    /// Which batch of which vector store.
    pub struct FileBatchRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// The batch's id.
        pub batch_id: String,
    }

    /// Which files of a batch.
    pub struct ListBatchFilesRequest {
        /// The vector store's id.
        pub vector_store_id: String,
        /// The batch's id.
        pub batch_id: String,
        /// The most of the page.
        pub limit: Between<1, 100> = Between(20),
        /// By the time of adding.
        pub order: ListOrder = ListOrder::Descending,
        /// The id that the page follows.
        pub after: Option<String>,
        /// The id that the page comes before.
        pub before: Option<String>,
        /// Only files that are this far.
        pub filter: Option<IngestStatus>,
    }
}
