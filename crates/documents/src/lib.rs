//! Documents: files in, text and its structure out.
//!
//! [`parse`] reads a file into a [`Document`]: one string, and blocks (headings, paragraphs, list
//! items, tables, code) that refer to exact byte ranges of it. This crate knows neither HTTP nor who
//! asks.

mod builder;
mod document;
mod encoding;
mod error;
mod format;
mod formats;
mod languages;
mod limits;
mod parse;

pub use document::{Block, BlockKind, Document, Numbering};
pub use error::{Error, ErrorKind, Result};
pub use format::{Format, Hints, detect};
pub use limits::Limits;
pub use parse::parse;
