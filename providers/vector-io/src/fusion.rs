//! Hybrid search by stores that search by vectors and by words: two lists become one.

use chaski_api::retrieval::Ranker;
use chaski_provider::ScoredChunk;
use std::collections::HashMap;

/// How many more chunks each list has than the answer, so that what is good in both is in both.
pub(crate) const DEPTH: usize = 4;

/// The best `max` chunks of both lists, the best first. Each list is sorted by its own scores.
pub(crate) fn fuse(
    by_vector: Vec<ScoredChunk>,
    by_words: Vec<ScoredChunk>,
    ranker: &Ranker,
    max: usize,
) -> Vec<ScoredChunk> {
    let (first, second) = (parts(&by_vector, ranker, true), parts(&by_words, ranker, false));
    let mut sums: HashMap<String, (usize, ScoredChunk)> = HashMap::new();
    let mut order = 0;
    for (found, part) in by_vector.into_iter().zip(first).chain(by_words.into_iter().zip(second)) {
        order += 1;
        sums.entry(found.chunk.id.clone())
            .and_modify(|(_, sum)| sum.score += part)
            .or_insert((order, ScoredChunk { score: part, ..found }));
    }
    let mut all: Vec<(usize, ScoredChunk)> = sums.into_values().collect();
    // Of equal ones, that which came first.
    all.sort_by(|(order, one), (other_order, other)| {
        other.score.total_cmp(&one.score).then(order.cmp(other_order))
    });
    all.into_iter().take(max).map(|(_, found)| found).collect()
}

/// What each chunk of a list adds to its sum.
fn parts(list: &[ScoredChunk], ranker: &Ranker, by_vector: bool) -> Vec<f64> {
    match ranker {
        Ranker::Rrf(rrf) => {
            let places = 1_u32..;
            places
                .take(list.len())
                .map(|place| 1.0 / (rrf.impact_factor.0 + f64::from(place)))
                .collect()
        }
        Ranker::Weighted(weighted) => {
            let alpha = weighted.alpha.0;
            normalised(list, if by_vector { alpha } else { 1.0 - alpha })
        }
        Ranker::Normalized(_) => normalised(list, 0.5),
    }
}

/// The scores from 0 for the worst to `weight` for the best; all of equal ones are best.
fn normalised(list: &[ScoredChunk], weight: f64) -> Vec<f64> {
    let scores = || list.iter().map(|found| found.score);
    let (lowest, highest) =
        scores().fold((f64::MAX, f64::MIN), |(low, high), score| (low.min(score), high.max(score)));
    let range = highest - lowest;
    scores()
        .map(|score| if range > 0.0 { weight * (score - lowest) / range } else { weight })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::{
        retrieval::{NormalizedRanker, RrfRanker, Share, WeightedRanker},
        wire::Above,
    };
    use chaski_provider::StoredChunk;

    fn list(scores: &[(&str, f64)]) -> Vec<ScoredChunk> {
        let found = |(id, score): &(&str, f64)| ScoredChunk {
            chunk: StoredChunk {
                id: (*id).to_owned(),
                content: String::new().into(),
                metadata: serde_json::Map::new(),
                expires_at: None,
            },
            score: *score,
        };
        scores.iter().map(found).collect()
    }

    fn fused(ranker: &Ranker, max: usize) -> Vec<(String, f64)> {
        let by_vector = list(&[("a", 0.9), ("b", 0.8), ("c", 0.1)]);
        let by_words = list(&[("c", 12.0), ("b", 11.0), ("d", 2.0)]);
        let found = fuse(by_vector, by_words, ranker, max);
        found.into_iter().map(|found| (found.chunk.id, found.score)).collect()
    }

    #[test]
    fn what_is_good_in_both_lists_comes_first() {
        let rrf = Ranker::Rrf(RrfRanker { impact_factor: Above(60.0) });
        let by_rank = fused(&rrf, 9);
        let ids: Vec<&str> = by_rank.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["c", "b", "a", "d"]);
        assert!((by_rank[0].1 - (1.0 / 61.0 + 1.0 / 63.0)).abs() < 1e-12);
        let normal = fused(&Ranker::Normalized(NormalizedRanker {}), 1);
        assert_eq!(normal[0].0, "b");
    }

    #[test]
    fn weights_move_the_order() {
        let weighted = |alpha| fused(&Ranker::Weighted(WeightedRanker { alpha: Share(alpha) }), 1);
        assert_eq!(weighted(1.0)[0], ("a".to_owned(), 1.0));
        assert_eq!(weighted(0.0)[0], ("c".to_owned(), 1.0));
        assert!(fuse(Vec::new(), Vec::new(), &Ranker::default(), 3).is_empty());
    }
}
