//! Counting tokens, as the embedding model does or nearly so.

use std::ops::Range;

/// Counts the tokens of a text. Closures `Fn(&str) -> usize` are counters.
pub trait TokenCounter {
    fn count(&self, text: &str) -> usize;

    /// Where the tokens stand, in bytes and in order, if the counter knows. A token may be a part
    /// of a character.
    fn offsets(&self, text: &str) -> Option<Vec<Range<usize>>> {
        let _ = text;
        None
    }
}

impl<F: Fn(&str) -> usize> TokenCounter for F {
    fn count(&self, text: &str) -> usize {
        self(text)
    }
}

/// A counter from a tokenizer: a closure that answers where the tokens of a text stand.
#[derive(Debug, Clone, Copy)]
pub struct Encoding<F>(pub F);

impl<F: Fn(&str) -> Vec<Range<usize>>> TokenCounter for Encoding<F> {
    fn count(&self, text: &str) -> usize {
        self.0(text).len()
    }

    fn offsets(&self, text: &str) -> Option<Vec<Range<usize>>> {
        Some(self.0(text))
    }
}

/// Letters of a word that make a token, in the estimate.
const LETTERS: usize = 4;

/// An estimate without a tokenizer: four letters of a word are a token, and so is each sign and
/// each character of scripts that are written without blanks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate;

impl Estimate {
    /// Calls `token` with the end of each token.
    fn tokens(text: &str, mut token: impl FnMut(usize)) {
        let (mut letters, mut end) = (0, 0);
        for (at, c) in text.char_indices() {
            let ideograph = matches!(u32::from(c), 0x0e00..=0x0eff | 0x3040..=0x9fff
                | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff);
            let letter = c.is_alphanumeric() && !ideograph;
            if letters > 0 && (!letter || letters == LETTERS) {
                token(at);
                letters = 0;
            }
            end = at + c.len_utf8();
            if letter {
                letters += 1;
            } else if !c.is_whitespace() {
                token(end);
            }
        }
        if letters > 0 {
            token(end);
        }
    }
}

impl TokenCounter for Estimate {
    fn count(&self, text: &str) -> usize {
        let mut count = 0;
        Self::tokens(text, |_| count += 1);
        count
    }

    fn offsets(&self, text: &str) -> Option<Vec<Range<usize>>> {
        let (mut tokens, mut start) = (Vec::new(), 0);
        Self::tokens(text, |end| {
            tokens.push(start..end);
            start = end;
        });
        // Blanks at the end belong to the last token, as all others belong to the next.
        if let Some(last) = tokens.last_mut() {
            last.end = text.len();
        }
        Some(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_counts_words_and_signs() {
        for (text, tokens) in [
            ("", 0),
            ("  \n", 0),
            ("word", 1),
            ("words, and", 4),
            ("internationalization", 5),
            ("猫である", 4),
        ] {
            assert_eq!(Estimate.count(text), tokens, "{text}");
            assert_eq!(Estimate.offsets(text).unwrap().len(), tokens, "{text}");
        }
    }

    #[test]
    fn the_tokens_of_the_estimate_cover_the_text() {
        let text = " A few words: 猫, and more.  ";
        let joined: String =
            Estimate.offsets(text).unwrap().into_iter().map(|range| &text[range]).collect();
        assert_eq!(joined, text);
    }
}
