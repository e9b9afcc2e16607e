//! Queries and hits, and how one becomes the other.

mod collect;
mod fusion;
mod keyword;
mod vector;

use crate::{
    Error, Filter, Result,
    bitmap::Bitmap,
    chunk,
    index::{Snapshot, View},
    segment::{Target, Tools},
};
use serde_json::{Map, Value};
use vector::Care;

pub(crate) use collect::Spot;

/// The most hits of a query, and the most candidates.
pub const MAX_HITS: usize = 10_000;
/// The longest text of a query, in bytes.
pub const MAX_QUERY: usize = 64 << 10;
/// Candidates of each kind, unless the query says how many.
const CANDIDATES: usize = 100;

/// What is looked for.
#[derive(Clone, Copy)]
pub struct Query<'q> {
    /// Needed by the modes `Vector` and `Hybrid`.
    pub vector: Option<&'q [f32]>,
    /// Needed by the modes `Keyword` and `Hybrid`, and by a reranker.
    pub text: Option<&'q str>,
    pub mode: Mode,
    /// The most hits, 1 to [`MAX_HITS`].
    pub k: usize,
    /// Only chunks that satisfy it are found.
    pub filter: Option<&'q Filter>,
    /// Hits with a lower score are left out.
    pub min_score: Option<f32>,
    /// How many of the best by vector and by keyword are fused, or given to the reranker: `k` to
    /// [`MAX_HITS`]. 100 or `k`, whichever is more, if absent.
    pub candidates: Option<usize>,
    /// The nearest vectors are found for certain, however long it takes. Otherwise they are in
    /// collections of up to 20,000 chunks that satisfy the filter, and nearly always in others; and
    /// a hybrid search takes vectors for equally near that differ by less than a thousandth of
    /// their lengths.
    pub exact: bool,
    /// Gives the candidates their final score.
    pub rerank: Option<&'q dyn Rerank>,
}

/// By what chunks are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    Vector,
    Keyword,
    Hybrid(Fusion),
}

/// How the best by vector and the best by keyword become one list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fusion {
    /// The sum of weight / (k + rank) over both lists; ranks count from 1.
    ReciprocalRank { k: f32, vector: f32, keyword: f32 },
    /// alpha * vector + (1 - alpha) * keyword, with the scores of each kind brought linearly to 0
    /// (the lowest among the candidates) to 1 (the highest).
    Weighted { alpha: f32 },
    /// The same sum, with the scores of each kind brought to 0 (three standard deviations below
    /// the mean of the candidates) to 1 (three above).
    Normalized { alpha: f32 },
}

impl Default for Fusion {
    /// What found most in `bench/results/quality.md`.
    fn default() -> Self {
        Self::Weighted { alpha: 0.6 }
    }
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    pub id: String,
    pub text: String,
    pub metadata: Map<String, Value>,
    /// What hits are ordered by: of the mode, or of the reranker.
    pub score: f32,
    /// By the metric of the index, where it was computed.
    pub vector_score: Option<f32>,
    /// By BM25, where a word of the query occurs.
    pub keyword_score: Option<f32>,
}

/// Says how well texts answer a query.
pub trait Rerank {
    /// One score for each text, the best the greatest.
    fn scores(
        &self,
        query: &str,
        texts: &[&str],
    ) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>>;
}

impl<F, E> Rerank for F
where
    F: Fn(&str, &[&str]) -> Result<Vec<f32>, E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn scores(
        &self,
        query: &str,
        texts: &[&str],
    ) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        self(query, texts).map_err(Into::into)
    }
}

impl<'q> Query<'q> {
    const NONE: Self = Self {
        vector: None,
        text: None,
        mode: Mode::Vector,
        k: 10,
        filter: None,
        min_score: None,
        candidates: None,
        exact: false,
        rerank: None,
    };

    /// The ten chunks nearest to a vector.
    pub fn vector(vector: &'q [f32]) -> Self {
        Self { vector: Some(vector), ..Self::NONE }
    }

    /// The ten chunks with the most telling words of a text.
    pub fn keyword(text: &'q str) -> Self {
        Self { text: Some(text), mode: Mode::Keyword, ..Self::NONE }
    }

    /// The ten best of both.
    pub fn hybrid(vector: &'q [f32], text: &'q str) -> Self {
        let mode = Mode::Hybrid(Fusion::default());
        Self { vector: Some(vector), text: Some(text), mode, ..Self::NONE }
    }

    /// At most so many hits.
    pub fn top(self, k: usize) -> Self {
        Self { k, ..self }
    }

    /// Only chunks that satisfy a filter.
    pub fn only(self, filter: &'q Filter) -> Self {
        Self { filter: Some(filter), ..self }
    }

    fn check(&self, tools: &Tools) -> Result<()> {
        let Self { vector, text, mode, k, candidates, min_score, rerank, .. } = self;
        let refused = |message: String| Err(Error::Invalid(message));
        if !(1..=MAX_HITS).contains(k) {
            return refused(format!("`{k}` hits are not possible; ask for 1 to {MAX_HITS}"));
        }
        if let Some(number) = candidates
            && !(*k..=MAX_HITS).contains(number)
        {
            return refused(format!(
                "`{number}` candidates are not possible; use {k} (the number of hits) to {MAX_HITS}"
            ));
        }
        if min_score.is_some_and(f32::is_nan) {
            return refused("the least score is `NaN`; use a number".to_owned());
        }
        let needs_vector = *mode != Mode::Keyword;
        match vector {
            Some(vector) => chunk::check_vector(vector, &tools.settings)
                .map_err(|problem| Error::Invalid(format!("the query has {problem}")))?,
            None if needs_vector => {
                return refused("the query has no vector, which its mode needs".to_owned());
            }
            None => {}
        }
        if text.is_none() && (*mode != Mode::Vector || rerank.is_some()) {
            return refused("the query has no text, which its mode or reranker needs".to_owned());
        }
        if let Some(text) = text
            && text.len() > MAX_QUERY
        {
            let length = text.len();
            return refused(format!("the query has {length} bytes; the most is {MAX_QUERY}"));
        }
        if let Mode::Hybrid(fusion) = mode {
            fusion.check()?;
        }
        Ok(())
    }
}

impl Fusion {
    fn check(self) -> Result<()> {
        let possible = match self {
            Self::ReciprocalRank { k, vector, keyword } => {
                let weight = |weight: f32| weight.is_finite() && weight >= 0.0;
                weight(k) && weight(vector) && weight(keyword)
            }
            Self::Weighted { alpha } | Self::Normalized { alpha } => (0.0..=1.0).contains(&alpha),
        };
        if possible {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the fusion `{self:?}` is not possible; weights and `k` are 0 or more, `alpha` is from \
             0 to 1"
        )))
    }
}

/// The chunks of a snapshot that may be found, by part.
pub(crate) struct Selection {
    /// Nothing for all that are alive.
    sets: Vec<Option<Bitmap>>,
    count: usize,
}

impl Selection {
    /// What is alive, not expired, and satisfies the filter.
    pub(crate) fn new(snapshot: &Snapshot, filter: Option<&Filter>, now: u64) -> Result<Self> {
        let condition = filter.map(Filter::compile).transpose()?;
        let mut count = 0;
        let sets = snapshot.parts.iter().map(|part| {
            let expired = part.segment.expiries.partition_point(|(time, _)| *time <= now);
            let mut set = condition.as_ref().map(|condition| {
                let mut set = part.segment.columns.select(condition);
                set.intersect(&part.alive.set);
                set
            });
            if expired > 0 {
                let set = set.get_or_insert_with(|| part.alive.set.clone());
                for (_, position) in &part.segment.expiries[..expired] {
                    set.remove(*position as usize);
                }
            }
            count += set.as_ref().map_or(part.len(), Bitmap::count);
            set
        });
        Ok(Self { sets: sets.collect(), count })
    }

    /// How many chunks may be found.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn set<'s>(&'s self, snapshot: &'s Snapshot, part: usize) -> &'s Bitmap {
        self.sets[part].as_ref().unwrap_or(&snapshot.parts[part].alive.set)
    }
}

/// A candidate with what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    spot: Spot,
    score: f32,
    vector: Option<f32>,
    keyword: Option<f32>,
}

/// The hits of a query, the best first; equal scores in the order of ids.
pub(crate) fn run(view: &View<'_>, tools: &Tools, query: &Query<'_>) -> Result<Vec<Hit>> {
    query.check(tools)?;
    let snapshot = &*view.snapshot;
    let selection = Selection::new(snapshot, query.filter, chunk::now())?;
    let candidates = query.candidates.unwrap_or(CANDIDATES.max(query.k));
    let wanted = match (query.mode, query.rerank) {
        (Mode::Vector | Mode::Keyword, None) => query.k,
        _ => candidates,
    };
    let target = |vector: &[f32]| Target::new(&tools.rotation, tools.settings.metric, vector);
    let nearest = |vector: &[f32], target: &Target, care| {
        let care = if query.exact { Care::Certain } else { care };
        vector::nearest(view, &selection, (vector, target), wanted, care)
    };

    let mut found: Vec<Candidate> = match (query.mode, query.vector, query.text) {
        (Mode::Vector, Some(vector), _) => {
            let target = target(vector);
            let score = |(spot, rank)| {
                let score = target.score(rank);
                Candidate { spot, score, vector: Some(score), keyword: None }
            };
            nearest(vector, &target, Care::Measured)?.into_iter().map(score).collect()
        }
        (Mode::Keyword, _, Some(text)) => {
            let words = keyword::Words::new(snapshot, tools, text);
            let score =
                |(spot, score)| Candidate { spot, score, vector: None, keyword: Some(score) };
            words.best(snapshot, &selection, wanted).into_iter().map(score).collect()
        }
        (Mode::Hybrid(fusion), Some(vector), Some(text)) => {
            let target = target(vector);
            let near = nearest(vector, &target, Care::Candidates)?;
            let words = keyword::Words::new(snapshot, tools, text);
            let best = words.best(snapshot, &selection, wanted);
            let by_words = |spot| words.score(snapshot, spot);
            let mut fused = fusion::Lists::new(&near, &best, &target, by_words);
            if fusion.needs_all_scores() {
                let asked = (vector, &target);
                fused.complete(|spot| vector::rank(view, asked, spot, query.exact), &target)?;
            }
            fused.fuse(fusion)
        }
        _ => return Err(Error::invalid("the query has no vector or no text")),
    };
    collect::sort(snapshot, &mut found, |candidate| (candidate.score, candidate.spot));

    if query.rerank.is_none() {
        found.retain(|candidate| query.min_score.is_none_or(|least| candidate.score >= least));
    }
    found.truncate(if query.rerank.is_some() { candidates } else { query.k });
    if let (Mode::Hybrid(_), Some(vector)) = (query.mode, query.vector) {
        let target = target(vector);
        for candidate in found.iter_mut().filter(|candidate| candidate.vector.is_some()) {
            let rank = vector::rank(view, (vector, &target), candidate.spot, true)?;
            candidate.vector = Some(target.score(rank));
        }
    }
    let mut hits = found.iter().map(|found| hit(view, found)).collect::<Result<Vec<_>>>()?;
    if let (Some(rerank), Some(text)) = (query.rerank, query.text) {
        reorder(&mut hits, rerank, text)?;
        hits.retain(|hit| query.min_score.is_none_or(|least| hit.score >= least));
        hits.truncate(query.k);
    }
    Ok(hits)
}

fn hit(view: &View<'_>, found: &Candidate) -> Result<Hit> {
    let stored = view.reading.row(found.spot.row(&view.snapshot))?;
    Ok(Hit {
        id: stored.id,
        text: stored.text,
        metadata: stored.metadata,
        score: found.score,
        vector_score: found.vector,
        keyword_score: found.keyword,
    })
}

fn reorder(hits: &mut [Hit], rerank: &dyn Rerank, query: &str) -> Result<()> {
    let texts: Vec<&str> = hits.iter().map(|hit| &*hit.text).collect();
    let scores = rerank.scores(query, &texts).map_err(Error::Rerank)?;
    if scores.len() != hits.len() || scores.iter().any(|score| !score.is_finite()) {
        let (given, expected) = (scores.len(), hits.len());
        let problem = format!("it gave {given} scores for {expected} texts, or one is not finite");
        return Err(Error::Rerank(problem.into()));
    }
    for (hit, score) in hits.iter_mut().zip(scores) {
        hit.score = score;
    }
    hits.sort_by(|one, other| {
        other.score.total_cmp(&one.score).then_with(|| one.id.cmp(&other.id))
    });
    Ok(())
}
