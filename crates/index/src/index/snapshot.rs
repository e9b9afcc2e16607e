//! Snapshots: the segments and the chunks that are alive, at one generation.

use crate::{
    segment::{MAX_ROWS, Part, Segment},
    storage::Reading,
};
use std::sync::Arc;

/// Segments below this size at the end are merged as they come, so that there are few.
pub(crate) const INLINE_ROWS: usize = 8192;
/// A segment of so many chunks is not merged in the call of a writer any more.
pub(crate) const SEALED_ROWS: usize = 4096;
/// From so many chunks on that are gone, a segment that writers may still merge is merged without them.
const GONE_ROWS: usize = 1024;
/// So many neighbours of a size are merged into one of the next size.
const FANOUT: usize = 4;

/// Does not change; a writer publishes the next one.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) generation: u64,
    /// In the order of their rows, which do not overlap.
    pub(crate) parts: Vec<Part>,
    pub(crate) closed: bool,
}

/// Database and snapshot at the same generation.
pub(crate) struct View<'p> {
    pub(crate) reading: Reading<'p>,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Snapshot {
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// Takes rows out, which are given ascending.
    pub(crate) fn remove(&mut self, rows: &[u64]) {
        let mut rest = rows;
        for part in &mut self.parts {
            let Some(last) = part.segment.rows.last() else { continue };
            let (own, beyond) = rest.split_at(rest.partition_point(|row| row <= last));
            rest = beyond;
            let positions: Vec<usize> =
                own.iter().filter_map(|row| part.segment.position(*row)).collect();
            if !positions.is_empty() {
                part.remove(&positions);
            }
        }
        // The file of an empty segment goes with the next merge or the next opening.
        self.parts.retain(|part| part.len() > 0 || part.segment.file.get().is_some());
    }

    /// Merges small segments at the end; answers whether there were any.
    pub(crate) fn merge_small(&mut self, width: usize) -> bool {
        let mut any = false;
        while let [.., before, last] = &self.parts[..] {
            let (before, last) = (before.segment.len(), last.segment.len());
            if before.max(last) >= SEALED_ROWS || before > 2 * last || before + last > INLINE_ROWS {
                break;
            }
            let start = self.parts.len() - 2;
            let merged = Segment::merge(&self.parts[start..], width);
            self.parts.truncate(start);
            self.parts.push(Part::new(merged));
            any = true;
        }
        any
    }

    /// Neighbours that are worth merging in the background: many of a size, small ones between
    /// large ones, and those with many chunks that are gone.
    pub(crate) fn plan(&self) -> Option<Vec<Part>> {
        let count = self.parts.iter().rposition(settled).map_or(0, |last| last + 1);
        let settled_parts = &self.parts[..count];
        let mut limit = INLINE_ROWS;
        while limit <= MAX_ROWS / FANOUT {
            for run in settled_parts.chunk_by(|one, other| one.len().max(other.len()) <= limit) {
                let run = fitting(run);
                if run.len() >= FANOUT {
                    return Some(run.to_vec());
                }
            }
            limit *= FANOUT;
        }
        let hollow = |part: &&Part| {
            let (all, left) = (part.segment.len(), part.len());
            left * 10 < all * 7 && (settled(part) || all - left >= GONE_ROWS)
        };
        self.parts.iter().find(hollow).map(|part| vec![part.clone()])
    }

    /// What is left to merge when all shall be in as few segments as possible.
    pub(crate) fn plan_all(&self) -> Option<Vec<Part>> {
        let mut start = 0;
        while start < self.parts.len() {
            let run = fitting(&self.parts[start..]);
            if run.len() > 1 || run.iter().any(|part| !part.whole()) {
                return Some(run.to_vec());
            }
            start += run.len();
        }
        None
    }

    /// Puts one segment in the place of neighbours; answers whether they are still there. Chunks
    /// that went meanwhile are not alive in it.
    pub(crate) fn replace(&mut self, old: &[Part], merged: Segment) -> bool {
        let same = |now: &Part, then: &Part| Arc::ptr_eq(&now.segment, &then.segment);
        let found = self
            .parts
            .windows(old.len())
            .position(|run| run.iter().zip(old).all(|(now, then)| same(now, then)));
        let Some(start) = found else { return false };
        let mut gone = Vec::new();
        for (now, then) in self.parts[start..].iter().zip(old) {
            then.alive.set.each(|position| {
                if !now.alive.set.contains(position) {
                    gone.push(now.segment.rows[position]);
                }
            });
        }
        let mut part = Part::new(merged);
        let positions: Vec<usize> =
            gone.iter().filter_map(|row| part.segment.position(*row)).collect();
        part.remove(&positions);
        let end = start + old.len();
        self.parts.splice(start..end, (part.len() > 0).then_some(part));
        true
    }
}

/// Whether a segment is left to the background, which merges large ones and those in files.
fn settled(part: &Part) -> bool {
    part.segment.len() >= SEALED_ROWS || part.segment.file.get().is_some()
}

/// As many of the first as fit into one segment, at least one.
fn fitting(run: &[Part]) -> &[Part] {
    let mut rows = 0;
    let fits = run.iter().take_while(|part| {
        rows += part.len();
        rows <= MAX_ROWS
    });
    let count = fits.count().max(1).min(run.len());
    &run[..count]
}
