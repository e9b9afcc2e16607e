//! The nearest vectors.
//!
//! Few vectors are all held against the query in eight bits; of many, those whose signs look best,
//! until the others cannot be better by more than their signs may be off.
//! What is left is measured by the vectors as they were given, from the best on, until no other
//! can be better by more than its code may be off. Where places in a list of candidates are all
//! that counts, the eight bits give them.

use super::{
    Selection,
    collect::{Shortlist, Spot, Threshold, sort},
};
use crate::{
    Result,
    index::{Snapshot, View},
    segment::Target,
};

/// Up to so many vectors are all scanned in eight bits.
const SCAN_UP_TO: usize = 20_000;
/// The share of vectors that signs choose, as one in so many, and bounds of their number.
const SIGN_SHARE: usize = 64;
const SIGN_LEAST: usize = 1000;
const SIGN_MOST: usize = 20_000;
/// Of so many whose signs look best, one is a candidate.
const CANDIDATE_SHARE: usize = 4;
/// Beyond so many standard deviations signs are not off.
const SIGN_DEVIATIONS: f32 = 2.5;
/// Losses of many numbers add up like steps in all directions: beyond so many standard deviations
/// they are left out of account, unless the answer must be certain.
const DEVIATIONS: f32 = 5.0;

/// A query as it was given and as it meets the vectors.
pub(super) type Asked<'q> = (&'q [f32], &'q Target);

/// How sure the nearest are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Candidates, in the order of the eight bits.
    Candidates,
    /// Measured, of nearly all that could be among them.
    Measured,
    /// Measured, of all that could be among them.
    Certain,
}

/// The rank of a chunk, by the vectors as they were given or by the eight bits.
pub(super) fn rank(
    view: &View<'_>,
    (query, target): Asked<'_>,
    spot: Spot,
    exact: bool,
) -> Result<f32> {
    if !exact {
        let part = &view.snapshot.parts[spot.part as usize];
        return Ok(part.segment.vectors.near(target, spot.position as usize).0);
    }
    let mut vector = Vec::new();
    view.reading.vector(spot.row(&view.snapshot), &mut vector)?;
    Ok(target.exact(query, &vector))
}

/// At most so many chunks with the greatest ranks, and the ranks; the best first.
pub(super) fn nearest(
    view: &View<'_>,
    selection: &Selection,
    asked: Asked<'_>,
    wanted: usize,
    care: Care,
) -> Result<Vec<(Spot, f32)>> {
    let wanted = wanted.min(selection.len());
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let (target, snapshot) = (asked.1, &*view.snapshot);
    if care == Care::Candidates {
        let mut shortlist = Shortlist::new(snapshot, wanted);
        each_near(snapshot, selection, target, wanted, care, |rank, _, spot| {
            shortlist.push(rank, || spot);
        });
        let mut found: Vec<_> =
            shortlist.finish().into_iter().map(|(rank, spot)| (spot, rank)).collect();
        sort(snapshot, &mut found, |(spot, rank)| (*rank, *spot));
        return Ok(found);
    }
    let certain = care == Care::Certain;
    let share = if certain { 1.0 } else { target.deviation(DEVIATIONS) };
    let mut bounds = Bounds { least: Threshold::new(wanted), items: Vec::new(), limit: 4096 };
    each_near(snapshot, selection, target, wanted, care, |rank, margin, spot| {
        bounds.push(rank, margin * share, || spot);
    });
    let most = if certain { usize::MAX } else { 4 * wanted + 64 };
    measure(view, asked, bounds.finish(), wanted, most)
}

/// Calls with rank by eight bits, margin and place of all chunks, or of those whose signs look
/// best.
fn each_near(
    snapshot: &Snapshot,
    selection: &Selection,
    target: &Target,
    wanted: usize,
    care: Care,
    mut visit: impl FnMut(f32, f32, Spot),
) {
    let parts = || snapshot.parts.iter().enumerate();
    if care == Care::Certain || selection.len() <= SCAN_UP_TO {
        for (index, part) in parts() {
            let set = selection.set(snapshot, index);
            part.segment.vectors.scan(target, set, |at, rank, margin| {
                visit(rank, margin, Spot::new(index, at));
            });
        }
        return;
    }
    let limit = match care {
        // The last of many candidates need not be the best of those behind them.
        Care::Candidates => wanted * CANDIDATE_SHARE,
        Care::Measured | Care::Certain => {
            (selection.len() / SIGN_SHARE).clamp(SIGN_LEAST, SIGN_MOST).max(wanted * 10)
        }
    };
    let mut shortlist = Shortlist::new(snapshot, limit);
    let mut deviation = 0f32;
    for (index, part) in parts() {
        let (vectors, set) = (&part.segment.vectors, selection.set(snapshot, index));
        if let Some(own) = vectors.sign_deviation(target) {
            deviation = deviation.max(own);
            let push = |at, rank| shortlist.push(rank, || Spot::new(index, at));
            vectors.scan_signs(target, set, push);
        } else {
            vectors.scan(target, set, |at, rank, _| {
                shortlist.push(rank, || Spot::new(index, at));
            });
        }
    }
    let mut promising = shortlist.finish();
    promising.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
    let mut least = Threshold::new(wanted);
    for (rough, spot) in promising {
        if rough + SIGN_DEVIATIONS * deviation < least.value() {
            break;
        }
        let vectors = &snapshot.parts[spot.part as usize].segment.vectors;
        let (rank, margin) = vectors.near(target, spot.position as usize);
        least.push(rank);
        visit(rank, margin, spot);
    }
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
        view.reading.vector(spot.row(&view.snapshot), &mut vector)?;
        let rank = target.exact(query, &vector);
        least.push(rank);
        found.push((spot, rank));
    }
    sort(&view.snapshot, &mut found, |(spot, rank)| (*rank, *spot));
    found.truncate(wanted);
    Ok(found)
}
