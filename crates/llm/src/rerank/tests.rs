//! A tiny cross-encoder of random numbers, against the same computation in plain Rust.

use super::*;
use crate::{
    definition::{linear, states},
    gguf::{Tensor, tiny},
};

/// The approximation that llama.cpp computes.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x.powi(3))).tanh())
}

/// The score of the tokens of a pair, from 0 to 1.
fn expected(model: &[Tensor], tokens: &[usize]) -> f64 {
    let state = states(model, tokens, gelu);
    let mut head = linear(model, "cls", &state[..1]);
    for x in &mut head[0] {
        *x = x.tanh();
    }
    let score = linear(model, "cls.output", &head)[0][0];
    1.0 / (1.0 + (-score).exp())
}

/// The file of a tiny model in a folder that goes with it.
struct File {
    path: std::path::PathBuf,
    tensors: Vec<Tensor>,
}

impl File {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chaski-{}-{name}.gguf", std::process::id()));
        let tensors = tiny::reranker(&path).unwrap();
        Self { path, tensors }
    }

    async fn load(&self) -> Reranker {
        let options = LoadOptions { threads: 1, ..LoadOptions::default() };
        Reranker::load(&self.path, options, |_| ()).await.unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.path);
    }
}

/// `[CLS] query [SEP] document [SEP]`, of texts whose words are single letters.
fn ids(query: &str, document: &str) -> Vec<usize> {
    let letters = |text: &str| -> Vec<usize> {
        text.split_whitespace()
            .map(|word| tiny::LETTERS + usize::from(word.as_bytes()[0] - b'a'))
            .collect()
    };
    let (cls, sep) = (vec![2], vec![3]);
    [cls, letters(query), sep.clone(), letters(document), sep].concat()
}

#[tokio::test]
async fn scores_are_those_of_the_computation_in_plain_rust() {
    let file = File::new("plain");
    let model = file.load().await;
    assert!(model.facts().ranks && !model.facts().embeds);
    let query = "a b c";
    let documents = ["a b c", "x y z", "q", "a x b y c z", "n o p q r s t u v w"];
    let found = model.score(query, documents.map(str::to_owned).to_vec()).await.unwrap();
    let pairs = documents.map(|document| ids(query, document));
    assert_eq!(found.tokens, pairs.iter().map(Vec::len).sum::<usize>());
    let wanted = pairs.map(|pair| expected(&file.tensors, &pair));
    let spread = wanted.iter().fold(0.0_f64, |most, score| most.max((score - wanted[0]).abs()));
    assert!(spread > 0.02, "the scores differ enough to tell documents apart: {wanted:?}");
    for (found, wanted) in found.scores.iter().zip(wanted) {
        assert!((f64::from(*found) - wanted).abs() < 1e-3, "{found} is not {wanted}");
    }
}

#[tokio::test]
async fn a_score_does_not_depend_on_what_else_is_asked() {
    let file = File::new("alone");
    let model = file.load().await;
    let documents: Vec<String> = (0..70_usize)
        .map(|number| ["a", "b c", "d e f g"][number % 3].to_owned() + &" z".repeat(number % 5))
        .collect();
    let together = model.score("q r", documents.clone()).await.unwrap();
    assert_eq!(together.scores.len(), 70);
    for at in [0, 7, 31, 32, 69] {
        let alone = model.score("q r", vec![documents[at].clone()]).await.unwrap();
        let (alone, together) = (alone.scores[0], together.scores[at]);
        // The engine rounds a little differently when it computes several pairs together.
        assert!((alone - together).abs() < 1e-3, "document {at}: {alone} is not {together}");
    }
}

#[tokio::test]
async fn texts_that_are_too_long_are_cut_the_longer_one_first() {
    let file = File::new("long");
    let model = file.load().await;
    // The tiny model reads 64 tokens, of which three are marks.
    let (short, long) = ("a b", "c ".repeat(5000));
    let cut = model.score(short, vec![long.clone()]).await.unwrap();
    assert_eq!(cut.tokens, 64);
    let same = model.score(short, vec!["c ".repeat(59)]).await.unwrap();
    assert_eq!(cut.scores, same.scores);
    let both = model.score(&long, vec![long.clone()]).await.unwrap();
    assert_eq!(both.tokens, 64);
    let empty = model.score("a", vec![String::new()]).await.unwrap();
    assert_eq!(empty.tokens, 4);
    assert_eq!(shares(5, 5, 10), (5, 5));
    assert_eq!(shares(3, 100, 11), (3, 8));
    assert_eq!(shares(100, 3, 11), (8, 3));
    assert_eq!(shares(100, 100, 11), (5, 6));
}

#[tokio::test]
async fn files_that_are_no_cross_encoders_are_refused_with_the_reason() {
    let path = std::env::temp_dir().join(format!("chaski-{}-other.gguf", std::process::id()));
    for (change, why) in [
        (tiny::Change::NoHead, "it has no classification head"),
        (tiny::Change::Causal, "ranks by a prompt"),
        (tiny::Change::Labels(3), "gives several scores"),
    ] {
        tiny::changed(&path, change).unwrap();
        let loaded = Reranker::load(&path, LoadOptions::default(), |_| ()).await;
        let error = loaded.err().unwrap().to_string();
        assert!(error.contains(why) && error.contains("other.gguf"), "{error}");
    }
    tiny::reranker(&path).unwrap();
    let text = crate::TextModel::load(&path, LoadOptions::default(), |_| ()).await;
    assert!(text.err().unwrap().to_string().contains("does not generate text"));
    std::fs::remove_file(&path).unwrap();
}
