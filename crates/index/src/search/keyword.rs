//! BM25 over the whole snapshot: the scores do not depend on how chunks are divided into segments.
//!
//! Terms are taken one after the other, the rarest first. As soon as the others together cannot
//! bring a chunk among the best that holds none of those taken so far, they are looked up only for
//! the chunks that can still be among the best.

use super::{
    Selection,
    collect::{Shortlist, Spot, sort},
};
use crate::{
    Bm25,
    index::Snapshot,
    segment::{Part, Tools},
};
use std::collections::BTreeMap;

/// Of a longer query only the rarest terms count.
const MAX_TERMS: usize = 256;
/// Looking for a bound costs about as much as so many postings for each chunk found so far.
const BOUND_COST: u64 = 4;
/// The most that a term adds is computed in another order of the same numbers, and may be rounded
/// down.
const ROUNDING: f32 = 1.0001;

/// The words of a query as they meet the chunks.
pub(super) struct Words {
    /// The rarest first.
    terms: Vec<Term>,
    k1: f32,
    b: f32,
    /// The terms of a chunk, on average.
    mean: f32,
}

/// A term of a query.
struct Term {
    /// Its number in each part, where it occurs.
    numbers: Vec<Option<usize>>,
    /// How many chunks hold it.
    chunks: u64,
    /// What an occurrence is worth at the most.
    weight: f32,
}

/// The scores so far of the chunks of a part.
struct Sums {
    scores: Vec<f32>,
    /// The positions of the chunks that may be among the best.
    found: Vec<u32>,
}

#[expect(clippy::cast_precision_loss, reason = "statistics need not be exact")]
fn float(number: u64) -> f32 {
    number as f32
}

/// How many chunks of the part that are alive hold the term.
fn count(part: &Part, term: usize) -> u64 {
    if part.whole() {
        return u64::from(part.segment.postings.count(term));
    }
    let mut count = 0;
    part.segment.postings.each(term, |position, _| {
        count += u64::from(part.alive.set.contains(position as usize));
    });
    count
}

impl Words {
    pub(super) fn new(snapshot: &Snapshot, tools: &Tools, text: &str) -> Self {
        let parts = &snapshot.parts;
        let mut times: BTreeMap<String, u64> = BTreeMap::new();
        for term in tools.analyzer.all_terms(text) {
            *times.entry(term).or_default() += 1;
        }
        let all: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let words: u64 = parts.iter().map(|part| part.alive.terms).sum();
        let Bm25 { k1, b } = tools.settings.bm25;
        let term = |(term, times): (String, u64)| {
            let numbers: Vec<_> =
                parts.iter().map(|part| part.segment.postings.find(&term)).collect();
            let each = parts.iter().zip(&numbers);
            let chunks = each.filter_map(|(part, number)| Some(count(part, (*number)?))).sum();
            let holding = float(chunks);
            let rarity = (1.0 + (float(all) - holding + 0.5) / (holding + 0.5)).ln();
            Term { numbers, chunks, weight: rarity * (k1 + 1.0) * float(times) }
        };
        let mut terms: Vec<Term> = times.into_iter().map(term).collect();
        terms.retain(|term| term.chunks > 0);
        terms.sort_by_key(|term| term.chunks);
        terms.truncate(MAX_TERMS);
        let mean = (float(words) / float(all.max(1))).max(1.0);
        Self { terms, k1, b, mean }
    }

    /// What a term adds to the score of a chunk of so many terms.
    #[inline]
    fn part(&self, weight: f32, occurrences: u32, length: u32) -> f32 {
        let occurrences = float(u64::from(occurrences));
        let length = float(u64::from(length));
        let damping = self.k1 * (1.0 - self.b + self.b * length / self.mean);
        weight * occurrences / (occurrences + damping)
    }

    /// The score of a chunk; nothing where no word of the query occurs.
    pub(super) fn score(&self, snapshot: &Snapshot, spot: Spot) -> Option<f32> {
        let index = spot.part as usize;
        let postings = &snapshot.parts[index].segment.postings;
        let length = postings.lengths()[spot.position as usize];
        let mut score = 0.0;
        for Term { numbers, weight, .. } in &self.terms {
            let Some(number) = numbers[index] else { continue };
            let occurrences = postings.cursor(number).occurrences(spot.position);
            if occurrences > 0 {
                score += self.part(*weight, occurrences, length);
            }
        }
        (score > 0.0).then_some(score)
    }

    /// At most so many chunks with the greatest scores, and the scores; the best first.
    pub(super) fn best(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
        wanted: usize,
    ) -> Vec<(Spot, f32)> {
        let sums = |part: &Part| Sums { scores: vec![0.0; part.segment.len()], found: Vec::new() };
        let mut sums: Vec<Sums> = snapshot.parts.iter().map(sums).collect();
        let rest = self.rest(snapshot);
        let mut taken = 0;
        while taken < self.terms.len() {
            let found: u64 = sums.iter().map(|sums| sums.found.len() as u64).sum();
            let ahead: u64 = self.terms[taken..].iter().map(|term| term.chunks).sum();
            if ahead > found * BOUND_COST && reached(&sums, wanted) > rest[taken] {
                break;
            }
            self.add(snapshot, selection, &self.terms[taken], &mut sums);
            taken += 1;
        }
        for (term, rest) in self.terms.iter().zip(&rest).skip(taken) {
            let least = reached(&sums, wanted);
            for (index, Sums { scores, found }) in sums.iter_mut().enumerate() {
                found.retain(|position| scores[*position as usize] + rest >= least);
                found.sort_unstable();
                self.look_up(snapshot, term, index, found, scores);
            }
        }

        let mut shortlist = Shortlist::new(snapshot, wanted);
        for (index, Sums { scores, found }) in sums.iter().enumerate() {
            for position in found.iter().map(|position| *position as usize) {
                shortlist.push(scores[position], || Spot::new(index, position));
            }
        }
        let mut best: Vec<_> =
            shortlist.finish().into_iter().map(|(score, spot)| (spot, score)).collect();
        sort(snapshot, &mut best, |(spot, score)| (*score, *spot));
        best
    }

    /// The most that each term and those after it add to a score.
    fn rest(&self, snapshot: &Snapshot) -> Vec<f32> {
        let mut rest = vec![0.0; self.terms.len()];
        let mut sum = 0.0;
        for (rest, Term { numbers, weight, .. }) in rest.iter_mut().zip(&self.terms).rev() {
            let each = snapshot.parts.iter().zip(numbers);
            let most = each.filter_map(|(part, number)| {
                let peak = part.segment.postings.peak((*number)?);
                Some(self.part(*weight, peak.occurrences, peak.length))
            });
            sum += most.fold(0.0, f32::max) * ROUNDING;
            *rest = sum;
        }
        rest
    }

    /// Adds a term to the scores of all chunks that hold it.
    fn add(&self, snapshot: &Snapshot, selection: &Selection, term: &Term, sums: &mut [Sums]) {
        for (index, Sums { scores, found }) in sums.iter_mut().enumerate() {
            let Some(number) = term.numbers[index] else { continue };
            let postings = &snapshot.parts[index].segment.postings;
            let (lengths, set) = (postings.lengths(), selection.set(snapshot, index));
            postings.each(number, |position, occurrences| {
                let place = position as usize;
                if !set.contains(place) {
                    return;
                }
                if scores[place] == 0.0 {
                    found.push(position);
                }
                scores[place] += self.part(term.weight, occurrences, lengths[place]);
            });
        }
    }

    /// Adds a term to the scores of some chunks of a part, whose positions ascend.
    fn look_up(
        &self,
        snapshot: &Snapshot,
        term: &Term,
        index: usize,
        found: &[u32],
        scores: &mut [f32],
    ) {
        let Some(number) = term.numbers[index] else { return };
        let postings = &snapshot.parts[index].segment.postings;
        let mut cursor = postings.cursor(number);
        for position in found {
            let occurrences = cursor.occurrences(*position);
            if occurrences > 0 {
                let place = *position as usize;
                scores[place] += self.part(term.weight, occurrences, postings.lengths()[place]);
            }
        }
    }
}

/// The greatest score that so many chunks have; below all if there are fewer.
fn reached(sums: &[Sums], wanted: usize) -> f32 {
    let each = sums
        .iter()
        .flat_map(|Sums { scores, found }| found.iter().map(|position| scores[*position as usize]));
    let mut all: Vec<f32> = each.collect();
    if all.len() < wanted {
        return f32::NEG_INFINITY;
    }
    let (_, least, _) = all.select_nth_unstable_by(wanted - 1, |one, other| other.total_cmp(one));
    *least
}
