//! The search by words against a computation that leaves nothing out.
#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use chaski_index::{Bm25, Chunk, Filter, Index, Query, Settings, StopWords, TextSettings};
use std::collections::HashMap;

const CHUNKS: usize = 3000;

/// A well spread number for each state.
fn mixed(state: u64) -> u64 {
    let mut mixed = state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 29)
}

/// A few words are in nearly every text, most in hardly any.
fn word(state: u64) -> String {
    let bits = mixed(state) % 12;
    format!("w{}", (mixed(state + 7) % (1 << bits)).max(1))
}

fn text(number: u64) -> String {
    let length = 3 + mixed(number) % 40;
    (0..length).map(|place| word(number * 1000 + place)).collect::<Vec<_>>().join(" ")
}

/// The scores of texts that have one.
fn scores(texts: &HashMap<String, String>, query: &str, bm25: Bm25) -> HashMap<String, f64> {
    let (k1, b) = (f64::from(bm25.k1), f64::from(bm25.b));
    let all = texts.len() as f64;
    let words: usize = texts.values().map(|text| text.split(' ').count()).sum();
    let mean = words as f64 / all;
    let mut scores: HashMap<String, f64> = HashMap::new();
    for term in query.split(' ') {
        let times = |text: &str| text.split(' ').filter(|word| *word == term).count() as f64;
        let holding = texts.values().filter(|text| times(text) > 0.0).count() as f64;
        let rarity = (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln();
        for (id, text) in texts {
            let (times, length) = (times(text), text.split(' ').count() as f64);
            if times > 0.0 {
                let damped = times + k1 * (1.0 - b + b * length / mean);
                *scores.entry(id.clone()).or_default() += rarity * (k1 + 1.0) * times / damped;
            }
        }
    }
    scores
}

#[test]
fn the_best_by_words_are_those_of_a_full_computation() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        text: TextSettings { language: None, stop_words: StopWords::None, ..Default::default() },
        ..Settings::new(2)
    };
    let index = Index::create(folder.path().join("index"), &settings).unwrap();
    let mut texts: HashMap<String, String> = HashMap::new();
    let chunks: Vec<Chunk> = (0..CHUNKS)
        .map(|number| {
            let (id, text) = (format!("{number:05}"), text(number as u64));
            texts.insert(id.clone(), text.clone());
            Chunk::new(id, text, vec![1.0, number as f32]).with("third", number % 3)
        })
        .collect();
    for batch in chunks.chunks(900) {
        index.upsert(batch).unwrap();
    }
    let third = Filter::eq("third", 1);
    let check = |texts: &HashMap<String, String>| {
        for seed in 0..20u64 {
            let length = 1 + mixed(seed) % 6;
            let query: Vec<String> =
                (0..length).map(|place| word(1_000_000_000 + seed * 10 + place)).collect();
            let query = query.join(" ");
            let expected = scores(texts, &query, settings.bm25);
            for (k, filter) in [(1, None), (10, None), (100, None), (10, Some(&third))] {
                let asked = Query { filter, ..Query::keyword(&query) };
                let hits = index.search(&asked.top(k)).unwrap();
                let allowed = |id: &str| filter.is_none() || id.parse::<usize>().unwrap() % 3 == 1;
                let mut best: Vec<f64> = expected
                    .iter()
                    .filter(|(id, _)| allowed(id))
                    .map(|(_, score)| *score)
                    .collect();
                best.sort_by(|one, other| other.total_cmp(one));
                best.truncate(k);
                assert_eq!(hits.len(), best.len(), "{query}");
                for (hit, best) in hits.iter().zip(best) {
                    let own = expected[&hit.id];
                    assert!((own - best).abs() < 1e-4, "{query}: {} has {own}, not {best}", hit.id);
                    assert!((f64::from(hit.score) - own).abs() < 1e-4, "{query}: {hit:?}, {own}");
                }
            }
            for hit in index.search(&Query::hybrid(&[1.0, 1e-3], &query)).unwrap() {
                let own = expected.get(&hit.id);
                let found = hit.keyword_score.map(f64::from);
                assert_eq!(found.is_some(), own.is_some(), "{query}: {hit:?}");
                assert!((found.unwrap_or(0.0) - own.unwrap_or(&0.0)).abs() < 1e-4, "{query}");
            }
        }
    };
    check(&texts);
    let gone: Vec<String> = (0..CHUNKS).step_by(5).map(|number| format!("{number:05}")).collect();
    index.delete(&gone.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    texts.retain(|id, _| !gone.contains(id));
    check(&texts);
    index.compact().unwrap();
    check(&texts);
}
