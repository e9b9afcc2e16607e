//! Splitting a text into parts that fit, at the best places it has.

use super::TokenCounter;
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
    fn bounds(self, text: &str) -> Vec<usize> {
        let mut bounds: Vec<usize> = match self {
            Self::Line => {
                let after = |at| at + 1;
                std::iter::once(0)
                    .chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(after))
                    .collect()
            }
            Self::Sentence => sentences(text),
            Self::Word => words(text),
            Self::Grapheme => text.grapheme_indices(true).map(|(at, _)| at).collect(),
            Self::Character => text.char_indices().map(|(at, _)| at).collect(),
        };
        if bounds.last() != Some(&text.len()) {
            bounds.push(text.len());
        }
        bounds
    }
}

/// Where sentences begin. A line that breaks does not end one, unless an empty line follows.
fn sentences(text: &str) -> Vec<usize> {
    let ends = |at: &usize| {
        let before = text.get(..*at).unwrap_or_default();
        let sentence = before.trim_end();
        let blanks = before.get(sentence.len()..).unwrap_or_default();
        !blanks.contains('\n')
            || blanks.matches('\n').count() > 1
            || sentence.ends_with(|c: char| !c.is_alphanumeric() && !matches!(c, ',' | '-' | '–'))
    };
    text.split_sentence_bound_indices()
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || ends(at))
        .collect()
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

/// Splits what is too long.
pub(super) struct Splitter<'a> {
    pub(super) text: &'a str,
    pub(super) counter: &'a dyn TokenCounter,
    /// Tokens that a part may have.
    pub(super) max: usize,
}

impl Splitter<'_> {
    pub(super) fn count(&self, range: &Range<usize>) -> usize {
        self.counter.count(self.text.get(range.clone()).unwrap_or_default())
    }

    /// Each unit of a range as a part of its own, or as several if it does not fit.
    pub(super) fn units(&self, range: Range<usize>, level: Level, parts: &mut Vec<Part>) {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let bounds = level.bounds(text);
        for pair in bounds.windows(2) {
            let [start, end] = *pair else { continue };
            let unit = range.start + start..range.start + end;
            let unit = if level == Level::Line {
                unfinished(self.text, unit)
            } else {
                trimmed(self.text, unit)
            };
            if let Some(unit) = unit {
                self.fit(unit, level, parts);
            }
        }
    }

    /// A range as one part if it fits, else as parts at the next finer level.
    pub(super) fn fit(&self, range: Range<usize>, level: Level, parts: &mut Vec<Part>) {
        let tokens = self.count(&range);
        match level.finer() {
            Some(finer) if tokens > self.max => self.pack(range, tokens, finer, parts),
            _ => parts.push((range, tokens)),
        }
    }

    /// Parts of as many units as fit, by guesses from the average that are then counted.
    fn pack(&self, range: Range<usize>, tokens: usize, level: Level, parts: &mut Vec<Part>) {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let bounds = level.bounds(text);
        let bytes = (text.len() * self.max / tokens.max(1)).max(1);
        let last = bounds.len() - 1;
        let mut from = 0;
        while from < last {
            let goal = bounds[from] + bytes;
            let mut to =
                bounds.partition_point(|at| *at <= goal).saturating_sub(1).clamp(from + 1, last);
            loop {
                let unit = range.start + bounds[from]..range.start + bounds[to];
                let Some(unit) = trimmed(self.text, unit) else { break };
                let tokens = self.count(&unit);
                if tokens <= self.max {
                    parts.push((unit, tokens));
                    break;
                }
                if to == from + 1 {
                    match level.finer() {
                        Some(finer) => self.pack(unit, tokens, finer, parts),
                        None => parts.push((unit, tokens)),
                    }
                    break;
                }
                let fewer = from + (to - from) * self.max / tokens;
                to = fewer.clamp(from + 1, to - 1);
            }
            from = to;
        }
    }
}
