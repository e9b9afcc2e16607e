//! Splitting a text into parts that fit, at the best places it has.

use super::TokenCounter;
use crate::{Result, builder::Deadline};
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// Where a text may be split, from the best places to the last resort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Sentence,
    Line,
    Word,
    Grapheme,
    Character,
}

impl Level {
    /// The next finer level.
    fn finer(self) -> Option<Self> {
        match self {
            Self::Sentence => Some(Self::Line),
            Self::Line => Some(Self::Word),
            Self::Word => Some(Self::Grapheme),
            Self::Grapheme => Some(Self::Character),
            Self::Character => None,
        }
    }

    /// Where the units of a text begin, and its end.
    fn bounds(self, text: &str, deadline: &Deadline) -> Result<Vec<usize>> {
        let mut bounds: Vec<usize> = match self {
            Self::Line => {
                let after = |at| at + 1;
                std::iter::once(0)
                    .chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(after))
                    .collect()
            }
            Self::Sentence => sentences(text, deadline)?,
            Self::Word => words(text),
            Self::Grapheme => text.grapheme_indices(true).map(|(at, _)| at).collect(),
            Self::Character => text.char_indices().map(|(at, _)| at).collect(),
        };
        if bounds.last() != Some(&text.len()) {
            bounds.push(text.len());
        }
        Ok(bounds)
    }
}

/// How many bytes the search for the ends of sentences sees at one time: its effort grows with
/// their square, because behind each full stop it looks for the next letter.
const SEEN_BYTES: usize = 512;
/// How many of them are context for the bounds before.
const AHEAD_BYTES: usize = 64;

/// Where sentences begin. A line that breaks does not end one, unless an empty line follows.
fn sentences(text: &str, deadline: &Deadline) -> Result<Vec<usize>> {
    let bounds = sentence_bounds(text, deadline)?;
    let ends = bounds.iter().skip(1).copied().chain([text.len()]);
    let mut starts = Vec::new();
    // What stands before a bound: the last character that is not blank, and the lines after it.
    let (mut last, mut lines) = (None::<char>, 0);
    for (start, end) in bounds.iter().copied().zip(ends) {
        let broken =
            || last.is_none_or(|last| last.is_alphanumeric() || matches!(last, ',' | '-' | '–'));
        if start == 0 || lines != 1 || !broken() {
            starts.push(start);
        }
        let part = text.get(start..end).unwrap_or_default();
        let sentence = part.trim_end();
        if let Some(character) = sentence.chars().next_back() {
            (last, lines) = (Some(character), 0);
        }
        lines += part.get(sentence.len()..).unwrap_or_default().matches('\n').count();
    }
    Ok(starts)
}

/// The bounds of sentences as Unicode defines them, found piece by piece. A piece begins with a
/// sentence, or with a word of one that is longer than a piece.
fn sentence_bounds(text: &str, deadline: &Deadline) -> Result<Vec<usize>> {
    let mut bounds = vec![0];
    let mut from = 0;
    while from < text.len() {
        deadline.check()?;
        let to = text.floor_char_boundary(from + SEEN_BYTES);
        let seen = text.get(from..to).unwrap_or_default();
        let found = seen.split_sentence_bound_indices().skip(1).map(|(at, _)| from + at);
        if to == text.len() {
            bounds.extend(found);
            break;
        }
        let mut last = None;
        for at in found {
            if last.is_some() && at + AHEAD_BYTES > to {
                break;
            }
            bounds.push(at);
            last = Some(at);
        }
        from = last.unwrap_or_else(|| {
            let mut characters = seen.trim_end().char_indices();
            let blank = characters.rfind(|(at, c)| *at > 0 && c.is_whitespace());
            blank.map_or(to, |(at, c)| from + at + c.len_utf8())
        });
    }
    Ok(bounds)
}

/// Where words begin. Blanks belong to the word before them, so that parts begin with words.
pub(super) fn words(text: &str) -> Vec<usize> {
    text.split_word_bound_indices()
        .filter(|(at, word)| *at == 0 || !word.chars().all(char::is_whitespace))
        .map(|(at, _)| at)
        .collect()
}

/// The part of a range without blanks at its ends, if there is one.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = text.get(range.clone())?;
    let start = range.start + (part.len() - part.trim_start().len());
    let end = start + part.trim().len();
    (start < end).then_some(start..end)
}

/// The same, but a part keeps its indentation.
fn unfinished(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = text.get(range.clone())?;
    let end = range.start + part.trim_end().len();
    let first = part.len() - part.trim_start_matches(['\n', '\r']).len();
    (range.start + first < end).then_some(range.start + first..end)
}

/// A part that fits, and its tokens.
pub(super) type Part = (Range<usize>, usize);

/// How many bytes a token stands for at most, in what may fit.
const TOKEN_BYTES: usize = 128;

/// Splits what is too long.
pub(super) struct Splitter<'a> {
    pub(super) text: &'a str,
    pub(super) counter: &'a dyn TokenCounter,
    /// Tokens that a part may have.
    pub(super) max: usize,
    pub(super) deadline: Deadline,
}

impl Splitter<'_> {
    pub(super) fn count(&self, range: &Range<usize>) -> usize {
        self.tokens(self.text.get(range.clone()).unwrap_or_default())
    }

    /// The tokens of a text, if it may fit. Of one that is much too long they are estimated from its
    /// beginning, as more than fit: counting all of it would take long, and be done again for its parts.
    /// So a chunk has a bounded length too, whatever is no token to the counter.
    pub(super) fn tokens(&self, text: &str) -> usize {
        let seen = text.floor_char_boundary(TOKEN_BYTES.saturating_mul(self.max));
        let (beginning, rest) = text.split_at(seen);
        let tokens = self.counter.count(beginning);
        if rest.is_empty() {
            return tokens;
        }
        (tokens.max(self.max) * text.len()).div_ceil(seen.max(1))
    }

    /// Each unit of a range as a part of its own, or as several if it does not fit.
    pub(super) fn units(
        &self,
        range: Range<usize>,
        level: Level,
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let bounds = level.bounds(text, &self.deadline)?;
        for pair in bounds.windows(2) {
            let [start, end] = *pair else { continue };
            let unit = range.start + start..range.start + end;
            let unit = if level == Level::Line {
                unfinished(self.text, unit)
            } else {
                trimmed(self.text, unit)
            };
            if let Some(unit) = unit {
                self.fit(unit, level, parts)?;
            }
        }
        Ok(())
    }

    /// A range as one part if it fits, else as parts at the next finer level.
    pub(super) fn fit(
        &self,
        range: Range<usize>,
        level: Level,
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        self.deadline.check()?;
        let tokens = self.count(&range);
        match level.finer() {
            Some(finer) if tokens > self.max => self.pack(range, tokens, finer, parts),
            _ => {
                parts.push((range, tokens));
                Ok(())
            }
        }
    }

    /// Parts of as many units as fit, by guesses from the average that are then counted.
    fn pack(
        &self,
        range: Range<usize>,
        tokens: usize,
        level: Level,
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let bounds = level.bounds(text, &self.deadline)?;
        let bytes = (text.len() * self.max / tokens.max(1)).max(1);
        let last = bounds.len() - 1;
        let mut from = 0;
        while from < last {
            let goal = bounds[from] + bytes;
            let mut to =
                bounds.partition_point(|at| *at <= goal).saturating_sub(1).clamp(from + 1, last);
            loop {
                self.deadline.check()?;
                let unit = range.start + bounds[from]..range.start + bounds[to];
                let Some(unit) = trimmed(self.text, unit) else { break };
                let tokens = self.count(&unit);
                if tokens <= self.max {
                    parts.push((unit, tokens));
                    break;
                }
                if to == from + 1 {
                    match level.finer() {
                        Some(finer) => self.pack(unit, tokens, finer, parts)?,
                        None => parts.push((unit, tokens)),
                    }
                    break;
                }
                let fewer = from + (to - from) * self.max / tokens;
                to = fewer.clamp(from + 1, to - 1);
            }
            from = to;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn parts(text: &str) -> Vec<&str> {
        let starts = sentences(text, &Deadline::new(&Limits::default())).unwrap();
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
    }

    #[test]
    fn a_line_that_breaks_does_not_end_a_sentence() {
        assert_eq!(
            parts("a line\nand more,\nand on\n \nAnother one\n\nThe end:\nthis. And this."),
            [
                "a line\nand more,\nand on\n \n",
                "Another one\n\n",
                "The end:\n",
                "this. ",
                "And this."
            ]
        );
    }

    #[test]
    fn the_bounds_of_pieces_are_those_of_the_whole() {
        let sentences = [
            "One sentence, e.g. this, of 3.14 words. ",
            "Is \"it?\" (Yes.) ",
            "Ältere Übung.\nUnd noch eine! ",
            "猫である。名前はまだ無い。",
            &format!("A long one {}ends. ", "of many words, ".repeat(60)),
        ];
        for turn in 0..sentences.len() {
            let text: String = sentences.iter().cycle().skip(turn).take(200).copied().collect();
            let whole: Vec<usize> = text.split_sentence_bound_indices().map(|(at, _)| at).collect();
            let found = sentence_bounds(&text, &Deadline::new(&Limits::default())).unwrap();
            assert_eq!(found, whole, "{turn}");
        }
    }
}
