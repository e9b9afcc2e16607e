//! Documents: files in, text and its structure out, and chunks out of text.
//!
//! [`parse`] reads a file into a [`Document`]: one string, and blocks (headings, paragraphs, list
//! items, tables, code) that refer to exact byte ranges of it. [`chunk()`] cuts the string into
//! chunks of a number of tokens that the caller counts. [`isolated`] parses in processes of their own,
//! for files from strangers. This crate knows neither HTTP nor who asks.

mod builder;
pub mod chunk;
mod document;
mod encoding;
mod error;
mod format;
mod formats;
pub mod isolated;
mod languages;
mod limits;
mod parse;
#[cfg(test)]
mod tests;

pub use chunk::{Chunk, Chunking, Encoding, Estimate, TokenCounter, chunk};
pub use document::{Block, BlockKind, Document, Numbering};
pub use error::{Error, ErrorKind, Result};
pub use format::{Cells, Format, Hints, detect};
pub use limits::Limits;
pub use parse::parse;
