//! An index from outside: what goes in, what comes out, and what is refused.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use chaski_index::{
    Chunk, Error, Filter, Fusion, Index, Language, Metric, Mode, Query, Settings, TextSettings,
};
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;

fn index(settings: &Settings) -> (TempDir, Index) {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path().join("new/deep"), settings).unwrap();
    (folder, index)
}

fn animals() -> (TempDir, Index) {
    let (folder, index) = index(&Settings::new(2));
    index
        .upsert(&[
            Chunk::new("llama", "Llamas carry heavy loads over mountains", vec![1.0, 0.1])
                .with("legs", 4)
                .with("tags", json!(["wool", "pack"])),
            Chunk::new("condor", "The condor flies over mountains", vec![0.1, 1.0]).with("legs", 2),
            Chunk::new("trout", "A trout swims in cold lakes", vec![-1.0, 0.2]).with("legs", 0),
        ])
        .unwrap();
    (folder, index)
}

fn ids(index: &Index, query: &Query<'_>) -> Vec<String> {
    index.search(query).unwrap().into_iter().map(|hit| hit.id).collect()
}

#[test]
fn chunks_are_found_by_vector_by_word_and_by_both() {
    let (_folder, index) = animals();
    assert_eq!(ids(&index, &Query::vector(&[1.0, 0.0])), ["llama", "condor", "trout"]);
    assert_eq!(ids(&index, &Query::keyword("mountain loads")), ["llama", "condor"]);
    assert_eq!(ids(&index, &Query::keyword("the a in")), [""; 0]);
    // By scores, the vector that fits almost exactly counts for more than the one word.
    let both = || Query::hybrid(&[0.0, 1.0], "lakes").top(2);
    assert_eq!(ids(&index, &both()), ["condor", "trout"]);
    // By ranks, the chunk that stands in both lists comes first.
    let ranks = Mode::Hybrid(Fusion::ReciprocalRank { k: 60.0, vector: 1.0, keyword: 1.0 });
    assert_eq!(ids(&index, &Query { mode: ranks, ..both() }), ["trout", "condor"]);

    let hits = index.search(&Query::hybrid(&[1.0, 0.1], "loads")).unwrap();
    assert_eq!(hits[0].id, "llama");
    assert!((hits[0].vector_score.unwrap() - 1.0).abs() < 1e-6);
    assert!(hits[0].keyword_score.unwrap() > 0.5);
    assert_eq!(hits[0].text, "Llamas carry heavy loads over mountains");
    assert_eq!(hits[0].metadata["tags"], json!(["wool", "pack"]));
    for fusion in [Fusion::Weighted { alpha: 0.7 }, Fusion::Normalized { alpha: 0.7 }] {
        let query = Query::hybrid(&[1.0, 0.1], "loads");
        assert_eq!(ids(&index, &Query { mode: Mode::Hybrid(fusion), ..query })[0], "llama");
    }
}

#[test]
fn filters_choose_and_scores_can_be_too_low() {
    let (_folder, index) = animals();
    let few = Filter::Lt("legs".into(), json!(4));
    assert_eq!(ids(&index, &Query::vector(&[1.0, 0.0]).only(&few)), ["condor", "trout"]);
    assert_eq!(ids(&index, &Query::keyword("mountains").only(&few)), ["condor"]);
    let wool = Filter::eq("tags", "wool");
    assert_eq!(ids(&index, &Query::vector(&[-1.0, 0.0]).only(&wool)), ["llama"]);
    assert_eq!(index.count(&Filter::Ne("tags".into(), json!("wool"))).unwrap(), 2);
    let near = Query { min_score: Some(0.5), ..Query::vector(&[1.0, 0.0]) };
    assert_eq!(ids(&index, &near), ["llama"]);
}

#[test]
fn a_chunk_with_the_id_of_another_replaces_it() {
    let (_folder, index) = animals();
    let new = |text: &str| Chunk::new("trout", text, vec![1.0, 0.0]);
    index.upsert(&[new("first"), new("A trout in the air")]).unwrap();
    assert_eq!(index.len(), 3);
    assert_eq!(ids(&index, &Query::keyword("lakes")), [""; 0]);
    assert_eq!(ids(&index, &Query::keyword("first")), [""; 0]);
    assert_eq!(ids(&index, &Query::keyword("air")), ["trout"]);
    assert_eq!(ids(&index, &Query::vector(&[1.0, 0.0]))[0], "trout");
    assert_eq!(index.get(&["trout"]).unwrap(), [new("A trout in the air")]);
}

#[test]
fn chunks_are_deleted_by_id_and_by_filter() {
    let (_folder, index) = animals();
    assert_eq!(index.delete(&["trout", "whale"]).unwrap(), 1);
    assert_eq!(index.delete(&["trout"]).unwrap(), 0);
    assert_eq!(ids(&index, &Query::keyword("lakes")), [""; 0]);
    assert_eq!(index.delete_where(&Filter::Gte("legs".into(), json!(3))).unwrap(), 1);
    assert_eq!(ids(&index, &Query::vector(&[1.0, 0.0])), ["condor"]);
    assert_eq!((index.len(), index.is_empty()), (1, false));
}

#[test]
fn chunks_are_listed_by_id_page_by_page() {
    let (_folder, index) = animals();
    let list = |after: Option<&str>, limit, filter: Option<&Filter>| -> Vec<String> {
        let chunks = index.list(after, limit, filter).unwrap();
        chunks.into_iter().map(|chunk| chunk.id).collect()
    };
    assert_eq!(list(None, 2, None), ["condor", "llama"]);
    assert_eq!(list(Some("llama"), 2, None), ["trout"]);
    let legs = Filter::Gt("legs".into(), json!(0));
    assert_eq!(list(None, 1, Some(&legs)), ["condor"]);
    assert_eq!(list(Some("condor"), 5, Some(&legs)), ["llama"]);
    assert!(index.list(None, 0, None).is_err());
}

#[test]
fn what_has_expired_is_not_found_and_goes() {
    let (_folder, index) = animals();
    let old = Chunk { expires: Some(1), ..Chunk::new("old", "an old lake", vec![1.0, 0.0]) };
    let later = Chunk {
        expires: Some(u64::from(u32::MAX) * 2),
        ..Chunk::new("later", "a later lake", vec![1.0, 0.0])
    };
    index.upsert(&[old, later.clone()]).unwrap();
    assert_eq!(ids(&index, &Query::keyword("lake")), ["later", "trout"]);
    assert_eq!(ids(&index, &Query::vector(&[1.0, 0.0]).top(1)), ["later"]);
    assert_eq!(index.get(&["old", "later"]).unwrap(), [later]);
    assert_eq!(index.list(Some("llama"), 9, None).unwrap().len(), 1);
    // The thread in the background may have been quicker.
    index.expire(1).unwrap();
    assert_eq!(index.len(), 4);
    assert_eq!(index.expire(u64::from(u32::MAX) * 2).unwrap(), 1);
    assert_eq!(ids(&index, &Query::keyword("lake")), ["trout"]);
}

#[test]
fn everything_is_there_again_after_closing() {
    let (folder, index) = animals();
    let path = folder.path().join("new/deep");
    index.delete(&["condor"]).unwrap();
    let query = Query::hybrid(&[0.3, 0.7], "cold mountains");
    let before = index.search(&query).unwrap();
    assert!(matches!(Index::open(&path), Err(Error::Locked(_))));
    index.close().unwrap();
    index.close().unwrap();
    assert!(matches!(index.search(&query), Err(Error::Closed)));
    assert!(matches!(index.delete(&["trout"]), Err(Error::Closed)));
    let index = Index::open(&path).unwrap();
    assert_eq!(index.stats().saved_segments, 1);
    assert_eq!(index.search(&query).unwrap(), before);
    drop(index);
    let index = Index::open_or_create(&path, &Settings::new(2)).unwrap();
    assert_eq!(index.search(&query).unwrap(), before);
    index.verify().unwrap();
}

#[test]
fn settings_are_kept_and_those_of_the_text_can_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(matches!(Index::open(path), Err(Error::Missing(_))));
    let settings = Settings { metric: Metric::L2, ..Settings::new(1) };
    let index = Index::open_or_create(path, &settings).unwrap();
    index.upsert(&[Chunk::new("1", "Häuser", vec![3.0])]).unwrap();
    assert_eq!(ids(&index, &Query::keyword("haus")), [""; 0]);
    let hits = index.search(&Query::vector(&[1.0])).unwrap();
    assert!((hits[0].score - 1.0 / 3.0).abs() < 1e-6);
    drop(index);
    assert!(matches!(Index::create(path, &settings), Err(Error::Exists(_))));

    let german = TextSettings { language: Some(Language::German), ..TextSettings::default() };
    let german = Settings { text: german, ..settings.clone() };
    assert_eq!(ids(&Index::open_or_create(path, &german).unwrap(), &Query::keyword("haus")), ["1"]);
    let index = Index::open(path).unwrap();
    assert_eq!(index.settings(), &german);
    assert_eq!(ids(&index, &Query::keyword("haus")), ["1"]);
    drop(index);

    let refused = |settings: Settings, part: &str| {
        let error = Index::open_or_create(path, &settings).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(Settings { dimension: 2, ..settings.clone() }, "vectors of 1 numbers, not 2");
    refused(Settings { metric: Metric::Dot, ..settings }, "the metric `L2`, not `Dot`");
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let (_folder, index) = animals();
    let refused = |query: &Query<'_>, part: &str| {
        let error = index.search(query).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let good = Query::hybrid(&[1.0, 0.0], "loads");
    refused(&Query::vector(&[1.0]), "the query has a vector of 1 numbers; this index has 2");
    refused(&Query::vector(&[f32::NAN, 0.0]), "`NaN` at position 0");
    refused(&Query::vector(&[0.0, 0.0]), "length zero");
    refused(&Query { vector: None, ..good }, "no vector");
    refused(&Query { text: None, ..good }, "no text");
    refused(&good.top(0), "`0` hits");
    refused(&good.top(10_001), "`10001` hits");
    refused(&Query { candidates: Some(5), ..good }, "`5` candidates");
    refused(&Query { min_score: Some(f32::NAN), ..good }, "NaN");
    refused(&Query::keyword(&"x".repeat(1 << 17)), "131072 bytes");
    let fusion = Mode::Hybrid(Fusion::Weighted { alpha: 1.5 });
    refused(&Query { mode: fusion, ..good }, "alpha");
    let bad = Filter::eq("legs", json!({"a": 1}));
    refused(&good.only(&bad), "`legs`");
    assert_eq!(ids(&index, &Query::keyword("")), [""; 0]);
    assert_eq!(ids(&index, &Query::keyword("\u{0}🦙\u{FFFF}")), [""; 0]);
}

#[test]
fn a_reranker_has_the_last_word() {
    let (_folder, index) = animals();
    let longest = |query: &str, texts: &[&str]| -> Result<Vec<f32>, String> {
        assert_eq!(query, "mountains");
        Ok(texts.iter().map(|text| if text.contains("condor") { 9.0 } else { 1.0 }).collect())
    };
    let query = Query::hybrid(&[1.0, 0.0], "mountains").top(2);
    let hits = index.search(&Query { rerank: Some(&longest), ..query }).unwrap();
    assert_eq!((&*hits[0].id, &*hits[1].id), ("condor", "llama"));
    assert!((hits[0].score - 9.0).abs() < f32::EPSILON);
    let failing = |_: &str, _: &[&str]| Err::<Vec<f32>, _>("out of order");
    let error = index.search(&Query { rerank: Some(&failing), ..query }).unwrap_err();
    assert_eq!(error.to_string(), "the reranker failed: out of order");
    let short = |_: &str, _: &[&str]| Ok::<_, String>(vec![1.0]);
    assert!(index.search(&Query { rerank: Some(&short), ..query }).is_err());
}

#[test]
fn equal_scores_come_in_the_order_of_ids() {
    let (_folder, index) = index(&Settings::new(2));
    let chunk =
        |number: usize| Chunk::new(format!("{:04}", (number * 37) % 1000), "same", vec![0.5, 0.5]);
    for start in (0..1000).step_by(100) {
        index.upsert(&(start..start + 100).map(chunk).collect::<Vec<_>>()).unwrap();
    }
    let first: Vec<String> = (0..20).map(|number| format!("{number:04}")).collect();
    let exact = Query { exact: true, ..Query::vector(&[1.0, 0.0]).top(20) };
    assert_eq!(ids(&index, &exact), first);
    assert_eq!(ids(&index, &Query::keyword("same").top(20)), first);
    index.compact().unwrap();
    assert_eq!(ids(&index, &exact), first);
    assert_eq!(ids(&index, &Query::keyword("same").top(20)), first);
    assert_eq!(index.stats().segments, 1);
}

#[test]
fn scores_do_not_depend_on_the_order_of_writing() {
    let texts = ["red llama", "red red condor", "blue trout and a red llama", "green"];
    let chunk = |number: usize| {
        Chunk::new(
            number.to_string(),
            texts[number % 4],
            vec![f32::from(u8::try_from(number).unwrap()) + 1.0, 1.0],
        )
    };
    let (_one, whole) = index(&Settings::new(2));
    whole.upsert(&(0..40).map(chunk).collect::<Vec<_>>()).unwrap();
    let (_other, pieces) = index(&Settings::new(2));
    for number in 0..60 {
        pieces.upsert(&[chunk(number)]).unwrap();
    }
    for number in 40..60 {
        pieces.delete(&[&number.to_string()]).unwrap();
    }
    for query in [
        Query::keyword("red llama"),
        Query::vector(&[1.0, 1.0]),
        Query::hybrid(&[9.0, 1.0], "blue condor"),
    ] {
        assert_eq!(whole.search(&query).unwrap(), pieces.search(&query).unwrap());
    }
}

#[test]
fn an_index_is_shared_by_threads() {
    let (_folder, index) = animals();
    let index = Arc::new(index);
    let other = Arc::clone(&index);
    std::thread::spawn(move || other.delete(&["trout"]).unwrap()).join().unwrap();
    assert_eq!(index.len(), 2);
}

#[test]
fn an_empty_index_answers_nothing() {
    let (_folder, index) = index(&Settings::new(2));
    index.upsert(&[]).unwrap();
    assert_eq!(ids(&index, &Query::hybrid(&[1.0, 0.0], "anything")), [""; 0]);
    assert_eq!(index.get(&["x"]).unwrap(), []);
    assert_eq!(index.delete_where(&Filter::And(Vec::new())).unwrap(), 0);
    index.compact().unwrap();
    assert!(index.is_empty());
}

#[test]
fn an_index_is_removed_and_nothing_else() {
    let (folder, index) = animals();
    let place = folder.path().join("new/deep");
    assert!(matches!(Index::remove(&place), Err(Error::Locked(_))), "it is open");
    index.compact().unwrap();
    drop(index);
    std::fs::write(place.join("notes.txt"), "mine").unwrap();
    assert!(Index::remove(&place).unwrap());
    let left: Vec<_> =
        std::fs::read_dir(&place).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    assert!(!Index::remove(&place).unwrap(), "there is none any more");
    assert!(!Index::remove(folder.path().join("nowhere")).unwrap());

    let (folder, index) = animals();
    let place = folder.path().join("new/deep");
    drop(index);
    // A damaged one can be removed too.
    std::fs::write(place.join("index.db"), "no database").unwrap();
    assert!(Index::remove(&place).unwrap());
    assert!(!place.exists());
}
