//! Which target of a model a request tries next.

use crate::table::Placed;
use chaski_api::routing::Strategy;
use chaski_provider::Resource;
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A source of random numbers that many requests draw from without waiting (`SplitMix64`: a counter
/// whose every value is mixed by itself).
pub(crate) struct Dice(AtomicU64);

impl Default for Dice {
    fn default() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }
}

impl Dice {
    /// The same numbers for the same `seed`.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `end`, which is not 0.
    fn below(&self, end: u64) -> u64 {
        let mut mixed = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The high half of the product is evenly spread for numbers as small as these.
        let product = u128::from(mixed) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or_default()
    }
}

/// Some of the places of a model, by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Set(u32);

impl Set {
    pub(crate) const EMPTY: Self = Self(0);

    /// The first `count` places.
    pub(crate) fn first(count: usize) -> Self {
        Self((0..count.min(32)).fold(0, |bits, index| bits | 1 << index))
    }

    /// Those that are not in `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn contains(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    pub(crate) fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.0 &= !(1 << index);
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..32).filter(move |index| self.contains(*index))
    }
}

/// Which of `open`, which is not empty, is tried next.
pub(crate) fn choose<R: Resource>(placed: &Placed<R>, open: Set, dice: &Dice) -> usize {
    let first = open.iter().next().unwrap_or_default();
    let weight = |index: usize| placed.places[index].weight;
    match placed.strategy {
        Strategy::Fallback => first,
        Strategy::Weighted => {
            let mut left = dice.below(open.iter().map(weight).sum());
            let drawn = open.iter().find(|index| {
                let within = left < weight(*index);
                left = left.saturating_sub(weight(*index));
                within
            });
            drawn.unwrap_or(first)
        }
        Strategy::LeastBusy => {
            let busy = |index: usize| placed.places[index].load.under_way() as u64;
            let (mut best, mut best_busy, mut ties) = (first, busy(first), 1);
            for index in open.iter().skip(1) {
                let this = busy(index);
                // Requests per weight, compared without dividing.
                let ours = this.saturating_mul(weight(best));
                let theirs = best_busy.saturating_mul(weight(index));
                ties = if ours < theirs { 1 } else { ties + u64::from(ours == theirs) };
                if ours < theirs || ours == theirs && dice.below(ties) == 0 {
                    (best, best_busy) = (index, this);
                }
            }
            best
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, Set, choose};
    use crate::table::{Placed, placed};
    use chaski_api::{Wire, models::Model};
    use serde_json::json;

    /// A model with a target of each weight.
    fn model(strategy: &str, weights: &[i64]) -> Placed<Model> {
        let targets: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| json!({ "provider_id": format!("p{index}"), "weight": weight }))
            .collect();
        let routing = json!({ "strategy": strategy, "targets": targets });
        let model = Model::from_json(json!({
            "identifier": "m", "provider_resource_id": "m", "provider_id": "p0",
            "metadata": { "routing": routing },
        }));
        placed(model.unwrap())
    }

    fn shares(placed: &Placed<Model>, open: Set, draws: usize) -> Vec<usize> {
        let dice = Dice::seeded(7);
        let mut shares = vec![0; placed.places.len()];
        for _ in 0..draws {
            shares[choose(placed, open, &dice)] += 1;
        }
        shares
    }

    #[test]
    fn fallback_takes_the_first_that_is_open() {
        let model = model("fallback", &[1, 100, 1]);
        let mut open = Set::first(3);
        assert_eq!(shares(&model, open, 10), [10, 0, 0]);
        open.remove(0);
        assert_eq!(shares(&model, open, 10), [0, 10, 0]);
    }

    #[test]
    fn weights_are_shares_of_the_requests() {
        let model = model("weighted", &[3, 1, 6]);
        let found = shares(&model, Set::first(3), 10_000);
        for (found, expected) in found.iter().zip([3_000_usize, 1_000, 6_000]) {
            assert!(found.abs_diff(expected) < 200, "{found} for {expected}");
        }
        let mut open = Set::first(3);
        open.remove(2);
        let found = shares(&model, open, 10_000);
        assert!(found[0].abs_diff(7_500) < 200 && found[2] == 0, "{found:?}");
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let model = model("weighted", &[1, 1]);
        let draw = |seed| {
            let dice = Dice::seeded(seed);
            (0..50).map(|_| choose(&model, Set::first(2), &dice)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_least_busy_is_the_one_with_the_fewest_requests_for_its_weight() {
        let model = model("least-busy", &[1, 1, 2]);
        let enter = |index: usize| model.places[index].load.enter();
        let held = [enter(0), enter(1), enter(2)];
        assert_eq!(shares(&model, Set::first(3), 10), [0, 0, 10], "half as busy for its weight");
        let more = enter(2);
        let found = shares(&model, Set::first(3), 9_000);
        assert!(found.iter().all(|share| share.abs_diff(3_000) < 300), "a tie is drawn: {found:?}");
        drop(held);
        assert_eq!(shares(&model, Set::first(1), 5), [5, 0, 0]);
        let mut open = Set::first(3);
        open.remove(0);
        open.remove(1);
        assert_eq!(shares(&model, open, 5), [0, 0, 5], "there is no other");
        drop(more);
    }
}
