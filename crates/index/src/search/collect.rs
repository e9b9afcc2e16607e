//! Keeping the best of many.

use crate::index::Snapshot;
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Where a chunk is in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) part: u32,
    pub(crate) position: u32,
}

impl Spot {
    pub(crate) fn new(part: usize, position: usize) -> Self {
        Self { part: crate::segment::narrow(part), position: crate::segment::narrow(position) }
    }

    pub(crate) fn row(self, snapshot: &Snapshot) -> u64 {
        snapshot.parts[self.part as usize].segment.rows[self.position as usize]
    }

    pub(crate) fn id(self, snapshot: &Snapshot) -> &str {
        snapshot.parts[self.part as usize].segment.ids.get(self.position as usize)
    }
}

/// A score by which a heap can be ordered.
#[derive(PartialEq)]
struct Total(f32);

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The greater score first, then the smaller id.
fn order(snapshot: &Snapshot, one: (f32, Spot), other: (f32, Spot)) -> Ordering {
    other.0.total_cmp(&one.0).then_with(|| one.1.id(snapshot).cmp(other.1.id(snapshot)))
}

pub(super) fn sort<T>(snapshot: &Snapshot, list: &mut [T], key: impl Fn(&T) -> (f32, Spot)) {
    list.sort_by(|one, other| order(snapshot, key(one), key(other)));
}

/// The greatest value that so many values reach.
pub(super) struct Threshold {
    wanted: usize,
    heap: BinaryHeap<Reverse<Total>>,
}

impl Threshold {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, heap: BinaryHeap::with_capacity(wanted + 1) }
    }

    pub(super) fn push(&mut self, value: f32) {
        if self.heap.len() < self.wanted {
            self.heap.push(Reverse(Total(value)));
        } else if value > self.value() {
            self.heap.pop();
            self.heap.push(Reverse(Total(value)));
        }
    }

    /// Below all values as long as there are too few.
    #[inline]
    pub(super) fn value(&self) -> f32 {
        match self.heap.peek() {
            Some(Reverse(Total(value))) if self.heap.len() >= self.wanted => *value,
            _ => f32::NEG_INFINITY,
        }
    }
}

/// The best of a stream, by score and id.
pub(super) struct Shortlist<'s> {
    snapshot: &'s Snapshot,
    limit: usize,
    items: Vec<(f32, Spot)>,
    least: f32,
}

impl<'s> Shortlist<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, limit: usize) -> Self {
        Self { snapshot, limit, items: Vec::with_capacity(2 * limit), least: f32::NEG_INFINITY }
    }

    #[inline]
    pub(super) fn push(&mut self, score: f32, spot: impl FnOnce() -> Spot) {
        if score >= self.least {
            self.items.push((score, spot()));
            if self.items.len() >= 2 * self.limit {
                self.trim();
            }
        }
    }

    fn trim(&mut self) {
        if self.items.len() > self.limit {
            let snapshot = self.snapshot;
            self.items
                .select_nth_unstable_by(self.limit - 1, |one, other| order(snapshot, *one, *other));
            self.items.truncate(self.limit);
            self.least = self.items[self.limit - 1].0;
        }
    }

    /// In no order.
    pub(super) fn finish(mut self) -> Vec<(f32, Spot)> {
        self.trim();
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_the_value_that_enough_reach() {
        let mut threshold = Threshold::new(2);
        threshold.push(1.0);
        assert!(threshold.value() < -1e30);
        for value in [5.0, -3.0, 4.0] {
            threshold.push(value);
        }
        assert!((threshold.value() - 4.0).abs() < f32::EPSILON);
    }
}
