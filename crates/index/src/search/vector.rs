//! The nearest vectors.
//!
//! Few vectors are all held against the query in eight bits; of many, those whose signs look best.
//! What is left is measured by the vectors as they were given, from the best on, until no other
//! can be better by more than its code may be off.

use super::{
    Selection,
    collect::{Shortlist, Spot, Threshold, sort},
};
use crate::{Result, index::View, segment::Target};

/// Up to so many vectors are all scanned in eight bits.
const SCAN_UP_TO: usize = 20_000;
/// The share of vectors that signs choose, as one in so many, and bounds of their number.
const SIGN_SHARE: usize = 64;
const SIGN_LEAST: usize = 1000;
const SIGN_MOST: usize = 20_000;
/// Losses of many numbers add up like steps in all directions: beyond so many standard deviations
/// they are left out of account, unless the answer must be certain.
const DEVIATIONS: f32 = 5.0;

/// A query as it was given and as it meets the vectors.
pub(super) type Asked<'q> = (&'q [f32], &'q Target);

/// The rank by the vectors as they were given.
pub(super) fn rank(view: &View<'_>, (query, target): Asked<'_>, spot: Spot) -> Result<f32> {
    let mut vector = Vec::new();
    view.reading.vector(spot.row(view), &mut vector)?;
    Ok(target.exact(query, &vector))
}

/// At most so many chunks with the greatest ranks, and the ranks; the best first.
pub(super) fn nearest(
    view: &View<'_>,
    selection: &Selection,
    asked: Asked<'_>,
    wanted: usize,
    exact: bool,
) -> Result<Vec<(Spot, f32)>> {
    let wanted = wanted.min(selection.len());
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let target = asked.1;
    let share = if exact { 1.0 } else { target.deviation(DEVIATIONS) };
    let mut bounds = Bounds { least: Threshold::new(wanted), items: Vec::new(), limit: 4096 };
    let parts = view.snapshot.parts.iter().enumerate();
    if exact || selection.len() <= SCAN_UP_TO {
        for (index, part) in parts {
            part.segment.vectors.scan(target, selection.set(view, index), |at, rank, margin| {
                bounds.push(rank, margin * share, || Spot::new(index, at));
            });
        }
    } else {
        let limit = (selection.len() / SIGN_SHARE).clamp(SIGN_LEAST, SIGN_MOST).max(wanted * 10);
        let mut shortlist = Shortlist::new(view, limit);
        for (index, part) in parts {
            let (vectors, set) = (&part.segment.vectors, selection.set(view, index));
            if vectors.has_signs() {
                let push = |at, rank| shortlist.push(rank, || Spot::new(index, at));
                vectors.scan_signs(target, set, push);
            } else {
                vectors.scan(target, set, |at, rank, _| {
                    shortlist.push(rank, || Spot::new(index, at));
                });
            }
        }
        for (_, spot) in shortlist.finish() {
            let vectors = &view.snapshot.parts[spot.part as usize].segment.vectors;
            let (rank, margin) = vectors.near(target, spot.position as usize);
            bounds.push(rank, margin * share, || spot);
        }
    }
    let most = if exact { usize::MAX } else { 4 * wanted + 64 };
    measure(view, asked, bounds.finish(), wanted, most)
}

/// Chunks with the greatest rank that they can have.
struct Bounds {
    /// Of the ranks that chunks have at least.
    least: Threshold,
    items: Vec<(f32, Spot)>,
    limit: usize,
}

impl Bounds {
    #[inline]
    fn push(&mut self, rank: f32, margin: f32, spot: impl FnOnce() -> Spot) {
        if rank + margin >= self.least.value() {
            self.least.push(rank - margin);
            self.items.push((rank + margin, spot()));
            if self.items.len() >= self.limit {
                self.trim();
                self.limit = (2 * self.items.len()).max(4096);
            }
        }
    }

    fn trim(&mut self) {
        let least = self.least.value();
        self.items.retain(|(most, _)| *most >= least);
    }

    /// The most promising first.
    fn finish(mut self) -> Vec<(f32, Spot)> {
        self.trim();
        self.items.sort_unstable_by(|one, other| {
            let places = |spot: Spot| (spot.part, spot.position);
            other.0.total_cmp(&one.0).then_with(|| places(one.1).cmp(&places(other.1)))
        });
        self.items
    }
}

fn measure(
    view: &View<'_>,
    (query, target): Asked<'_>,
    promising: Vec<(f32, Spot)>,
    wanted: usize,
    most: usize,
) -> Result<Vec<(Spot, f32)>> {
    let mut least = Threshold::new(wanted);
    let mut found = Vec::new();
    let mut vector = Vec::new();
    for (bound, spot) in promising.into_iter().take(most) {
        if bound < least.value() {
            break;
        }
        view.reading.vector(spot.row(view), &mut vector)?;
        let rank = target.exact(query, &vector);
        least.push(rank);
        found.push((spot, rank));
    }
    sort(view, &mut found, |(spot, rank)| (*rank, *spot));
    found.truncate(wanted);
    Ok(found)
}
