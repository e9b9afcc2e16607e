//! An embedded search index: chunks of text with vectors and metadata, found by the nearness of
//! vectors, by words (BM25), or by both.
//!
//! The calls block; they may be made from any thread. Chunks and vectors are in one SQLite database,
//! where what was acknowledged survives the death of the process. All that makes searching fast is
//! made from it: it is held in memory, in segments that never change, and in files that are trusted
//! only with the right checksum. There is one writer at a time; readers work on a snapshot and wait
//! for nobody. The files are described in `docs/index-format.md`.
//!
//! ```
//! use chaski_index::{Chunk, Index, Query, Settings};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("animals");
//! let index = Index::create(&path, &Settings::new(2))?;
//! index.upsert(&[
//!     Chunk::new("1", "llamas carry loads", vec![0.8, 0.6]).with("legs", 4),
//!     Chunk::new("2", "condors fly", vec![0.0, 1.0]).with("legs", 2),
//! ])?;
//! let hits = index.search(&Query::hybrid(&[1.0, 0.0], "who carries my load?"))?;
//! assert_eq!(hits[0].id, "1");
//! # Ok::<(), chaski_index::Error>(())
//! ```

mod bitmap;
mod chunk;
mod error;
mod filter;
mod index;
mod search;
mod segment;
mod settings;
mod storage;
mod text;

pub use chunk::{Chunk, MAX_BATCH, MAX_ID, MAX_METADATA, MAX_TEXT};
pub use error::{Error, Result};
pub use filter::{Filter, MAX_DEPTH, MAX_SIZE};
pub use index::{Index, Stats};
pub use search::{Fusion, Hit, MAX_HITS, MAX_QUERY, Mode, Query, Rerank};
pub use settings::{
    Bm25, Language, MAX_DIMENSION, Metric, NGrams, Settings, StopWords, TextSettings,
};
