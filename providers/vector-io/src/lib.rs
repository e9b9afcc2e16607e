//! The vector stores, one folder each, and their table.

mod chromadb;
mod filters;
mod fusion;
mod index;
mod names;
mod payload;
mod pgvector;
mod qdrant;
mod remote;
mod rest;
#[cfg(test)]
mod tests;
mod words;

use chaski_provider::{Entry, VectorIoProvider};

/// All vector stores of this build.
pub const ALL: &[Entry<dyn VectorIoProvider>] = &[
    Entry::of::<index::InlineIndex>(),
    Entry::of::<chromadb::ChromaDb>(),
    Entry::of::<qdrant::Qdrant>(),
    Entry::of::<pgvector::PgVector>(),
];
