//! The index of what is kept: a small entry for each trace, in memory, and which blocks hold its
//! spans. It is made from the blocks when the server starts.

use super::{
    blocks::BlockId,
    ids::{SpanId, TraceId},
    records::{Part, StoredBlock, StoredSpan, time},
    writer::Bounds,
};
use chaski_api::telemetry::Trace;
use chaski_store::Owner;
use foldhash::fast::RandomState;
use std::{
    collections::{self, BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A table for owners and ids: there are several look-ups for each span, for which the hash function
/// of the standard library takes long. This one is seeded too.
pub(super) type HashMap<K, V> = collections::HashMap<K, V, RandomState>;

/// The most spans of a trace.
pub(super) const MOST: usize = 10_000;

/// A trace that is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) owner: Arc<Owner>,
    pub(super) id: TraceId,
    pub(super) service: Arc<str>,
    pub(super) root: SpanId,
    /// Whether the root is known, and not only the span that came first.
    has_root: bool,
    /// When the root began.
    root_start: i64,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) created: i64,
    pub(super) expires: i64,
    /// How many spans it has had.
    pub(super) had: usize,
    /// Those that have not expired.
    pub(super) spans: Vec<Mark>,
    /// Where they are, the oldest first.
    pub(super) blocks: Vec<Stretch>,
    /// What its spans have for attributes that agents ask by.
    marks: Vec<u64>,
}

/// A span of a trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// The short form of its id.
    pub(super) key: u64,
    pub(super) expires: i64,
}

/// The spans of a trace in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) block: BlockId,
    spans: usize,
}

impl Kept {
    /// The trace of its first span, before that is added.
    fn first(owner: &Arc<Owner>, service: &Arc<str>, part: &Part, span: &StoredSpan) -> Self {
        Self {
            owner: Arc::clone(owner),
            id: part.trace.clone(),
            service: Arc::clone(service),
            root: span.id.clone(),
            has_root: false,
            root_start: span.start,
            start: span.start,
            end: span.end,
            created: part.created,
            expires: span.expires,
            had: 0,
            spans: Vec::with_capacity(part.spans.len()),
            blocks: Vec::with_capacity(1),
            marks: Vec::new(),
        }
    }

    fn add(&mut self, span: &StoredSpan) {
        self.had += 1;
        self.spans.push(Mark { key: span.id.key(), expires: span.expires });
        self.start = self.start.min(span.start);
        self.end = self.end.max(span.end);
        self.expires = self.expires.max(span.expires);
        let earlier = span.is_root == self.has_root && span.start < self.root_start;
        if (span.is_root && !self.has_root) || earlier {
            self.root.clone_from(&span.id);
            self.root_start = span.start;
            self.has_root = span.is_root;
        }
        for mark in span.marks() {
            if !self.marks.contains(&mark) {
                self.marks.push(mark);
            }
        }
    }

    /// Whether it may have a span with this id that has not expired at `now`.
    pub(super) fn may_have(&self, span: &SpanId, now: i64) -> bool {
        let key = span.key();
        self.spans.iter().any(|mark| mark.key == key && mark.expires > now)
    }

    /// Whether it may have spans with all these marks.
    pub(super) fn may_be(&self, marks: &[u64]) -> bool {
        marks.iter().all(|mark| self.marks.contains(mark))
    }

    pub(super) fn answer(&self) -> Trace {
        Trace {
            trace_id: self.id.to_string(),
            root_span_id: self.root.to_string(),
            start_time: time(self.start),
            end_time: Some(time(self.end)),
        }
    }
}

/// What a block holds, in spans.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    all: usize,
    /// Those of traces that are kept.
    kept: usize,
}

/// The traces of one owner.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    traces: &'a BTreeMap<u64, Arc<Kept>>,
    own: Option<&'a HashMap<TraceId, u64>>,
}

impl<'a> Own<'a> {
    pub(super) fn find(&self, trace: &TraceId) -> Option<&'a Arc<Kept>> {
        self.traces.get(self.own?.get(trace)?)
    }
}

/// All traces that are kept.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// When each trace had its turn.
    owners: HashMap<Arc<Owner>, HashMap<TraceId, u64>>,
    /// By the turn in which they got a span last.
    traces: BTreeMap<u64, Arc<Kept>>,
    blocks: HashMap<BlockId, Block>,
    turn: u64,
    /// How many spans have not expired.
    spans: usize,
    /// The blocks that nothing needs any more.
    gone: VecDeque<BlockId>,
    /// The last name of a server, so that traces share it.
    service: Arc<str>,
}

impl Index {
    /// A trace of an owner.
    pub(super) fn find(&self, owner: &Owner, trace: &TraceId) -> Option<&Arc<Kept>> {
        self.of(owner).find(trace)
    }

    /// The traces of an owner, for several questions.
    pub(super) fn of(&self, owner: &Owner) -> Own<'_> {
        Own { traces: &self.traces, own: self.owners.get(owner) }
    }

    /// The traces of an owner that have not expired at `now`, the newest first: those that got a
    /// span last.
    pub(super) fn newest<'a>(
        &'a self,
        owner: &Owner,
        now: i64,
    ) -> impl Iterator<Item = &'a Arc<Kept>> {
        let known = self.owners.get_key_value(owner).map(|(known, _)| known);
        let traces = known.map(|known| {
            let traces = self.traces.values().rev();
            traces.filter(move |trace| Arc::ptr_eq(&trace.owner, known) && trace.expires > now)
        });
        traces.into_iter().flatten()
    }

    /// Takes a block into account that is in the database. Blocks come in the order of their writing.
    pub(super) fn add(&mut self, owner: &Arc<Owner>, id: BlockId, block: &StoredBlock) {
        if *self.service != *block.service {
            self.service = block.service.as_str().into();
        }
        let all = block.parts.iter().map(|part| part.spans.len()).sum();
        self.blocks.insert(id, Block { all, kept: 0 });
        // All traces of an owner share the first one.
        let known = self.owners.get_key_value(owner).map(|(known, _)| Arc::clone(known));
        let owner = known.unwrap_or_else(|| Arc::clone(owner));
        for part in &block.parts {
            self.add_part(&owner, id, part);
        }
        self.settle(id);
    }

    fn add_part(&mut self, owner: &Arc<Owner>, id: BlockId, part: &Part) {
        let Some(first) = part.spans.first() else { return };
        let turn = self.turn;
        self.turn += 1;
        let own = self.owners.entry(Arc::clone(owner)).or_default();
        let before = own.insert(part.trace.clone(), turn);
        let known = before.and_then(|before| Some((before, self.traces.remove(&before)?)));
        let known = match known {
            Some((before, trace)) if trace.created > part.created => {
                own.insert(part.trace.clone(), before);
                self.traces.insert(before, trace);
                return;
            }
            Some((_, trace)) if trace.created < part.created => {
                // It was removed, and began anew.
                self.forget(&trace);
                let own = self.owners.entry(Arc::clone(owner)).or_default();
                own.insert(part.trace.clone(), turn);
                None
            }
            Some((_, trace)) => Some(trace),
            None => None,
        };
        let mut trace =
            known.unwrap_or_else(|| Arc::new(Kept::first(owner, &self.service, part, first)));
        let kept = Arc::make_mut(&mut trace);
        for span in &part.spans {
            kept.add(span);
        }
        let spans = part.spans.len();
        match kept.blocks.last_mut() {
            Some(last) if last.block == id => last.spans += spans,
            Some(_) | None => kept.blocks.push(Stretch { block: id, spans }),
        }
        self.traces.insert(turn, trace);
        self.spans += spans;
        if let Some(block) = self.blocks.get_mut(&id) {
            block.kept += spans;
        }
    }

    /// Removes the traces that have expired at `now`, and forgets the other spans that have.
    pub(super) fn expire(&mut self, now: i64) {
        let mut expired = Vec::new();
        for (turn, trace) in &mut self.traces {
            if trace.expires <= now {
                expired.push(*turn);
            } else if trace.spans.iter().any(|mark| mark.expires <= now) {
                let kept = Arc::make_mut(trace);
                let before = kept.spans.len();
                kept.spans.retain(|mark| mark.expires > now);
                self.spans -= before - kept.spans.len();
            }
        }
        for turn in expired {
            if let Some(trace) = self.traces.remove(&turn) {
                self.forget(&trace);
            }
        }
    }

    /// Removes the oldest traces where there are too many traces or spans.
    pub(super) fn bound(&mut self, bounds: &Bounds) {
        while (self.traces.len() > bounds.traces || self.spans > bounds.spans)
            && let Some((_, trace)) = self.traces.pop_first()
        {
            self.forget(&trace);
        }
    }

    /// Forgets what belongs to a trace that is no longer among them.
    fn forget(&mut self, trace: &Kept) {
        if let Some(own) = self.owners.get_mut(&trace.owner) {
            own.remove(&trace.id);
            if own.is_empty() {
                self.owners.remove(&trace.owner);
            }
        }
        self.spans -= trace.spans.len();
        for stretch in &trace.blocks {
            if let Some(block) = self.blocks.get_mut(&stretch.block) {
                block.kept -= stretch.spans;
            }
            self.settle(stretch.block);
        }
    }

    /// Sees whether a block is still needed.
    fn settle(&mut self, id: BlockId) {
        if self.blocks.get(&id).is_some_and(|block| block.kept == 0) {
            self.blocks.remove(&id);
            self.gone.push_back(id);
        }
    }

    /// Some of the blocks that nothing needs any more; they are told once.
    pub(super) fn gone(&mut self, most: usize) -> Vec<BlockId> {
        let count = self.gone.len().min(most);
        self.gone.drain(..count).collect()
    }

    /// Takes blocks back that could not be removed.
    pub(super) fn still_there(&mut self, blocks: Vec<BlockId>) {
        self.gone.extend(blocks);
    }

    /// The blocks that hold much more than is kept.
    pub(super) fn sparse(&self) -> Vec<BlockId> {
        let sparse = self.blocks.iter().filter(|(_, block)| block.kept * 4 <= block.all);
        sparse.map(|(id, _)| *id).collect()
    }

    /// Notes that a block holds only what was kept.
    pub(super) fn thinned(&mut self, id: BlockId, all: usize) {
        if let Some(block) = self.blocks.get_mut(&id) {
            block.all = all;
        }
    }

    /// How many traces, spans and blocks there are.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.traces.len(), self.spans, self.blocks.len())
    }
}

/// The index, as the writer and the questions share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Index>>);

impl Shared {
    /// The index, for a moment.
    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
