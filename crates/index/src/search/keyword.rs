//! BM25 over the whole snapshot: the scores do not depend on how chunks are divided into segments.

use super::{
    Selection,
    collect::{Shortlist, Spot, sort},
};
use crate::{
    Bm25,
    index::View,
    segment::{Part, Tools},
};
use std::collections::BTreeMap;

/// Of a longer query only the rarest terms count.
const MAX_TERMS: usize = 256;

/// The score of every chunk, by part and position; 0 where no word of the query occurs.
pub(super) struct Scores(Vec<Vec<f32>>);

/// A term of a query.
struct Term {
    /// Its number in each part, where it occurs.
    numbers: Vec<Option<usize>>,
    /// How many chunks hold it.
    chunks: u64,
    /// How often the query holds it.
    times: f32,
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

impl Scores {
    pub(super) fn new(view: &View<'_>, tools: &Tools, text: &str) -> Self {
        let parts = &view.snapshot.parts;
        let mut times: BTreeMap<String, u64> = BTreeMap::new();
        for term in tools.analyzer.all_terms(text) {
            *times.entry(term).or_default() += 1;
        }
        let term = |(term, times): (String, u64)| {
            let numbers: Vec<_> =
                parts.iter().map(|part| part.segment.postings.find(&term)).collect();
            let each = parts.iter().zip(&numbers);
            let chunks = each.filter_map(|(part, number)| Some(count(part, (*number)?))).sum();
            Term { numbers, chunks, times: float(times) }
        };
        let mut terms: Vec<Term> = times.into_iter().map(term).collect();
        terms.retain(|term| term.chunks > 0);
        terms.sort_by_key(|term| term.chunks);
        terms.truncate(MAX_TERMS);

        let chunks: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let words: u64 = parts.iter().map(|part| part.alive.terms).sum();
        let Bm25 { k1, b } = tools.settings.bm25;
        let mean = (float(words) / float(chunks.max(1))).max(1.0);
        let score = |(index, part): (usize, &Part)| {
            let mut scores = vec![0f32; part.segment.len()];
            let postings = &part.segment.postings;
            let lengths = postings.lengths();
            for term in &terms {
                let Some(number) = term.numbers[index] else { continue };
                let holding = float(term.chunks);
                let rarity = (1.0 + (float(chunks) - holding + 0.5) / (holding + 0.5)).ln();
                let weight = rarity * (k1 + 1.0) * term.times;
                postings.each(number, |position, occurrences| {
                    let length = float(u64::from(lengths[position as usize]));
                    let occurrences = float(u64::from(occurrences));
                    let damping = k1 * (1.0 - b + b * length / mean);
                    scores[position as usize] += weight * occurrences / (occurrences + damping);
                });
            }
            scores
        };
        Self(parts.iter().enumerate().map(score).collect())
    }

    pub(super) fn get(&self, spot: Spot) -> Option<f32> {
        let score = self.0[spot.part as usize][spot.position as usize];
        (score > 0.0).then_some(score)
    }

    /// At most so many chunks with the greatest scores, and the scores; the best first.
    pub(super) fn best(
        &self,
        view: &View<'_>,
        selection: &Selection,
        wanted: usize,
    ) -> Vec<(Spot, f32)> {
        let mut shortlist = Shortlist::new(view, wanted);
        for (index, scores) in self.0.iter().enumerate() {
            selection.set(view, index).each(|position| {
                let score = scores[position];
                if score > 0.0 {
                    shortlist.push(score, || Spot::new(index, position));
                }
            });
        }
        let mut best: Vec<_> =
            shortlist.finish().into_iter().map(|(score, spot)| (spot, score)).collect();
        sort(view, &mut best, |(spot, score)| (*score, *spot));
        best
    }
}
