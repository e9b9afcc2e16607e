//! A parsed document: one string, and what its parts are.

use crate::{Error, ErrorKind, Format, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The text of a file and its structure. All ranges are bytes of [`Document::text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub(crate) format: Format,
    pub(crate) title: Option<String>,
    pub(crate) numbering: Option<Numbering>,
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Where it stands in the text. Blocks are in order and do not overlap.
    pub range: Range<usize>,
    pub kind: BlockKind,
    /// The page, slide, sheet or chapter it is on, from 1.
    pub page: Option<u32>,
}

/// What a part of a document is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    Heading {
        /// From 1, the highest, to 6.
        level: u8,
        /// Its words, without markup and line breaks; of a long one the first 200 characters.
        title: String,
    },
    Paragraph,
    ListItem {
        /// How many lists the item is in, less one.
        depth: u8,
    },
    Table {
        /// Where each row begins in the text of the document.
        rows: Vec<usize>,
        /// How many of the first rows name the columns.
        header: usize,
    },
    Code {
        /// The language, such as `rust`, where it is known.
        language: Option<String>,
    },
}

/// What the numbers of pages count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbering {
    Page,
    Slide,
    Sheet,
    Chapter,
}

impl Document {
    /// A document of one paragraph for each group of lines, as plain text is read.
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        let blocks = crate::formats::plain::paragraphs(&text)
            .map(|(range, page)| Block { range, kind: BlockKind::Paragraph, page })
            .collect();
        Self { format: Format::Text, title: None, numbering: None, text, blocks }
    }

    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The title, where the file states one.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// What [`Block::page`] counts, where the document has pages.
    pub fn numbering(&self) -> Option<Numbering> {
        self.numbering
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The text of a block of this document.
    pub fn block_text(&self, block: &Block) -> &str {
        self.text.get(block.range.clone()).unwrap_or_default()
    }

    /// This document, if its ranges fit its text, as they must after a way through a process that
    /// is not trusted.
    pub(crate) fn checked(self) -> Result<Self> {
        let mut end = 0;
        for block in &self.blocks {
            let fits = end <= block.range.start
                && block.range.start <= block.range.end
                && self.text.get(block.range.clone()).is_some();
            let rows_fit = match &block.kind {
                BlockKind::Table { rows, .. } => {
                    rows.is_sorted()
                        && rows.iter().all(|row| {
                            block.range.contains(row) && self.text.is_char_boundary(*row)
                        })
                }
                BlockKind::Heading { .. }
                | BlockKind::Paragraph
                | BlockKind::ListItem { .. }
                | BlockKind::Code { .. } => true,
            };
            if !fits || !rows_fit {
                let message = "the parser answered with a structure that does not fit its text";
                return Err(Error::new(ErrorKind::Crashed, message));
            }
            end = block.range.end;
        }
        Ok(self)
    }
}
