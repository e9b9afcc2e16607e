//! Metadata as words of their own, for stores whose filters compare with nothing else safely: each
//! fact is a hash, so that nothing a caller writes is ever part of a condition.

use chaski_api::retrieval::Scalar;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// How many bytes of a hash are kept.
const BYTES: usize = 12;

/// What is filtered by of a chunk.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Facts {
    /// That keys have certain values, and that keys have numbers.
    pub(crate) words: Vec<String>,
    /// The numbers, by the words that stand for their keys.
    pub(crate) numbers: Vec<(String, f64)>,
}

impl Facts {
    pub(crate) fn of(metadata: &Map<String, Value>) -> Self {
        let mut facts = Self::default();
        for (key, value) in metadata {
            let Some(scalar) = Scalar::of(value) else { continue };
            facts.words.push(word(key, &scalar));
            if let Some(number) = value.as_f64() {
                facts.words.push(number_key(key));
                facts.numbers.push((number_key(key), number));
            }
        }
        facts
    }
}

/// Stands for a key that has a certain value. Letters and digits only.
pub(crate) fn word(key: &str, value: &Scalar) -> String {
    let value = match value {
        Scalar::Text(text) => format!("t{text}"),
        // Zero is zero, with either sign; numbers are equal by their value.
        Scalar::Number(number) => {
            format!("n{:x}", (number.as_f64().unwrap_or_default() + 0.0).to_bits())
        }
        Scalar::Bool(truth) => format!("b{truth}"),
    };
    hashed('f', &[key, &value])
}

/// Stands for a key that has some number. Letters and digits only.
pub(crate) fn number_key(key: &str) -> String {
    hashed('n', &[key])
}

fn hashed(first: char, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that no other parts come to the same.
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut word = String::from(first);
    for byte in hash.finalize().iter().take(BYTES) {
        // Writing to a text does not fail.
        let _ = write!(word, "{byte:02x}");
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn a_fact_is_one_word_and_no_two_are_the_same() {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let number = |value: Value| Scalar::of(&value).unwrap();
        let words = [
            word("a", &text("b")),
            word("ab", &text("")),
            word("", &text("ab")),
            word("a", &text("1")),
            word("a", &number(json!(1))),
            word("a", &Scalar::Bool(true)),
            word("a", &text("true")),
            word("'; drop", &text("\" or 1 == 1")),
            number_key("a"),
        ];
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        assert_eq!(word("a", &number(json!(1))), word("a", &number(json!(1.0))));
        assert_eq!(word("a", &number(json!(0))), word("a", &number(json!(-0.0))));
    }

    #[test]
    fn numbers_are_kept_beside_the_words() {
        let metadata = json!({ "n": 2.5, "t": "x", "l": [1], "o": {}, "z": null, "b": false });
        let facts = Facts::of(metadata.as_object().unwrap());
        assert_eq!(facts.numbers, [(number_key("n"), 2.5)]);
        assert_eq!(facts.words.len(), 4);
        assert!(facts.words.contains(&word("b", &Scalar::Bool(false))));
    }
}
