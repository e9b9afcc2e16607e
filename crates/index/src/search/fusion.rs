//! Two lists of candidates as one.

use super::{Candidate, Fusion, collect::Spot};
use crate::{Result, segment::Target};
use std::collections::HashMap;

/// The candidates of both lists, each once, with their ranks from 1 on.
pub(super) struct Lists {
    candidates: Vec<Candidate>,
    ranks: Vec<[Option<f32>; 2]>,
}

impl Fusion {
    /// Whether a candidate of one list needs its score in the other.
    pub(super) fn needs_all_scores(self) -> bool {
        match self {
            Self::ReciprocalRank { .. } => false,
            Self::Weighted { .. } | Self::Normalized { .. } => true,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most as many as there are candidates")]
fn float(number: usize) -> f32 {
    number as f32
}

impl Lists {
    /// From the nearest with their ranks by the metric, and the best by keyword with their scores.
    pub(super) fn new(
        near: &[(Spot, f32)],
        best: &[(Spot, f32)],
        target: &Target,
        by_words: impl Fn(Spot) -> Option<f32>,
    ) -> Self {
        let mut lists = Self { candidates: Vec::new(), ranks: Vec::new() };
        let mut places = HashMap::new();
        for (index, (spot, rank)) in near.iter().enumerate() {
            places.insert(*spot, index);
            let vector = Some(target.score(*rank));
            let keyword = by_words(*spot);
            lists.candidates.push(Candidate { spot: *spot, score: 0.0, vector, keyword });
            lists.ranks.push([Some(float(index + 1)), None]);
        }
        for (index, (spot, score)) in best.iter().enumerate() {
            let rank = Some(float(index + 1));
            if let Some(place) = places.get(spot) {
                lists.ranks[*place][1] = rank;
                continue;
            }
            let keyword = Some(*score);
            lists.candidates.push(Candidate { spot: *spot, score: 0.0, vector: None, keyword });
            lists.ranks.push([None, rank]);
        }
        lists
    }

    /// Gives a score by vector to those that have none.
    pub(super) fn complete(
        &mut self,
        rank: impl Fn(Spot) -> Result<f32>,
        target: &Target,
    ) -> Result<()> {
        for candidate in self.candidates.iter_mut().filter(|candidate| candidate.vector.is_none()) {
            candidate.vector = Some(target.score(rank(candidate.spot)?));
        }
        Ok(())
    }

    pub(super) fn fuse(mut self, fusion: Fusion) -> Vec<Candidate> {
        match fusion {
            Fusion::ReciprocalRank { k, vector, keyword } => {
                for (candidate, ranks) in self.candidates.iter_mut().zip(&self.ranks) {
                    let part = |rank: Option<f32>, weight: f32| {
                        rank.map_or(0.0, |rank| weight / (k + rank))
                    };
                    candidate.score = part(ranks[0], vector) + part(ranks[1], keyword);
                }
            }
            Fusion::Weighted { alpha } => self.sum(alpha, linear),
            Fusion::Normalized { alpha } => self.sum(alpha, by_deviation),
        }
        self.candidates
    }

    fn sum(&mut self, alpha: f32, scale: fn(&[f32]) -> Scale) {
        let values = |of: fn(&Candidate) -> Option<f32>| -> Vec<f32> {
            self.candidates.iter().filter_map(of).collect()
        };
        let vector = scale(&values(|candidate| candidate.vector));
        let keyword = scale(&values(|candidate| candidate.keyword));
        for candidate in &mut self.candidates {
            candidate.score = alpha * candidate.vector.map_or(0.0, &vector)
                + (1.0 - alpha) * candidate.keyword.map_or(0.0, &keyword);
        }
    }
}

/// Brings scores to another scale.
type Scale = Box<dyn Fn(f32) -> f32>;

/// From 0 for the lowest to 1 for the highest; 1 if all are the same.
fn linear(values: &[f32]) -> Scale {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Box::new(move |value| if high > low { (value - low) / (high - low) } else { 1.0 })
}

/// From 0 three standard deviations below the mean to 1 three above; a half if all are the same.
fn by_deviation(values: &[f32]) -> Scale {
    let count = float(values.len().max(1));
    let mean = values.iter().sum::<f32>() / count;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
    let deviation = variance.sqrt();
    Box::new(move |value| {
        if deviation > 0.0 {
            ((value - mean) / (6.0 * deviation) + 0.5).clamp(0.0, 1.0)
        } else {
            0.5
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(scores: &[(Option<f32>, Option<f32>)], ranks: &[[Option<f32>; 2]]) -> Lists {
        let candidate = |(index, (vector, keyword)): (usize, &(Option<f32>, Option<f32>))| {
            Candidate { spot: Spot::new(0, index), score: 0.0, vector: *vector, keyword: *keyword }
        };
        let candidates = scores.iter().enumerate().map(candidate).collect();
        Lists { candidates, ranks: ranks.to_vec() }
    }

    fn check(lists: Lists, fusion: Fusion, expected: &[f32]) {
        let scores: Vec<f32> = lists.fuse(fusion).iter().map(|found| found.score).collect();
        assert_eq!(scores.len(), expected.len());
        for (score, expected) in scores.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-5, "{scores:?}");
        }
    }

    #[test]
    fn ranks_are_fused_by_their_reciprocals() {
        let given = || lists(&[(None, None); 2], &[[Some(1.0), Some(2.0)], [None, Some(1.0)]]);
        let usual = Fusion::ReciprocalRank { k: 60.0, vector: 1.0, keyword: 1.0 };
        check(given(), usual, &[1.0 / 61.0 + 1.0 / 62.0, 1.0 / 61.0]);
        let weighted = Fusion::ReciprocalRank { k: 0.0, vector: 2.0, keyword: 1.0 };
        check(given(), weighted, &[2.5, 1.0]);
    }

    #[test]
    fn scores_are_fused_after_they_are_brought_to_one_scale() {
        let given = || {
            let scores = [(Some(0.9), Some(8.0)), (Some(0.5), None), (Some(0.7), Some(4.0))];
            lists(&scores, &[[None; 2]; 3])
        };
        check(given(), Fusion::Weighted { alpha: 0.5 }, &[1.0, 0.0, 0.25]);
        check(given(), Fusion::Weighted { alpha: 1.0 }, &[1.0, 0.0, 0.5]);
        let spread = (1.5f32).sqrt() / 6.0;
        check(given(), Fusion::Normalized { alpha: 1.0 }, &[0.5 + spread, 0.5 - spread, 0.5]);
        check(given(), Fusion::Normalized { alpha: 0.0 }, &[0.5 + 1.0 / 6.0, 0.0, 0.5 - 1.0 / 6.0]);
        let same = || lists(&[(Some(0.3), Some(2.0)); 2], &[[None; 2]; 2]);
        check(same(), Fusion::Weighted { alpha: 0.3 }, &[1.0, 1.0]);
        check(same(), Fusion::Normalized { alpha: 0.3 }, &[0.5, 0.5]);
    }
}
