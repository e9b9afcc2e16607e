//! Putting chunks together from atoms: as much as fits, ended at the best place near the end.

use super::{
    Chunk, Places, TokenCounter,
    atoms::{self, Atom, Cut},
    split::{Splitter, trimmed, words},
};
use crate::{BlockKind, Document, Result, builder::Deadline};
use std::ops::Range;

/// Sizes of chunks in tokens, and whether headings begin them.
pub(super) struct Plan {
    pub(super) max: usize,
    pub(super) overlap: usize,
    pub(super) structural: bool,
}

pub(super) fn cut(
    document: &Document,
    plan: &Plan,
    counter: &dyn TokenCounter,
    deadline: Deadline,
) -> Result<Vec<Chunk>> {
    let splitter = Splitter { text: document.text(), counter, max: plan.max, deadline };
    let atoms = atoms::of(document, plan, &splitter)?;
    Packer { document, plan, splitter, atoms, places: Places::new(document) }.chunks()
}

struct Packer<'a> {
    document: &'a Document,
    plan: &'a Plan,
    splitter: Splitter<'a>,
    atoms: Vec<Atom>,
    places: Places<'a>,
}

/// What stands before the first atom of a chunk.
#[derive(Default)]
struct Lead {
    /// Where the repeated end of the last chunk begins.
    start: Option<usize>,
    /// The header of the table that the chunk goes on with.
    context: Option<Range<usize>>,
    tokens: usize,
}

impl Packer<'_> {
    fn chunks(&self) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        let mut first = 0;
        let mut lead = Lead::default();
        while first < self.atoms.len() {
            self.splitter.deadline.check()?;
            let (end, chunk) = self.chunk(first, &lead);
            chunks.push(chunk);
            lead = self.lead(first, end);
            first = end;
        }
        Ok(chunks)
    }

    /// The chunk that begins with an atom, and the atom that the next begins with.
    fn chunk(&self, first: usize, lead: &Lead) -> (usize, Chunk) {
        let mut end = self.best_end(first, lead.tokens);
        loop {
            let start = lead.start.unwrap_or(self.atoms[first].range.start);
            let range = start..self.atoms[end - 1].range.end;
            let piece = self.document.text().get(range.clone()).unwrap_or_default();
            let context = lead.context.clone().and_then(|header| self.document.text().get(header));
            let text = match context {
                Some(header) => format!("{header}\n{piece}"),
                None => piece.to_owned(),
            };
            let tokens = self.splitter.tokens(&text);
            if tokens <= self.plan.max || (end == first + 1 && lead.tokens == 0) {
                let context = text.len() - piece.len();
                return (
                    end,
                    self.finished(
                        Chunk {
                            text,
                            context,
                            tokens,
                            headings: Vec::new(),
                            pages: Vec::new(),
                            range,
                        },
                        first,
                        end,
                    ),
                );
            }
            if end == first + 1 {
                // What is repeated does not fit after all: tokens are more together than apart.
                return self.chunk(first, &Lead::default());
            }
            // Together the atoms have more tokens than counted: blanks between them, and more.
            let mut over = tokens - self.plan.max;
            while end > first + 1 && over > 0 {
                end -= 1;
                over = over.saturating_sub(self.atoms[end].tokens.max(1));
            }
        }
    }

    fn finished(&self, chunk: Chunk, first: usize, end: usize) -> Chunk {
        // The headings of a section are those above its text, not above its first heading.
        let shown = if self.plan.structural {
            let is_heading = |at: &usize| {
                let block = &self.document.blocks()[self.atoms[*at].block];
                matches!(block.kind, BlockKind::Heading { .. })
            };
            (first..end).find(|at| !is_heading(at)).unwrap_or(end - 1)
        } else {
            first
        };
        Chunk {
            headings: self.places.headings(self.atoms[shown].block),
            pages: self.places.pages(&chunk.range),
            ..chunk
        }
    }

    /// Where a chunk from `first` on ends: after as many atoms as fit, or before, where a better
    /// place is in its second half.
    fn best_end(&self, first: usize, lead: usize) -> usize {
        let mut tokens = lead;
        let mut best: Option<(Cut, usize)> = None;
        let mut only_headings = true;
        for (at, atom) in self.atoms.iter().enumerate().skip(first) {
            if at > first {
                if self.plan.structural && atom.before == Cut::Section && !only_headings {
                    return at;
                }
                if tokens * 2 >= self.plan.max && best.is_none_or(|(cut, _)| cut <= atom.before) {
                    best = Some((atom.before, at));
                }
                if tokens + atom.tokens > self.plan.max {
                    return best.map_or(at, |(_, at)| at);
                }
            }
            only_headings &= atom.before == Cut::Section;
            tokens += atom.tokens;
        }
        self.atoms.len()
    }

    /// What the chunk after `first..end` begins with.
    fn lead(&self, first: usize, end: usize) -> Lead {
        let Some(next) = self.atoms.get(end) else { return Lead::default() };
        if let Some(context) = self.table_header(next, end) {
            return context;
        }
        let section = self.plan.structural && next.before == Cut::Section;
        let room = self.plan.overlap.min(self.plan.max.saturating_sub(next.tokens));
        if section || room == 0 {
            return Lead::default();
        }
        let end_byte = self.atoms[end - 1].range.end;
        let (mut from, mut tokens) = (end, 0);
        // The first atom is never repeated, or a chunk would be a part of the next.
        while from > first + 1 {
            let atom = &self.atoms[from - 1];
            let section = self.plan.structural && atom.before == Cut::Section;
            if !atom.repeats || section || tokens + atom.tokens > room {
                break;
            }
            tokens += atom.tokens;
            from -= 1;
        }
        for atom in &self.atoms[from..end] {
            let tokens = self.splitter.count(&(atom.range.start..end_byte));
            if tokens <= room {
                return Lead { start: Some(atom.range.start), context: None, tokens };
            }
        }
        if self.atoms[end - 1].repeats {
            return self.last_words(&self.atoms[end - 1].range, room);
        }
        Lead::default()
    }

    /// As many words from the end of an atom as fit, but not all of it.
    fn last_words(&self, atom: &Range<usize>, room: usize) -> Lead {
        let text = self.document.text().get(atom.clone()).unwrap_or_default();
        let starts = words(text);
        let tail = |at: &usize| atom.start + at..atom.end;
        let fits = |at: &usize| self.splitter.count(&tail(at)) > room;
        let at = starts.partition_point(fits).max(1);
        let found = starts.get(at).and_then(|at| trimmed(self.document.text(), tail(at)));
        found.map_or_else(Lead::default, |range| {
            let tokens = self.splitter.count(&range);
            if tokens > room {
                return Lead::default();
            }
            Lead { start: Some(range.start), context: None, tokens }
        })
    }

    /// The header of the table that `next` is a later row of, if it leaves room for rows.
    fn table_header(&self, next: &Atom, at: usize) -> Option<Lead> {
        let block = self.document.blocks().get(next.block)?;
        let BlockKind::Table { rows, header } = &block.kind else { return None };
        let same = at > 0 && self.atoms[at - 1].block == next.block;
        if !self.plan.structural || !same || *header == 0 {
            return None;
        }
        let end = rows.get(*header).copied().unwrap_or(block.range.end);
        let range = trimmed(self.document.text(), *rows.first()?..end)?;
        let tokens = self.splitter.count(&range);
        let fits = next.range.start >= end
            && tokens * 2 <= self.plan.max
            && tokens + next.tokens <= self.plan.max;
        fits.then_some(Lead { start: None, context: Some(range), tokens })
    }
}
