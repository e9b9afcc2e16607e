//! The vector stores, one folder each, and their table.

mod chromadb;
mod facts;
mod faiss;
mod filters;
mod fusion;
mod index;
mod milvus;
mod names;
mod payload;
mod pgvector;
mod qdrant;
mod remote;
mod rest;
#[cfg(test)]
mod tests;
mod weaviate;
mod words;

use chaski_provider::{Entry, VectorIoProvider};

/// All vector stores of this build.
pub const ALL: &[Entry<dyn VectorIoProvider>] = &[
    Entry::of::<index::InlineIndex>(),
    Entry::of::<faiss::Faiss>(),
    Entry::of::<chromadb::ChromaDb>(),
    Entry::of::<qdrant::Qdrant>(),
    Entry::of::<pgvector::PgVector>(),
    Entry::of::<milvus::Milvus>(),
    Entry::of::<weaviate::Weaviate>(),
];
