//! Counting the tokens of texts as an embedding model reads them.

use super::Embedder;
use llama_cpp_2::model::LlamaModel;
use std::sync::Arc;

/// How many bytes are turned into tokens at one time. Tokenisers of some kinds call themselves anew
/// for each letter of a word, so that one without an end would use up the stack.
const PIECE: usize = 2048;

/// Counts the tokens of texts as an embedding model reads them. Where the vocabulary is not to be had
/// without the weights, the model stays loaded meanwhile.
#[derive(Clone)]
pub struct Counter {
    vocabulary: Arc<LlamaModel>,
    // Dropped after what it keeps.
    _model: Option<Embedder>,
}

impl Counter {
    pub(super) fn new(vocabulary: Arc<LlamaModel>, model: Option<Embedder>) -> Self {
        Self { vocabulary, _model: model }
    }

    /// How many tokens a text has, without those that mark its beginning and its end. The effort grows
    /// with its length only. A text of more than 2 KiB is counted in pieces, which end between words
    /// where they can; in some vocabularies each of them has a token more.
    pub fn count(&self, text: &str) -> usize {
        let vocabulary = self.vocabulary.vocab();
        pieces(text).map(|piece| vocabulary.tokenize(piece.as_bytes(), false, false).len()).sum()
    }
}

/// A text in pieces, each of which ends before a blank if it has one behind its beginning.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let most = rest.floor_char_boundary(PIECE);
        let end = if most < rest.len() {
            let blank = rest.get(..most)?.rfind(char::is_whitespace);
            blank.filter(|at| *at > 0).unwrap_or(most)
        } else {
            most
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, LoadOptions, tests::weights};

    #[test]
    fn pieces_are_the_text_and_end_before_blanks() {
        for text in [
            String::new(),
            "one two".to_owned(),
            "some words, ".repeat(1000),
            "x".repeat(5000),
            format!("a {}", "x".repeat(5000)),
            "\u{732b}".repeat(3000),
            " ".repeat(5000),
        ] {
            let found: Vec<&str> = pieces(&text).collect();
            assert_eq!(found.concat(), text);
            assert!(found.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE));
            if text.starts_with("some") {
                assert!(found[1..].iter().all(|piece| piece.starts_with(' ')), "{found:?}");
            }
        }
    }

    #[tokio::test]
    async fn tokens_are_counted_as_the_model_reads_them() {
        let path = weights("all-minilm-l6-v2");
        let model = Embedder::load(&path, 256, LoadOptions::default(), |_| ()).await.unwrap();
        let counter = model.counter().unwrap();
        for text in [
            "hello",
            "Antidisestablishmentarianism, \u{fc}ber 3.14!",
            "\u{732b}\u{3067}\u{3042}\u{308b}",
            "",
        ] {
            let read = model.embed(Arc::default(), vec![Input::Text(text.to_owned())]).await;
            // The model reads two marks beside the text.
            assert_eq!(counter.count(text) + 2, read.unwrap().tokens, "{text}");
        }
        // Neither the length that the model reads nor that of a piece cuts what is counted.
        assert_eq!(counter.count(&"word ".repeat(10_000)), 10_000);
        let apart = counter.clone();
        model.unload().await;
        assert_eq!(apart.count("hello world"), 2);
    }
}
