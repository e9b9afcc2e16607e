//! The words of a text as a sparse vector, for stores that search by words through those.

use std::collections::BTreeMap;

/// How fast more of the same word stops to matter (BM25's k1).
const SATURATION: f32 = 1.2;
/// How much longer texts are discounted (BM25's b), and the length at which they are not.
const BY_LENGTH: f32 = 0.75;
const USUAL_LENGTH: f32 = 256.0;

/// The numbers of the words of a text, and their weights. How rare a word is, the store knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sparse {
    pub(crate) indices: Vec<u32>,
    pub(crate) values: Vec<f32>,
}

/// The words, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// The number of a word (FNV-1a).
fn number(word: &str) -> u32 {
    word.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A text to keep: weights by how often a word is in it.
#[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^24")]
pub(crate) fn of_document(text: &str) -> Sparse {
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    let mut length = 0_usize;
    for word in words(text) {
        *counts.entry(number(&word)).or_default() += 1.0;
        length += 1;
    }
    let discount = SATURATION * (1.0 - BY_LENGTH + BY_LENGTH * length as f32 / USUAL_LENGTH);
    let weight = |count: f32| count * (SATURATION + 1.0) / (count + discount);
    let (indices, values) = counts.into_iter().map(|(word, count)| (word, weight(count))).unzip();
    Sparse { indices, values }
}

/// A text to look for: each word once.
pub(crate) fn of_query(text: &str) -> Sparse {
    let numbers: BTreeMap<u32, f32> = words(text).map(|word| (number(&word), 1.0)).collect();
    let (indices, values) = numbers.into_iter().unzip();
    Sparse { indices, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_any_language_in_lower_case() {
        let found: Vec<String> =
            words("The caf\u{e9}'s MEN\u{dc}, 2 x; \u{6771}\u{4eac}").collect();
        assert_eq!(found, ["the", "caf\u{e9}", "s", "men\u{fc}", "2", "x", "\u{6771}\u{4eac}"]);
        assert_eq!(of_query("a a b"), of_query("B a"));
        assert_eq!(of_query("!"), Sparse::default());
    }

    #[test]
    fn more_of_a_word_weighs_more_but_less_and_less() {
        let weight = |text: &str| of_document(text).values[0];
        let (one, two, nine) = (weight("a"), weight("a a"), weight("a a a a a a a a a"));
        assert!(one < two && two < nine && nine < SATURATION + 1.0, "{one} {two} {nine}");
        assert!(two - one > (nine - two) / 7.0);
    }
}
