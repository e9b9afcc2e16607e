//! How much one file may cost.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// What a file may cost before reading it ends in an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the file.
    pub input_bytes: u64,
    /// Bytes of the text that comes out.
    pub text_bytes: usize,
    /// Headings, paragraphs, list items, tables and pieces of code.
    pub blocks: usize,
    /// Time for reading. Parsers look at the clock as they go; `isolated` ends the process.
    pub time: Duration,
    /// Memory of the process that reads the file. Only `isolated` can hold it.
    pub memory_bytes: u64,
    /// Members of a zip archive: DOCX, PPTX, XLSX and EPUB are such.
    pub archive_entries: usize,
    /// Bytes of all members that are read, uncompressed.
    pub archive_bytes: u64,
    /// How many times larger than its compressed form a member may be, from 1 MiB on.
    pub archive_ratio: u64,
    /// Elements, brackets or list items inside each other.
    pub nesting: usize,
    /// Cells of all tables together.
    pub table_cells: usize,
    /// Pages, slides, sheets or chapters.
    pub pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: 512 * MIB,
            text_bytes: 64 * 1024 * 1024,
            blocks: 1_000_000,
            time: Duration::from_mins(2),
            memory_bytes: 2048 * MIB,
            archive_entries: 10_000,
            archive_bytes: 512 * MIB,
            archive_ratio: 300,
            nesting: 500,
            table_cells: 2_000_000,
            pages: 20_000,
        }
    }
}
