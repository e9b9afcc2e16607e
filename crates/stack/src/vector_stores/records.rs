//! Vector stores, their files and batches as they are kept.

use chaski_api::{
    openai::{
        Attributes, ChunkingStrategy, IngestStatus, StoreExpiresAfter, VectorStoreFileObject,
    },
    retrieval::VectorDb,
};
use chaski_store::{Cell, Column, Index, Record, Table};

static STORES: Table = Table {
    name: "vector_stores",
    since: 3,
    columns: &[Column::integer("expires", 3)],
    indexes: &[Index::wide(&["expires"])],
};
static FILES: Table = Table {
    name: "vector_store_files",
    since: 3,
    columns: &[
        Column::text("store", 3),
        Column::text("file", 3),
        Column::text("batch", 3),
        Column::text("status", 3),
        Column::integer("usage_bytes", 3),
    ],
    indexes: &[
        Index::narrow(&["store", "status"]),
        Index::narrow(&["file"]),
        Index::narrow(&["batch"]),
    ],
};
static BATCHES: Table = Table {
    name: "vector_store_batches",
    since: 3,
    columns: &[Column::text("store", 3)],
    indexes: &[Index::narrow(&["store"])],
};

/// The tables of vector stores.
pub(crate) static TABLES: &[&Table] = &[&STORES, &FILES, &BATCHES];

chaski_api::wire! {
    /// A vector store.
    pub(crate) struct StoredStore {
        pub(crate) id: String,
        pub(crate) created_at: i64,
        pub(crate) name: String,
        pub(crate) description: Option<String>,
        pub(crate) metadata: Option<Attributes>,
        pub(crate) expires_after: Option<StoreExpiresAfter>,
        pub(crate) last_active_at: i64,
        /// Where the chunks are. No registry has it: it is reached by way of the vector store only,
        /// which knows whose it is.
        pub(crate) vector_db: VectorDb,
        /// How files are cut that do not say.
        pub(crate) chunking: ChunkingStrategy,
        /// Whether its chunks were removed because it expired.
        pub(crate) emptied: bool = false,
    }

    /// A file in a vector store.
    pub(crate) struct StoredStoreFile {
        /// The ids of both.
        pub(crate) key: String,
        pub(crate) object: VectorStoreFileObject,
        pub(crate) filename: String,
        /// How it is cut.
        pub(crate) chunking: ChunkingStrategy,
        /// The batch that it came with; empty if it came alone.
        pub(crate) batch_id: String,
        /// The job that reads it. Its chunks carry this id, so that those of an earlier job are told
        /// apart from them.
        pub(crate) job_id: String,
        /// Whether the file was read anew since, with another batch or alone. The row then only says
        /// how far it came for its batch, and the file in the vector store is another row.
        pub(crate) superseded: bool = false,
    }

    /// A batch of files.
    pub(crate) struct StoredBatch {
        pub(crate) id: String,
        pub(crate) created_at: i64,
        pub(crate) vector_store_id: String,
        pub(crate) cancelled: bool,
    }
}

/// The key of a file in a vector store.
pub(super) fn key(store: &str, file: &str) -> String {
    format!("{store}/{file}")
}

/// What stands in the column `store` for the rows that were superseded.
pub(super) fn superseded_in(store: &str) -> String {
    format!("{store}/")
}

/// The file that a key is of.
pub(super) fn file_of(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, file)| file)
}

impl StoredStore {
    /// When it expires, in seconds since 1970.
    pub(super) fn expires_at(&self) -> Option<i64> {
        let days = self.expires_after.as_ref()?.days.0;
        Some(self.last_active_at + days * 24 * 3600)
    }
}

impl Record for StoredStore {
    const TABLE: &'static Table = &STORES;

    fn id(&self) -> &str {
        &self.id
    }

    fn cells(&self) -> Vec<Cell> {
        let expires = self.expires_at().filter(|_| !self.emptied);
        vec![expires.unwrap_or(i64::MAX).into()]
    }
}

impl StoredStoreFile {
    pub(super) fn status(&self) -> IngestStatus {
        self.object.status
    }

    /// The row that goes on to say how far the file came for its batch, if it came with one, when
    /// another one takes its place.
    pub(super) fn superseded(&self) -> Option<Self> {
        (!self.batch_id.is_empty()).then(|| Self {
            key: key(&self.batch_id, &self.object.id),
            superseded: true,
            ..self.clone()
        })
    }
}

impl Record for StoredStoreFile {
    const TABLE: &'static Table = &FILES;

    fn id(&self) -> &str {
        &self.key
    }

    fn cells(&self) -> Vec<Cell> {
        let (store, file) = (self.object.vector_store_id.as_str(), self.object.id.as_str());
        // What is asked about vector stores and files is not about superseded rows, which are found by
        // the key of the row in their place.
        let (store, file): (Cell, Cell) = if self.superseded {
            (superseded_in(store).as_str().into(), key(store, file).as_str().into())
        } else {
            (store.into(), file.into())
        };
        vec![
            store,
            file,
            self.batch_id.as_str().into(),
            self.object.status.as_str().into(),
            self.object.usage_bytes.into(),
        ]
    }
}

impl Record for StoredBatch {
    const TABLE: &'static Table = &BATCHES;

    fn id(&self) -> &str {
        &self.id
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.vector_store_id.as_str().into()]
    }
}
