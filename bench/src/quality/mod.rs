//! How well the right passages are found: a known-item benchmark on the documentation of Python,
//! as Debian packages it.
//!
//! Each heading that occurs once is a question, and what stands under it is the answer. Headings
//! are taken out of the passages, which would hold the words of the question otherwise. Settings
//! are compared by every second question; the others show whether the choice holds.

mod corpus;
mod report;

use anyhow::{Context, Result};
use chaski_documents::Chunking;
use chaski_index::{Bm25, Chunk, Fusion, Index, Mode, NGrams, Query, Settings, StopWords};
use chaski_llm::{Embedder, Input, LoadOptions, Reranker};
use corpus::{Corpus, Passage};
use std::{fs, path::Path, sync::Arc, time::Instant};

/// Hits that count.
const DEPTH: usize = 10;
/// Passages that a reranker sees.
const RERANKED: usize = 30;
/// The tokens that the embedding model reads, as in the server.
const READ: usize = 256;
/// Texts of one request to the embedding model.
const TOGETHER: usize = 256;

/// How questions fared: the place of the first passage with the answer, from 0, if it is among the
/// first.
struct Places(Vec<Option<usize>>);

/// One line of the results.
pub(super) struct Row {
    pub(super) name: String,
    /// Of the questions that settings are compared by, and of the others.
    pub(super) figures: [Figures; 2],
}

/// From 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) ndcg: f64,
    pub(super) recall: f64,
}

/// What is compared, in groups.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) rows: Vec<Row>,
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub(super) fn float(number: usize) -> f64 {
    number as f64
}

impl Places {
    fn row(&self, name: impl Into<String>) -> Row {
        let half = |odd: usize| {
            let places: Vec<Option<usize>> = self.0.iter().skip(odd).step_by(2).copied().collect();
            let gain = |place: &usize| 1.0 / (float(*place) + 2.0).log2();
            let count = float(places.len().max(1));
            let found = places.iter().flatten();
            Figures {
                ndcg: found.clone().map(gain).sum::<f64>() / count,
                recall: float(found.count()) / count,
            }
        };
        Row { name: name.into(), figures: [half(0), half(1)] }
    }
}

/// Passages with their vectors, in an index.
struct Searched {
    passages: Vec<Passage>,
    vectors: Vec<Vec<f32>>,
    folder: tempfile::TempDir,
}

/// The questions with their vectors.
struct Questions {
    texts: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

async fn embed(embedder: &Embedder, texts: &[String]) -> Result<Vec<Vec<f32>>> {
    let mut vectors = Vec::with_capacity(texts.len());
    for texts in texts.chunks(TOGETHER) {
        let inputs = texts.iter().cloned().map(Input::Text).collect();
        vectors.extend(embedder.embed(Arc::from("bench"), inputs).await?.vectors);
    }
    Ok(vectors)
}

impl Searched {
    async fn new(passages: Vec<Passage>, embedder: &Embedder, place: &Path) -> Result<Self> {
        let texts: Vec<String> = passages.iter().map(|passage| passage.text.clone()).collect();
        let vectors = embed(embedder, &texts).await?;
        let folder = tempfile::tempdir_in(place)?;
        let searched = Self { passages, vectors, folder };
        let index = searched.index(&searched.settings())?;
        let chunks: Vec<Chunk> = searched
            .passages
            .iter()
            .zip(&searched.vectors)
            .enumerate()
            .map(|(number, (passage, vector))| {
                Chunk::new(number.to_string(), passage.text.clone(), vector.clone())
            })
            .collect();
        index.upsert(&chunks)?;
        index.close()?;
        Ok(searched)
    }

    fn settings(&self) -> Settings {
        Settings::new(self.vectors.first().map_or(1, Vec::len))
    }

    /// The same passages with these settings.
    fn index(&self, settings: &Settings) -> Result<Index> {
        Ok(Index::open_or_create(self.folder.path().join("index"), settings)?)
    }

    /// The numbers of the passages found.
    fn found(index: &Index, query: &Query<'_>) -> Result<Vec<usize>> {
        let hits = index.search(query)?;
        hits.iter().map(|hit| hit.id.parse().context("the ids are numbers")).collect()
    }

    fn place(&self, question: usize, found: &[usize]) -> Option<usize> {
        let mut found = found.iter().take(DEPTH);
        found.position(|number| self.passages[*number].answers.contains(&question))
    }

    /// How the questions fare in a mode.
    fn places(&self, index: &Index, questions: &Questions, mode: Mode) -> Result<Places> {
        let asked = questions.texts.iter().zip(&questions.vectors).enumerate();
        let places = asked.map(|(number, (text, vector))| {
            let query = Query { mode, ..Query::hybrid(vector, text) }.top(DEPTH);
            Ok(self.place(number, &Self::found(index, &query)?))
        });
        places.collect::<Result<_>>().map(Places)
    }

    /// The same after a model has ranked the best anew; answers the time that it took, too.
    async fn reranked(
        &self,
        index: &Index,
        questions: &Questions,
        reranker: Option<&Reranker>,
    ) -> Result<(Places, f64)> {
        let mut places = Vec::new();
        let mut seconds = 0.0;
        for (number, (text, vector)) in questions.texts.iter().zip(&questions.vectors).enumerate() {
            let query = Query::hybrid(vector, text).top(RERANKED);
            let found = Self::found(index, &query)?;
            let began = Instant::now();
            let scores: Vec<f32> = if let Some(reranker) = reranker {
                let text_of = |number: &usize| self.passages[*number].text.clone();
                reranker.score(text, found.iter().map(text_of).collect()).await?.scores
            } else {
                let cosine = |other: &Vec<f32>| {
                    vector.iter().zip(other).map(|(one, other)| one * other).sum()
                };
                found.iter().map(|number| cosine(&self.vectors[*number])).collect()
            };
            seconds += began.elapsed().as_secs_f64();
            let mut ranked: Vec<(f32, usize)> = scores.into_iter().zip(found).collect();
            ranked.sort_by(|one, other| other.0.total_cmp(&one.0));
            let ranked: Vec<usize> = ranked.into_iter().map(|(_, number)| number).collect();
            places.push(self.place(number, &ranked));
        }
        Ok((Places(places), seconds / float(questions.texts.len())))
    }
}

/// The way documents are cut unless somebody says how.
const CUT: Chunking = Chunking::Structural { max_tokens: 220, overlap: 40 };
const OTHER_CUTS: [Chunking; 2] = [
    Chunking::Structural { max_tokens: 110, overlap: 20 },
    Chunking::Windows { size: 512, overlap: 128 },
];

fn cut(chunking: &Chunking) -> String {
    match chunking {
        Chunking::Structural { max_tokens, overlap } => {
            format!("structural, {max_tokens} tokens, overlap {overlap}")
        }
        Chunking::Windows { size, overlap } => format!("windows, {size} tokens, overlap {overlap}"),
        Chunking::Static { .. } | Chunking::Auto => format!("{chunking:?}"),
    }
}

/// Measures on the pages in `pages` with the embedding model in `model`, and with the cross-encoder
/// in `reranker` if there is one; writes `quality.md` into `folder`.
pub(crate) async fn measure(
    folder: &Path,
    pages: &Path,
    model: &Path,
    reranker: Option<&Path>,
) -> Result<()> {
    let corpus = Corpus::read(pages)?;
    let options =
        || LoadOptions { batch_threads: crate::machine::cores(), ..LoadOptions::default() };
    let embedder = Embedder::load(model, READ, options(), |_| ()).await?;
    let reranker = match reranker {
        Some(path) => Some(Reranker::load(path, options(), |_| ()).await?),
        None => None,
    };
    let texts: Vec<String> = corpus.items.iter().map(|item| item.question.clone()).collect();
    let vectors = embed(&embedder, &texts).await?;
    let questions = Questions { texts, vectors };
    eprintln!("{} pages, {} questions", corpus.pages(), questions.texts.len());

    let (passages, tokens) = corpus.passages(&CUT)?;
    let count = passages.len();
    let searched = Searched::new(passages, &embedder, folder).await?;
    let mut groups = vec![modes(&searched, &questions, reranker.as_ref()).await?];
    groups.push(fusions(&searched, &questions)?);
    groups.push(words(&searched, &questions)?);
    groups.push(cuts(&corpus, &questions, &embedder, folder, (&searched, count, tokens)).await?);
    let page = report::page(&corpus, count, reranker.is_some(), &groups);
    fs::write(folder.join("quality.md"), page).context("cannot write the results")
}

/// Each mode with the settings that are the defaults.
async fn modes(
    searched: &Searched,
    questions: &Questions,
    reranker: Option<&Reranker>,
) -> Result<Group> {
    let index = searched.index(&searched.settings())?;
    let mut rows = Vec::new();
    for (name, mode) in [
        ("vector", Mode::Vector),
        ("keyword", Mode::Keyword),
        ("hybrid", Mode::Hybrid(Fusion::default())),
    ] {
        rows.push(searched.places(&index, questions, mode)?.row(name));
    }
    let (places, seconds) = searched.reranked(&index, questions, reranker).await?;
    let by = if reranker.is_some() { "a cross-encoder" } else { "the embedding model" };
    let name = format!("hybrid, {RERANKED} ranked anew by {by} in {:.1} ms", seconds * 1e3);
    rows.push(places.row(name));
    Ok(Group { name: "Modes, with the defaults", rows })
}

fn fusions(searched: &Searched, questions: &Questions) -> Result<Group> {
    let index = searched.index(&searched.settings())?;
    let mut rows = Vec::new();
    let mut add = |name: String, fusion| -> Result<()> {
        rows.push(searched.places(&index, questions, Mode::Hybrid(fusion))?.row(name));
        Ok(())
    };
    for k in [1.0, 5.0, 10.0, 20.0, 40.0, 60.0, 100.0] {
        add(format!("rrf, k {k}"), Fusion::ReciprocalRank { k, vector: 1.0, keyword: 1.0 })?;
    }
    for (vector, keyword) in [(2.0, 1.0), (1.0, 2.0)] {
        let name = format!("rrf, k 60, weights {vector} and {keyword}");
        add(name, Fusion::ReciprocalRank { k: 60.0, vector, keyword })?;
    }
    for alpha in [0.3, 0.4, 0.5, 0.6, 0.7, 0.8] {
        add(format!("weighted, alpha {alpha}"), Fusion::Weighted { alpha })?;
    }
    for alpha in [0.3, 0.4, 0.5, 0.6, 0.7, 0.8] {
        add(format!("normalized, alpha {alpha}"), Fusion::Normalized { alpha })?;
    }
    Ok(Group { name: "Hybrid, by the way the lists become one", rows })
}

fn words(searched: &Searched, questions: &Questions) -> Result<Group> {
    let mut rows = Vec::new();
    let mut add = |name: String, settings: &Settings| -> Result<()> {
        let index = searched.index(settings)?;
        rows.push(searched.places(&index, questions, Mode::Keyword)?.row(name));
        Ok(index.close()?)
    };
    for k1 in [0.6, 0.9, 1.2, 1.6, 2.0] {
        for b in [0.25, 0.5, 0.75, 1.0] {
            let settings = Settings { bm25: Bm25 { k1, b }, ..searched.settings() };
            add(format!("k1 {k1}, b {b}"), &settings)?;
        }
    }
    let of = |change: &dyn Fn(&mut Settings)| {
        let mut settings = searched.settings();
        change(&mut settings);
        settings
    };
    add("no stems".to_owned(), &of(&|settings| settings.text.language = None))?;
    let all_words = |settings: &mut Settings| settings.text.stop_words = StopWords::None;
    add("no stop words".to_owned(), &of(&all_words))?;
    let parts = of(&|settings| settings.text.ngrams = Some(NGrams { min: 3, max: 3 }));
    add("with n-grams of 3".to_owned(), &parts)?;
    let index = searched.index(&parts)?;
    let hybrid = searched.places(&index, questions, Mode::Hybrid(Fusion::default()))?;
    rows.push(hybrid.row("hybrid, with n-grams of 3"));
    index.close()?;
    // What follows finds the index as it was.
    searched.index(&searched.settings())?.close()?;
    Ok(Group { name: "Keyword, by the settings of BM25 and of words", rows })
}

/// The default and other ways to cut documents.
async fn cuts(
    corpus: &Corpus,
    questions: &Questions,
    embedder: &Embedder,
    folder: &Path,
    (default, count, tokens): (&Searched, usize, usize),
) -> Result<Group> {
    let hybrid = Mode::Hybrid(Fusion::default());
    let mut rows = Vec::new();
    let mut add = |searched: &Searched, chunking: &Chunking, count: usize, tokens: usize| {
        let index = searched.index(&searched.settings())?;
        for (mode, name) in [(Mode::Vector, "vector"), (hybrid, "hybrid")] {
            let name = format!(
                "{}: {count} passages of {} tokens, {name}",
                cut(chunking),
                tokens / count.max(1)
            );
            rows.push(searched.places(&index, questions, mode)?.row(name));
        }
        anyhow::Ok(())
    };
    add(default, &CUT, count, tokens)?;
    for chunking in &OTHER_CUTS {
        let (passages, tokens) = corpus.passages(chunking)?;
        let count = passages.len();
        let searched = Searched::new(passages, embedder, folder).await?;
        add(&searched, chunking, count, tokens)?;
    }
    Ok(Group { name: "Ways to cut documents", rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_every_second_question() {
        let row = Places(vec![Some(0), Some(2), None, Some(9)]).row("x");
        let [first, second] = row.figures;
        assert!((first.ndcg - 0.5).abs() < 1e-9 && (first.recall - 0.5).abs() < 1e-9);
        let expected = f64::midpoint(0.5, 1.0 / 11f64.log2());
        assert!((second.ndcg - expected).abs() < 1e-9 && (second.recall - 1.0).abs() < 1e-9);
    }
}
