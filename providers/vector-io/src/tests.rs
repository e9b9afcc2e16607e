//! What all vector stores share in tests: the promises, and which store is checked how.

mod contract;
mod databases;
mod failures;
mod fake;
mod fake_chroma;
mod fake_qdrant;
mod fake_weaviate;
mod opening;
mod pgvector;
mod subjects;
