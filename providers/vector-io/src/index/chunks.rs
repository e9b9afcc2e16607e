//! Chunks, filters and modes in the form of the index.

use crate::payload::own;
use chaski_api::{
    Wire,
    inference::InterleavedContent,
    retrieval::{Comparison, Filter, Operator, Ranker, Scalar, SearchMode},
};
use chaski_index::{Chunk, Fusion, Hit, MAX_QUERY, Mode};
use chaski_provider::{EmbeddedChunk, ScoredChunk, StoredChunk, Timestamp};
use serde_json::{Map, Value};

/// Content that is more than one text.
const CONTENT: &str = own!("content");

/// A chunk as the index keeps it.
pub(super) fn kept(EmbeddedChunk { chunk, vector }: EmbeddedChunk) -> Chunk {
    let text = chunk.text();
    let StoredChunk { id, content, mut metadata, expires_at } = chunk;
    if !matches!(content, InterleavedContent::Text(_)) {
        let content = serde_json::to_value(content).unwrap_or_default();
        metadata.insert(CONTENT.to_owned(), content);
    }
    let expires = expires_at.map(|at| u64::try_from(at.0).unwrap_or_default());
    Chunk { id, text, vector, metadata, expires }
}

fn stored(
    id: String,
    text: String,
    mut metadata: Map<String, Value>,
    expires: Option<u64>,
) -> StoredChunk {
    let content = metadata.shift_remove(CONTENT);
    let content = content.and_then(|content| InterleavedContent::from_json(content).ok());
    StoredChunk {
        id,
        content: content.unwrap_or(InterleavedContent::Text(text)),
        metadata,
        expires_at: expires.map(|at| Timestamp(i64::try_from(at).unwrap_or(Timestamp::MAX.0))),
    }
}

/// A chunk that was found.
pub(super) fn found(hit: Hit) -> ScoredChunk {
    let Hit { id, text, metadata, score, .. } = hit;
    ScoredChunk { chunk: stored(id, text, metadata, None), score: f64::from(score) }
}

/// A chunk that was listed.
pub(super) fn listed(chunk: Chunk) -> EmbeddedChunk {
    let Chunk { id, text, vector, metadata, expires } = chunk;
    EmbeddedChunk { chunk: stored(id, text, metadata, expires), vector }
}

/// A filter as the index takes it.
pub(super) fn filter(filter: &Filter) -> chaski_index::Filter {
    use chaski_index::Filter as To;
    let all = |filters: &[Filter]| filters.iter().map(self::filter).collect();
    match filter {
        Filter::And(filters) => To::And(all(filters)),
        Filter::Or(filters) => To::Or(all(filters)),
        Filter::Compare(Comparison { key, operator, values }) => {
            let key = key.clone();
            let value = |scalar: &Scalar| match scalar {
                Scalar::Text(text) => Value::String(text.clone()),
                Scalar::Number(number) => Value::Number(number.clone()),
                Scalar::Bool(truth) => Value::Bool(*truth),
            };
            let first = || values.first().map(value).unwrap_or_default();
            match operator {
                Operator::Eq => To::Eq(key, first()),
                Operator::Ne => To::Ne(key, first()),
                Operator::Gt => To::Gt(key, first()),
                Operator::Gte => To::Gte(key, first()),
                Operator::Lt => To::Lt(key, first()),
                Operator::Lte => To::Lte(key, first()),
                Operator::In => To::In(key, values.iter().map(value).collect()),
                Operator::Nin => To::Nin(key, values.iter().map(value).collect()),
            }
        }
    }
}

/// A mode as the index takes it.
pub(super) fn mode(mode: SearchMode, ranker: &Ranker) -> Mode {
    #[expect(clippy::cast_possible_truncation, reason = "weights are small numbers")]
    let narrow = |number: f64| number as f32;
    match mode {
        SearchMode::Vector => Mode::Vector,
        SearchMode::Keyword => Mode::Keyword,
        SearchMode::Hybrid => Mode::Hybrid(match ranker {
            Ranker::Rrf(rrf) => {
                Fusion::ReciprocalRank { k: narrow(rrf.impact_factor.0), vector: 1.0, keyword: 1.0 }
            }
            Ranker::Weighted(weighted) => Fusion::Weighted { alpha: narrow(weighted.alpha.0) },
            Ranker::Normalized(_) => Fusion::Normalized { alpha: 0.5 },
        }),
    }
}

/// As much of a query as the index takes.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUERY)]
}
