//! A segment: some chunks, ready to be searched, that never change.
//!
//! What a segment holds is made from the durable part and can be made again. Chunks that were
//! deleted stay in it, and the snapshot says which are alive, until it is merged with others.

mod bytes;
mod columns;
mod file;
mod postings;
mod rotation;
mod vectors;

use crate::{Chunk, Settings, bitmap::Bitmap, text::Analyzer};
use std::sync::{Arc, OnceLock};

pub(crate) use bytes::Texts;
#[cfg(test)]
pub(crate) use columns::Builder as ColumnsBuilder;
pub(crate) use columns::Columns;
pub(crate) use file::{load, store, sync_folder};
pub(crate) use postings::Postings;
pub(crate) use rotation::{Rotation, mix};
pub(crate) use vectors::{Target, Vectors, factor};

/// The most chunks of one segment, so that merging needs little memory beside the index.
pub(crate) const MAX_ROWS: usize = 1 << 18;

/// Chunks in the order of their rows.
pub(crate) struct Segment {
    /// The numbers of the rows in the durable part, ascending.
    pub(crate) rows: Vec<u64>,
    pub(crate) ids: Texts,
    pub(crate) vectors: Vectors,
    pub(crate) postings: Postings,
    pub(crate) columns: Columns,
    /// When chunks expire, and their positions; sorted.
    pub(crate) expiries: Vec<(u64, u32)>,
    /// The name of its file, once it has one.
    pub(crate) file: OnceLock<String>,
}

/// What turns chunks into segments.
pub(crate) struct Tools {
    pub(crate) settings: Settings,
    pub(crate) analyzer: Analyzer,
    pub(crate) rotation: Rotation,
}

/// A segment with the chunks of it that are alive.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) segment: Arc<Segment>,
    pub(crate) alive: Arc<Alive>,
}

/// Which chunks of a segment are there, and how many terms they have.
#[derive(Clone)]
pub(crate) struct Alive {
    pub(crate) set: Bitmap,
    pub(crate) count: usize,
    pub(crate) terms: u64,
}

/// A number of texts or terms of a segment, which are fewer than 2^32.
pub(crate) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Tools {
    pub(crate) fn new(settings: Settings) -> Self {
        let analyzer = Analyzer::new(&settings.text);
        let rotation = Rotation::new(settings.dimension);
        Self { settings, analyzer, rotation }
    }

    /// A segment of these chunks with their rows, ascending.
    pub(crate) fn build<'c>(&self, chunks: impl Iterator<Item = (u64, &'c Chunk)>) -> Segment {
        let mut builder = Builder::new(self);
        chunks.for_each(|(row, chunk)| builder.add(row, chunk));
        builder.finish()
    }
}

/// Collects chunks.
pub(crate) struct Builder<'t> {
    tools: &'t Tools,
    rows: Vec<u64>,
    ids: Texts,
    vectors: Vectors,
    postings: postings::Builder,
    columns: columns::Builder,
    expiries: Vec<(u64, u32)>,
}

impl<'t> Builder<'t> {
    pub(crate) fn new(tools: &'t Tools) -> Self {
        Self {
            tools,
            rows: Vec::new(),
            ids: Texts::default(),
            vectors: Vectors::new(tools.rotation.width()),
            postings: postings::Builder::default(),
            columns: columns::Builder::default(),
            expiries: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a chunk, whose row is greater than those before.
    pub(crate) fn add(&mut self, row: u64, chunk: &Chunk) {
        let Tools { settings, analyzer, rotation } = self.tools;
        let position = narrow(self.rows.len());
        self.rows.push(row);
        self.ids.push(&chunk.id);
        let factor = factor(settings.metric, &chunk.vector);
        self.vectors.push(&rotation.apply(&chunk.vector, factor));
        self.postings.add(analyzer, &chunk.text);
        self.columns.add(position, &chunk.metadata);
        self.expiries.extend(chunk.expires.map(|time| (time, position)));
    }

    pub(crate) fn finish(mut self) -> Segment {
        self.vectors.finish();
        self.expiries.sort_unstable();
        self.ids.shrink();
        Segment {
            columns: self.columns.finish(self.rows.len()),
            rows: self.rows,
            ids: self.ids,
            vectors: self.vectors,
            postings: self.postings.finish(),
            expiries: self.expiries,
            file: OnceLock::new(),
        }
    }
}

impl Segment {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn position(&self, row: u64) -> Option<usize> {
        self.rows.binary_search(&row).ok()
    }

    /// The chunks of neighbours that are alive, as one segment.
    pub(crate) fn merge(parts: &[Part], width: usize) -> Self {
        let mut rows = Vec::new();
        let mut ids = Texts::default();
        let mut expiries = Vec::new();
        let mut places: Vec<Vec<Option<u32>>> = Vec::new();
        for Part { segment, alive } in parts {
            let mut own = vec![None; segment.len()];
            alive.set.each(|position| {
                own[position] = Some(narrow(rows.len()));
                rows.push(segment.rows[position]);
                ids.push(segment.ids.get(position));
            });
            let kept = segment.expiries.iter();
            expiries
                .extend(kept.filter_map(|&(time, position)| Some((time, own[position as usize]?))));
            places.push(own);
        }
        expiries.sort_unstable();
        rows.shrink_to_fit();
        ids.shrink();
        let each = || parts.iter().zip(&places);
        let vectors: Vec<_> = each().map(|(p, own)| (&p.segment.vectors, &own[..])).collect();
        let postings: Vec<_> = each().map(|(p, own)| (&p.segment.postings, &own[..])).collect();
        let columns: Vec<_> = each().map(|(p, own)| (&p.segment.columns, &own[..])).collect();
        Self {
            vectors: Vectors::merge(&vectors, width),
            postings: Postings::merge(&postings),
            columns: Columns::merge(&columns, rows.len()),
            rows,
            ids,
            expiries,
            file: OnceLock::new(),
        }
    }

    /// Bytes in memory, nearly.
    pub(crate) fn memory(&self) -> usize {
        self.rows.capacity() * 8
            + self.ids.memory()
            + self.vectors.memory()
            + self.postings.memory()
            + self.columns.memory()
            + self.expiries.capacity() * 16
    }
}

impl Part {
    /// With all chunks alive.
    pub(crate) fn new(segment: Segment) -> Self {
        let all = Bitmap::all(segment.len());
        Self::with(Arc::new(segment), all)
    }

    pub(crate) fn with(segment: Arc<Segment>, set: Bitmap) -> Self {
        let lengths = segment.postings.lengths();
        let (mut count, mut terms) = (0, 0);
        set.each(|position| {
            count += 1;
            terms += u64::from(lengths[position]);
        });
        Self { segment, alive: Arc::new(Alive { set, count, terms }) }
    }

    /// How many chunks are alive.
    pub(crate) fn len(&self) -> usize {
        self.alive.count
    }

    pub(crate) fn whole(&self) -> bool {
        self.alive.count == self.segment.len()
    }

    /// Takes chunks out; those of other segments and those that are gone are left out.
    pub(crate) fn remove(&mut self, positions: &[usize]) {
        let alive = Arc::make_mut(&mut self.alive);
        for &position in positions {
            if alive.set.remove(position) {
                alive.count -= 1;
                alive.terms -= u64::from(self.segment.postings.lengths()[position]);
            }
        }
    }
}
