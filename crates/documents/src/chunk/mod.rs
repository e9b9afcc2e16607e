//! Chunks: pieces of a document of a number of tokens, and where they stand in it.

mod atoms;
mod pack;
mod split;
mod tokens;
mod windows;

#[cfg(test)]
mod tests;

use crate::{Document, Error, ErrorKind, Limits, Result, builder::Deadline};
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

pub use tokens::{Encoding, Estimate, TokenCounter};

/// Limits of OpenAI's static chunking: `max_chunk_size_tokens` of the files API.
const STATIC_TOKENS: std::ops::RangeInclusive<usize> = 100..=4096;

/// How a document is cut. Sizes are in tokens of the counter that is given to [`chunk()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Chunking {
    /// Windows of exactly `size` tokens that begin every `size - overlap` tokens, as Llama Stack's
    /// RAG tool cuts: its overlap is a quarter of the size. Needs a counter that knows where its
    /// tokens stand.
    Windows { size: usize, overlap: usize },
    /// Up to so many tokens, cut between sentences, with overlap. OpenAI's `static`.
    Static { max_chunk_size_tokens: usize, chunk_overlap_tokens: usize },
    /// As `static` with 800 and 400 tokens, which is OpenAI's `auto`.
    Auto,
    /// Up to so many tokens by the structure of the document: headings begin chunks, code and
    /// tables stay whole where they fit, and the rows of a long table repeat its header.
    Structural { max_tokens: usize, overlap: usize },
}

impl Chunking {
    /// What Llama Stack's RAG tool does for a chunk size.
    pub fn of_rag_tool(size: usize) -> Self {
        Self::Windows { size, overlap: size / 4 }
    }

    /// This chunking, if it can be done.
    ///
    /// # Errors
    /// When a size is not within its bounds; the message names the bounds.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::new(ErrorKind::Chunking, message));
        match *self {
            Self::Windows { size, overlap } | Self::Structural { max_tokens: size, overlap }
                if size == 0 || overlap >= size =>
            {
                refuse(format!(
                    "chunks of {size} tokens with an overlap of {overlap} cannot be cut; \
                     give a size of at least 1 and a smaller overlap"
                ))
            }
            Self::Static { max_chunk_size_tokens: size, .. } if !STATIC_TOKENS.contains(&size) => {
                refuse(format!(
                    "`max_chunk_size_tokens` is {size}; it must be between {} and {}",
                    STATIC_TOKENS.start(),
                    STATIC_TOKENS.end()
                ))
            }
            Self::Static { max_chunk_size_tokens: size, chunk_overlap_tokens: overlap }
                if overlap > size / 2 =>
            {
                refuse(format!(
                    "`chunk_overlap_tokens` is {overlap}; it must not be over half of \
                     `max_chunk_size_tokens`, which is {size}"
                ))
            }
            Self::Windows { .. } | Self::Static { .. } | Self::Auto | Self::Structural { .. } => {
                Ok(())
            }
        }
    }
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// What is embedded and shown: the context, and then the piece itself.
    pub text: String,
    /// How many bytes of `text` are context that stands elsewhere in the document: the header of
    /// a table that began earlier. The rest is exactly the text of `range`.
    pub context: usize,
    /// Where the piece stands in [`Document::text`], in bytes.
    pub range: Range<usize>,
    /// Tokens of `text`.
    pub tokens: usize,
    /// The headings above the piece, the highest first. Chunks of a section share them.
    pub headings: Vec<Arc<str>>,
    /// The pages, slides, sheets or chapters that it touches.
    pub pages: Vec<u32>,
}

/// Cuts a document. Every word of it is in a chunk, and chunks are in order.
///
/// A chunk has more tokens than allowed only when a single character has.
///
/// # Errors
/// When the chunking cannot be done, see [`Chunking::check`], or takes longer than the time of the
/// limits.
pub fn chunk(
    document: &Document,
    chunking: &Chunking,
    counter: &dyn TokenCounter,
    limits: &Limits,
) -> Result<Vec<Chunk>> {
    chunking.check()?;
    let deadline = Deadline::new(limits);
    let plan = match *chunking {
        Chunking::Windows { size, overlap } => {
            return windows::cut(document, size, overlap, counter, deadline);
        }
        Chunking::Static { max_chunk_size_tokens: max, chunk_overlap_tokens: overlap } => {
            pack::Plan { max, overlap, structural: false }
        }
        Chunking::Auto => pack::Plan { max: 800, overlap: 400, structural: false },
        Chunking::Structural { max_tokens: max, overlap } => {
            pack::Plan { max, overlap, structural: true }
        }
    };
    pack::cut(document, &plan, counter, deadline)
}

/// The headings and pages of the blocks of a document, by their place.
pub(crate) struct Places<'d> {
    document: &'d Document,
    /// For each block that is a heading, its title.
    titles: Vec<Option<Arc<str>>>,
    /// For each block, the index of the last heading up to it.
    heading: Vec<Option<usize>>,
    /// For each block that is a heading, the heading above it.
    above: Vec<Option<usize>>,
}

impl<'d> Places<'d> {
    pub(crate) fn new(document: &'d Document) -> Self {
        let mut open: Vec<(u8, usize)> = Vec::new();
        let (mut titles, mut heading, mut above) = (Vec::new(), Vec::new(), Vec::new());
        for (at, block) in document.blocks().iter().enumerate() {
            let (mut title, mut parent) = (None, None);
            if let crate::BlockKind::Heading { level, title: words } = &block.kind {
                title = Some(Arc::from(words.as_str()));
                while open.last().is_some_and(|(last, _)| last >= level) {
                    open.pop();
                }
                parent = open.last().map(|(_, at)| *at);
                open.push((*level, at));
            }
            titles.push(title);
            above.push(parent);
            heading.push(open.last().map(|(_, at)| *at));
        }
        Self { document, titles, heading, above }
    }

    /// The headings above a block, with itself if it is one.
    pub(crate) fn headings(&self, block: usize) -> Vec<Arc<str>> {
        let mut path = Vec::new();
        let mut next = self.heading.get(block).copied().flatten();
        while let Some(at) = next {
            path.extend(self.titles.get(at).cloned().flatten());
            next = self.above.get(at).copied().flatten();
        }
        path.reverse();
        path
    }

    /// The first block that reaches beyond a byte.
    pub(crate) fn block_at(&self, byte: usize) -> usize {
        self.document.blocks().partition_point(|block| block.range.end <= byte)
    }

    /// The pages of the blocks that a range touches.
    pub(crate) fn pages(&self, range: &Range<usize>) -> Vec<u32> {
        let first = self.block_at(range.start);
        let touched = self.document.blocks().iter().skip(first);
        let mut pages: Vec<u32> = touched
            .take_while(|block| block.range.start < range.end)
            .filter_map(|block| block.page)
            .collect();
        pages.dedup();
        pages
    }
}
