//! Which texts hold which terms, how often, and how long the texts are.

use super::bytes::{Sink, Source, Texts};
use crate::text::{Analyzer, words_of};
use std::{collections::HashMap, ops::Range};

/// The inverted index of a segment.
///
/// The postings of a term are pairs of numbers of seven bits a byte: the distance to the last
/// position, shifted by one, with the lowest bit set if the number of occurrences follows; else it
/// is one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Postings {
    /// Sorted.
    terms: Texts,
    /// Where the postings of each term end in `bytes`, and how many there are.
    ends: Vec<(u64, u32)>,
    bytes: Vec<u8>,
    /// The number of terms of each text.
    lengths: Vec<u32>,
    blocks: Vec<Block>,
    /// The terms that have blocks, and where those begin; sorted.
    blocked: Vec<(u32, u32)>,
}

/// So many postings of a term are a block; terms with fewer have none.
const BLOCK: usize = 128;

/// Some postings that follow one another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Block {
    /// Where they end in the bytes of all terms.
    end: usize,
    /// The position of the last one.
    last: u32,
    peak: Peak,
}

/// No text among some has the term more often, and none is shorter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Peak {
    pub(crate) occurrences: u32,
    pub(crate) length: u32,
}

impl Peak {
    const NONE: Self = Self { occurrences: 0, length: u32::MAX };

    fn meet(&mut self, occurrences: u32, length: u32) {
        self.occurrences = self.occurrences.max(occurrences);
        self.length = self.length.min(length);
    }
}

/// Goes forward through the postings of a term, past those that are not asked for.
pub(crate) struct Cursor<'p> {
    postings: &'p Postings,
    blocks: &'p [Block],
    at: usize,
    end: usize,
    /// The last posting that was read.
    position: u32,
    occurrences: u32,
    ended: bool,
}

impl Cursor<'_> {
    /// How often the text at this position, which is not before the last one, holds the term.
    pub(crate) fn occurrences(&mut self, position: u32) -> u32 {
        let past = self.blocks.partition_point(|block| block.last < position);
        if past > 0 {
            let Block { end, last, .. } = self.blocks[past - 1];
            self.blocks = &self.blocks[past..];
            // The last posting that was read may be in the block after it.
            if end > self.at {
                (self.at, self.position, self.occurrences) = (end, last, 0);
            }
        }
        while self.position < position && !self.ended {
            self.step();
        }
        if self.position == position { self.occurrences } else { 0 }
    }

    fn step(&mut self) {
        let mut bytes = &self.postings.bytes[self.at..self.end];
        let found = posting(&mut bytes, self.position);
        self.ended = found.is_none();
        (self.position, self.occurrences) = found.unwrap_or((self.position, 0));
        self.at = self.end - bytes.len();
    }
}

/// The posting at the front, whose position is counted from the one before.
#[inline]
fn posting(bytes: &mut &[u8], before: u32) -> Option<(u32, u32)> {
    let first = take(bytes)?;
    let position = u64::from(before).checked_add(first >> 1)?;
    let occurrences = if first & 1 == 0 { 1 } else { take(bytes)? };
    Some((u32::try_from(position).ok()?, u32::try_from(occurrences).ok()?))
}

fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[inline]
fn take(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all numbers have one byte.
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    take_long(bytes)
}

fn take_long(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        shift += 7;
        if byte < 0x80 || shift > 63 {
            return Some(number);
        }
    }
}

/// The postings of one term as they are collected.
#[derive(Debug, Default, Clone)]
struct List {
    bytes: Vec<u8>,
    last: u32,
    count: u32,
}

impl List {
    fn push(&mut self, position: u32, occurrences: u32) {
        let distance = u64::from(position - self.last);
        if occurrences == 1 {
            put(distance << 1, &mut self.bytes);
        } else {
            put(distance << 1 | 1, &mut self.bytes);
            put(u64::from(occurrences), &mut self.bytes);
        }
        self.last = position;
        self.count += 1;
    }
}

/// Reads texts into postings.
#[derive(Default)]
pub(crate) struct Builder {
    /// The terms of a word as it stands in a text, in `expansions`: few words are many.
    words: HashMap<Box<str>, Range<usize>>,
    expansions: Vec<u32>,
    numbers: HashMap<Box<str>, u32>,
    lists: Vec<List>,
    lengths: Vec<u32>,
    /// The terms of the text at hand.
    terms: Vec<u32>,
}

impl Builder {
    pub(crate) fn add(&mut self, analyzer: &Analyzer, text: &str) {
        let Self { words, expansions, numbers, lists, lengths, terms } = self;
        terms.clear();
        words_of(text, |word| {
            if let Some(range) = words.get(word) {
                terms.extend_from_slice(&expansions[range.clone()]);
                return;
            }
            let start = expansions.len();
            analyzer.terms(word, |term| {
                let number = numbers.get(term).copied().unwrap_or_else(|| {
                    let number = super::narrow(lists.len());
                    numbers.insert(term.into(), number);
                    lists.push(List::default());
                    number
                });
                expansions.push(number);
            });
            let range = start..expansions.len();
            terms.extend_from_slice(&expansions[range.clone()]);
            words.insert(word.into(), range);
        });
        let position = super::narrow(lengths.len());
        lengths.push(super::narrow(terms.len()));
        terms.sort_unstable();
        for same in terms.chunk_by(|one, other| one == other) {
            lists[same[0] as usize].push(position, super::narrow(same.len()));
        }
    }

    pub(crate) fn finish(self) -> Postings {
        let mut numbers: Vec<(Box<str>, u32)> = self.numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut postings = Postings { lengths: self.lengths, ..Postings::default() };
        for (term, number) in numbers {
            postings.append(&term, &self.lists[number as usize]);
        }
        postings.shrink();
        postings
    }
}

impl Postings {
    fn append(&mut self, term: &str, list: &List) {
        self.terms.push(term);
        self.bytes.extend_from_slice(&list.bytes);
        self.ends.push((self.bytes.len() as u64, list.count));
        self.make_blocks(self.ends.len() - 1);
    }

    /// Divides the postings of a term, if they are many. The lengths are known.
    fn make_blocks(&mut self, term: usize) {
        if (self.count(term) as usize) <= BLOCK {
            return;
        }
        self.blocked.push((super::narrow(term), super::narrow(self.blocks.len())));
        let range = self.range(term);
        let (mut bytes, mut last) = (&self.bytes[range.clone()], 0);
        while !bytes.is_empty() {
            let mut peak = Peak::NONE;
            for _ in 0..BLOCK {
                let Some((position, occurrences)) = posting(&mut bytes, last) else { break };
                let Some(length) = self.lengths.get(position as usize) else { break };
                peak.meet(occurrences, *length);
                last = position;
            }
            if peak == Peak::NONE {
                break;
            }
            self.blocks.push(Block { end: range.end - bytes.len(), last, peak });
        }
    }

    fn blocks(&self, term: usize) -> &[Block] {
        let Ok(place) = self.blocked.binary_search_by_key(&term, |(term, _)| *term as usize) else {
            return &[];
        };
        let start = self.blocked[place].1 as usize;
        let end = self.blocked.get(place + 1).map_or(self.blocks.len(), |(_, end)| *end as usize);
        &self.blocks[start..end]
    }

    /// The bytes of a term.
    fn range(&self, term: usize) -> Range<usize> {
        let bound = |index: usize| usize::try_from(self.ends[index].0).unwrap_or(usize::MAX);
        let start = if term == 0 { 0 } else { bound(term - 1) };
        start..bound(term)
    }

    /// Of the texts that hold the term.
    pub(crate) fn peak(&self, term: usize) -> Peak {
        let mut peak = Peak::NONE;
        let blocks = self.blocks(term);
        for block in blocks {
            peak.meet(block.peak.occurrences, block.peak.length);
        }
        if blocks.is_empty() {
            self.each(term, |position, occurrences| {
                peak.meet(occurrences, self.lengths[position as usize]);
            });
        }
        peak
    }

    pub(crate) fn cursor(&self, term: usize) -> Cursor<'_> {
        let Range { start, end } = self.range(term);
        let mut cursor = Cursor {
            postings: self,
            blocks: self.blocks(term),
            at: start,
            end,
            position: 0,
            occurrences: 0,
            ended: false,
        };
        cursor.step();
        cursor
    }

    fn shrink(&mut self) {
        self.terms.shrink();
        self.ends.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self.blocks.shrink_to_fit();
        self.blocked.shrink_to_fit();
    }

    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    pub(crate) fn find(&self, term: &str) -> Option<usize> {
        self.terms.find(term)
    }

    /// How many texts hold the term.
    pub(crate) fn count(&self, term: usize) -> u32 {
        self.ends[term].1
    }

    /// Calls with the position and the number of occurrences of each text that holds the term.
    #[inline]
    pub(crate) fn each(&self, term: usize, mut visit: impl FnMut(u32, u32)) {
        let mut bytes = &self.bytes[self.range(term)];
        let mut last = 0;
        while let Some((position, occurrences)) = posting(&mut bytes, last) {
            visit(position, occurrences);
            last = position;
        }
    }

    /// The postings of several segments as those of one. `places` has for each segment the new
    /// position of each old one, ascending over all, or nothing if the text is gone.
    pub(crate) fn merge(parts: &[(&Self, &[Option<u32>])]) -> Self {
        let mut merged = Self::default();
        for (part, places) in parts {
            let kept = part.lengths.iter().zip(*places).filter(|(_, place)| place.is_some());
            merged.lengths.extend(kept.map(|(length, _)| *length));
        }
        let mut next = vec![0; parts.len()];
        let mut list = List::default();
        loop {
            let heads = parts.iter().zip(&next).filter(|((part, _), at)| **at < part.terms.len());
            let Some(term) = heads.map(|((part, _), at)| part.terms.get(*at)).min() else { break };
            list.bytes.clear();
            (list.last, list.count) = (0, 0);
            for ((part, places), at) in parts.iter().zip(&mut next) {
                if *at < part.terms.len() && part.terms.get(*at) == term {
                    part.each(*at, |position, occurrences| {
                        if let Some(place) = places[position as usize] {
                            list.push(place, occurrences);
                        }
                    });
                    *at += 1;
                }
            }
            if list.count > 0 {
                merged.append(term, &list);
            }
        }
        merged.shrink();
        merged
    }

    pub(crate) fn memory(&self) -> usize {
        self.terms.memory()
            + self.ends.capacity() * size_of::<(u64, u32)>()
            + self.bytes.capacity()
            + self.lengths.capacity() * 4
            + self.blocks.capacity() * size_of::<Block>()
            + self.blocked.capacity() * 8
    }

    pub(crate) fn write(&self, sink: &mut Sink) {
        self.terms.write(sink);
        sink.list(&self.ends);
        sink.bytes(&self.bytes);
        sink.list(&self.lengths);
    }

    /// Of a segment of so many texts.
    pub(crate) fn read(source: &mut Source<'_>, rows: usize) -> Option<Self> {
        let terms = Texts::read(source)?;
        let ends: Vec<(u64, u32)> = source.list()?;
        let bytes = source.bytes()?.to_vec();
        let lengths: Vec<u32> = source.list()?;
        let last = ends.last().map_or(0, |(end, _)| *end);
        let whole = ends.is_sorted_by_key(|(end, _)| *end) && last == bytes.len() as u64;
        let mut postings = Self { terms, ends, bytes, lengths, ..Self::default() };
        let counts = postings.terms.len() == postings.ends.len() && postings.lengths.len() == rows;
        if !(whole && counts) {
            return None;
        }
        for term in 0..postings.ends.len() {
            postings.make_blocks(term);
        }
        postings.shrink();
        Some(postings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextSettings;

    fn build(texts: &[&str]) -> Postings {
        let analyzer = Analyzer::new(&TextSettings::default());
        let mut builder = Builder::default();
        for text in texts {
            builder.add(&analyzer, text);
        }
        builder.finish()
    }

    fn list(postings: &Postings, term: &str) -> Vec<(u32, u32)> {
        let mut out = Vec::new();
        if let Some(term) = postings.find(term) {
            postings.each(term, |position, occurrences| out.push((position, occurrences)));
            assert_eq!(out.len(), postings.count(term) as usize);
        }
        out
    }

    #[test]
    fn terms_lead_to_their_texts() {
        let many = "rust ".repeat(1000);
        let postings = build(&["Rust and rust", "", "python", &many]);
        assert_eq!(list(&postings, "rust"), [(0, 2), (3, 1000)]);
        assert_eq!(list(&postings, "python"), [(2, 1)]);
        assert_eq!(list(&postings, "java"), []);
        assert_eq!(postings.lengths(), [2, 0, 1, 1000]);
    }

    #[test]
    fn merged_postings_are_those_of_the_texts_that_remain() {
        let (one, other) = (build(&["a1 b1", "b1 c1", "c1"]), build(&["b1 b1", "d1", "a1"]));
        let places = [vec![Some(0), None, Some(1)], vec![Some(2), None, Some(3)]];
        let merged = Postings::merge(&[(&one, &places[0]), (&other, &places[1])]);
        assert_eq!(merged, build(&["a1 b1", "c1", "b1 b1", "a1"]));
    }

    #[test]
    fn a_cursor_finds_what_is_there_and_nothing_else() {
        let texts: Vec<String> = (0..2000)
            .map(|number| match number % 7 {
                0 => "rust ".repeat(1 + number % 3),
                1 => "python".to_owned(),
                _ => String::new(),
            })
            .collect();
        let postings = build(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let term = postings.find("rust").unwrap();
        assert!(postings.blocks(term).len() > 1);
        let all = list(&postings, "rust");
        for step in [1, 2, 7, 128, 129, 900, 1999] {
            let mut cursor = postings.cursor(term);
            for position in (0..2100).step_by(step) {
                let expected = all.iter().find(|(other, _)| *other == position);
                let found = cursor.occurrences(position);
                assert_eq!(found, expected.map_or(0, |(_, times)| *times), "{step} {position}");
                assert_eq!(cursor.occurrences(position), found);
            }
        }
        assert_eq!(postings.peak(term), Peak { occurrences: 3, length: 1 });
        assert_eq!(postings.cursor(postings.find("python").unwrap()).occurrences(1), 1);
    }

    #[test]
    fn postings_come_back_from_their_file_with_their_blocks() {
        let texts = vec!["a1 b1 b1"; 300];
        let postings = build(&texts);
        let mut sink = Sink::default();
        postings.write(&mut sink);
        assert_eq!(Postings::read(&mut Source(&sink.0), 300).unwrap(), postings);
        assert!(Postings::read(&mut Source(&sink.0), 299).is_none());
    }

    #[test]
    fn numbers_of_every_size_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX >> 1] {
            let mut bytes = Vec::new();
            put(number, &mut bytes);
            assert_eq!(take(&mut &bytes[..]), Some(number));
        }
        assert_eq!(take(&mut &[0x80u8][..]), None);
    }
}
