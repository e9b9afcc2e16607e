//! The index: one writer, snapshots for readers, and a thread that merges and saves segments.

mod maintenance;
mod open;
mod remove;
mod snapshot;

use crate::{
    Chunk, Error, Filter, Hit, Query, Result, Settings, chunk,
    search::{self, Selection},
    segment::{MAX_ROWS, Part, Tools},
    storage::{Place, Pool, Stored, Writer},
};
use arc_swap::ArcSwap;
use maintenance::Maintenance;
use snapshot::INLINE_ROWS;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

pub(crate) use snapshot::{Snapshot, View};

/// The most chunks that `list` answers at once.
const MAX_LIST: usize = 10_000;
/// How often a reader looks again when a commit and its snapshot are just being published.
const ATTEMPTS: u32 = 2000;

/// A collection of chunks that can be searched. Share it by reference or in an `Arc`.
pub struct Index {
    core: Arc<Core>,
    maintenance: Maintenance,
}

/// What an index holds and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    pub chunks: usize,
    /// Chunks that were deleted or replaced, and still take memory.
    pub removed: usize,
    pub segments: usize,
    /// Segments that are in files; the others are made again when the index is opened.
    pub saved_segments: usize,
    /// Bytes that the segments take in memory.
    pub memory: usize,
    /// Grows with each change.
    pub generation: u64,
    /// Why the thread in the background could not do its work, if so; it tries again.
    pub trouble: Option<String>,
}

/// What the calls and the thread in the background share.
pub(crate) struct Core {
    place: Place,
    tools: Tools,
    pool: Pool,
    snapshot: ArcSwap<Snapshot>,
    /// Nothing once the index is closed.
    writer: Mutex<Option<Writer>>,
}

impl Index {
    /// Makes a new index in a folder, with its parent folders.
    ///
    /// # Errors
    /// The folder holds an index, the settings are not possible, or files cannot be written.
    pub fn create(folder: impl AsRef<Path>, settings: &Settings) -> Result<Self> {
        Ok(Self::run(open::create(folder.as_ref(), settings)?))
    }

    /// Opens an index. Files beside the database that are missing or damaged are made again.
    ///
    /// # Errors
    /// There is none, it is open elsewhere or of a newer version, or its database is damaged.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::run(open::open(folder.as_ref(), None)?))
    }

    /// Opens an index, or makes it if there is none. Settings of the text and of BM25 that differ
    /// from those at hand are put in force.
    ///
    /// # Errors
    /// As for `create` and `open`; and the index has another dimension or metric.
    pub fn open_or_create(folder: impl AsRef<Path>, settings: &Settings) -> Result<Self> {
        Ok(Self::run(open::open(folder.as_ref(), Some(settings))?))
    }

    /// Removes the index in a folder, and the folder if nothing else is in it; answers whether there
    /// was one. Files that are not of an index stay.
    ///
    /// # Errors
    /// The index is open, or files cannot be removed.
    pub fn remove(folder: impl AsRef<Path>) -> Result<bool> {
        remove::remove(folder.as_ref())
    }

    fn run(core: Core) -> Self {
        let core = Arc::new(core);
        Self { maintenance: Maintenance::start(Arc::clone(&core)), core }
    }

    pub fn settings(&self) -> &Settings {
        &self.core.tools.settings
    }

    /// Puts chunks in, all or none; one whose id is there replaces it, and of several with the
    /// same id the last counts.
    ///
    /// # Errors
    /// A chunk cannot be used (the message names it), or the database failed.
    pub fn upsert(&self, chunks: &[Chunk]) -> Result<()> {
        if chunks.len() > chunk::MAX_BATCH {
            return Err(Error::invalid(format!(
                "{} chunks are too many for one call; the most is {}",
                chunks.len(),
                chunk::MAX_BATCH
            )));
        }
        let settings = self.settings();
        let metadata: Vec<String> =
            chunks.iter().map(|chunk| chunk.check(settings)).collect::<Result<_>>()?;
        let last: HashMap<&str, usize> =
            chunks.iter().enumerate().map(|(index, chunk)| (&*chunk.id, index)).collect();
        let kept: Vec<usize> =
            (0..chunks.len()).filter(|index| last[&*chunks[*index].id] == *index).collect();
        if kept.is_empty() {
            return Ok(());
        }
        // What takes time comes before the writer is needed.
        let pieces = kept.len().div_ceil(INLINE_ROWS);
        let mut segments: Vec<_> = kept
            .chunks(kept.len().div_ceil(pieces))
            .map(|piece| self.core.tools.build(piece.iter().map(|index| (0, &chunks[*index]))))
            .collect();

        let mut writer = self.core.writer()?;
        let mut change = writer.change()?;
        let mut next = 0;
        for index in &kept {
            change.remove_id(&chunks[*index].id)?;
        }
        for segment in &mut segments {
            for row in &mut segment.rows {
                let index = kept[next];
                *row = change.insert(&chunks[index], &metadata[index])?;
                next += 1;
            }
        }
        let removed = change.commit()?;
        let new = segments.into_iter().map(Part::new).collect();
        self.core.publish(writer.state.generation, &removed, new);
        drop(writer);
        self.maintenance.wake();
        Ok(())
    }

    /// Takes the chunks with these ids out; answers how many were there.
    pub fn delete(&self, ids: &[&str]) -> Result<usize> {
        let mut writer = self.core.writer()?;
        let mut change = writer.change()?;
        for id in ids {
            change.remove_id(id)?;
        }
        let removed = change.commit()?;
        self.core.publish(writer.state.generation, &removed, Vec::new());
        drop(writer);
        self.maintenance.wake();
        Ok(removed.len())
    }

    /// Takes the chunks out that satisfy a filter; answers how many.
    pub fn delete_where(&self, filter: &Filter) -> Result<usize> {
        let mut writer = self.core.writer()?;
        let rows = {
            let view = self.core.view()?;
            let selection = Selection::new(&view.snapshot, Some(filter), chunk::now())?;
            let mut rows = Vec::with_capacity(selection.len());
            for (index, part) in view.snapshot.parts.iter().enumerate() {
                let set = selection.set(&view.snapshot, index);
                set.each(|position| rows.push(part.segment.rows[position]));
            }
            rows
        };
        let removed = self.core.remove_rows(&mut writer, &rows)?;
        drop(writer);
        self.maintenance.wake();
        Ok(removed)
    }

    /// The chunks with these ids that are there, in the order of the ids given.
    pub fn get(&self, ids: &[&str]) -> Result<Vec<Chunk>> {
        let (view, now) = (self.core.view()?, chunk::now());
        let mut found = Vec::new();
        for id in ids {
            if let Some(stored) = view.reading.by_id(id)?
                && stored.expires.is_none_or(|time| time > now)
            {
                found.push(view.reading.whole(stored)?);
            }
        }
        Ok(found)
    }

    /// At most so many chunks that satisfy the filter, in the order of their ids, from the one
    /// after the given id on.
    pub fn list(
        &self,
        after: Option<&str>,
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Chunk>> {
        if !(1..=MAX_LIST).contains(&limit) {
            return Err(Error::invalid(format!(
                "a list of `{limit}` chunks is not possible; ask for 1 to {MAX_LIST}"
            )));
        }
        let (view, now) = (self.core.view()?, chunk::now());
        let after = after.unwrap_or("");
        let stored: Vec<Stored> = if filter.is_none() {
            view.reading.after(after, limit, now)?
        } else {
            let selection = Selection::new(&view.snapshot, filter, now)?;
            let mut found = Vec::new();
            for (index, part) in view.snapshot.parts.iter().enumerate() {
                selection.set(&view.snapshot, index).each(|position| {
                    let id = part.segment.ids.get(position);
                    if id > after {
                        found.push((id, part.segment.rows[position]));
                    }
                });
            }
            found.sort_unstable();
            found.truncate(limit);
            found.iter().map(|(_, row)| view.reading.row(*row)).collect::<Result<_>>()?
        };
        stored.into_iter().map(|stored| view.reading.whole(stored)).collect()
    }

    /// How many chunks there are, with those that have expired and not yet been taken out.
    pub fn len(&self) -> usize {
        self.core.snapshot.load().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many chunks satisfy a filter.
    pub fn count(&self, filter: &Filter) -> Result<usize> {
        Ok(Selection::new(&self.core.view()?.snapshot, Some(filter), chunk::now())?.len())
    }

    /// The best hits, the best first; equal scores in the order of ids.
    ///
    /// # Errors
    /// The query cannot be used, the database is damaged, or the reranker failed.
    pub fn search(&self, query: &Query<'_>) -> Result<Vec<Hit>> {
        search::run(&self.core.view()?, &self.core.tools, query)
    }

    /// Takes out the chunks that expire at this time (seconds since 1970) or before; answers how
    /// many. They are not found in any case; a thread in the background does this every minute.
    pub fn expire(&self, now: u64) -> Result<usize> {
        let removed = self.core.expire(now)?;
        self.maintenance.wake();
        Ok(removed)
    }

    /// Merges segments, frees what deleted chunks take, and saves all in files. Searching and
    /// writing go on meanwhile.
    pub fn compact(&self) -> Result<()> {
        self.core.compact()
    }

    /// Reads everything in the database and holds it against its checksums.
    pub fn verify(&self) -> Result<()> {
        let view = self.core.view()?;
        view.reading.structure()?;
        for part in &view.snapshot.parts {
            let mut outcome = Ok(());
            part.alive.set.each(|position| {
                if outcome.is_ok() {
                    let row = part.segment.rows[position];
                    outcome = view
                        .reading
                        .row(row)
                        .and_then(|stored| view.reading.whole(stored))
                        .map(drop);
                }
            });
            outcome?;
        }
        Ok(())
    }

    pub fn stats(&self) -> Stats {
        let snapshot = self.core.snapshot.load();
        let parts = &snapshot.parts;
        Stats {
            chunks: snapshot.len(),
            removed: parts.iter().map(|part| part.segment.len() - part.len()).sum(),
            segments: parts.len(),
            saved_segments: parts.iter().filter(|part| part.segment.file.get().is_some()).count(),
            memory: parts.iter().map(|part| part.segment.memory()).sum(),
            generation: snapshot.generation,
            trouble: self.maintenance.trouble(),
        }
    }

    /// Saves all segments, so that the next opening is quick, and gives the folder free. Later
    /// calls answer that the index is closed. Dropping does the same, without saying what failed.
    pub fn close(&self) -> Result<()> {
        self.maintenance.stop();
        self.core.close()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the search index could not be closed well");
        }
    }
}

/// A lock on a writer that is there.
pub(crate) struct Writing<'c>(MutexGuard<'c, Option<Writer>>);

impl std::ops::Deref for Writing<'_> {
    type Target = Writer;
    fn deref(&self) -> &Writer {
        self.0.as_ref().expect("checked when the lock was taken")
    }
}

impl std::ops::DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        self.0.as_mut().expect("checked when the lock was taken")
    }
}

impl Core {
    fn writer(&self) -> Result<Writing<'_>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_some() { Ok(Writing(writer)) } else { Err(Error::Closed) }
    }

    /// A view of database and snapshot that belong together.
    fn view(&self) -> Result<View<'_>> {
        for attempt in 0..ATTEMPTS {
            if self.snapshot.load().closed {
                return Err(Error::Closed);
            }
            let (reading, generation) = self.pool.read()?;
            let snapshot = self.snapshot.load_full();
            if snapshot.generation == generation {
                return Ok(View { reading, snapshot });
            }
            drop(reading);
            // A commit is visible some microseconds before its snapshot.
            if attempt < 100 {
                thread::yield_now();
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Err(self.place.damaged("it was changed by another program; open the index again"))
    }

    /// Makes a commit visible. The caller holds the writer.
    fn publish(&self, generation: u64, removed: &[u64], new: Vec<Part>) {
        let mut next = Snapshot::clone(&self.snapshot.load());
        next.generation = generation;
        next.remove(removed);
        next.parts.extend(new);
        self.snapshot.store(Arc::new(next.clone()));
        if next.merge_small(self.tools.rotation.width()) {
            self.snapshot.store(Arc::new(next));
        }
    }

    fn remove_rows(&self, writer: &mut Writing<'_>, rows: &[u64]) -> Result<usize> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut change = writer.change()?;
        for row in rows {
            change.remove_row(*row)?;
        }
        let removed = change.commit()?;
        self.publish(writer.state.generation, &removed, Vec::new());
        Ok(removed.len())
    }

    fn expire(&self, now: u64) -> Result<usize> {
        let mut writer = self.writer()?;
        let rows = writer.expired(now)?;
        self.remove_rows(&mut writer, &rows)
    }

    /// Replaces neighbours by one segment with the same chunks; answers whether they were still
    /// there.
    fn replace(&self, old: &[Part], merged: crate::segment::Segment) -> Result<bool> {
        debug_assert!(merged.len() <= MAX_ROWS);
        let mut writer = self.writer()?;
        let mut next = Snapshot::clone(&self.snapshot.load());
        if !next.replace(old, merged) {
            return Ok(false);
        }
        let files: Vec<String> =
            old.iter().filter_map(|part| part.segment.file.get().cloned()).collect();
        if !files.is_empty() {
            writer.set_segments(&files, &[])?;
        }
        self.snapshot.store(Arc::new(next));
        drop(writer);
        for name in files {
            // A file that stays is found and removed at the next opening.
            drop(std::fs::remove_file(self.place.segments.join(name)));
        }
        Ok(true)
    }
}
