use super::{Chunk, Chunking, Encoding, Estimate, TokenCounter, chunk};
use crate::{Document, ErrorKind, Hints, Limits, parse};
use std::{cell::Cell, ops::Range, sync::Arc};

fn markdown(text: &str) -> Document {
    parse(text.as_bytes(), &Hints::name("a.md"), &Limits::default()).unwrap()
}

fn structural(document: &Document, max_tokens: usize, overlap: usize) -> Vec<Chunk> {
    chunk(document, &Chunking::Structural { max_tokens, overlap }, &Estimate, &Limits::default())
        .unwrap()
}

fn texts(chunks: &[Chunk]) -> Vec<&str> {
    chunks.iter().map(|chunk| chunk.text.as_str()).collect()
}

/// Single bytes as tokens, so that tokens are parts of characters.
fn bytes() -> Encoding<impl Fn(&str) -> Vec<Range<usize>>> {
    Encoding(|text: &str| (0..text.len()).map(|at| at..at + 1).collect())
}

#[test]
fn windows_begin_at_every_stride() {
    let text = "abcdefghij";
    let chunks =
        chunk(&Document::plain(text), &Chunking::of_rag_tool(8), &bytes(), &Limits::default())
            .unwrap();
    assert_eq!(texts(&chunks), ["abcdefgh", "ghij"]);
    let chunks = chunk(
        &Document::plain("abcdefghijklmn"),
        &Chunking::of_rag_tool(8),
        &bytes(),
        &Limits::default(),
    );
    assert_eq!(texts(&chunks.unwrap()), ["abcdefgh", "ghijklmn", "mn"]);
}

#[test]
fn windows_count_as_the_reference_does() {
    let text = "word ".repeat(600);
    let counter = Encoding(|text: &str| (0..text.len() / 5).map(|at| at * 5..at * 5 + 5).collect());
    let chunks =
        chunk(&Document::plain(text), &Chunking::of_rag_tool(512), &counter, &Limits::default())
            .unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.tokens).collect::<Vec<_>>(), [512, 216]);
}

#[test]
fn windows_may_break_characters() {
    let document = Document::plain("aé");
    let chunking = Chunking::Windows { size: 2, overlap: 0 };
    let chunks = chunk(&document, &chunking, &bytes(), &Limits::default()).unwrap();
    assert_eq!(texts(&chunks), ["a\u{fffd}", "\u{fffd}"]);
    assert_eq!(&document.text()[chunks[1].range.clone()], "é");
}

#[test]
fn windows_need_places_of_tokens() {
    let counter = |text: &str| text.len();
    let error =
        chunk(&Document::plain("a"), &Chunking::of_rag_tool(8), &counter, &Limits::default())
            .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Chunking);
}

#[test]
fn sizes_have_the_bounds_of_openai() {
    let check = |max_chunk_size_tokens, chunk_overlap_tokens| {
        Chunking::Static { max_chunk_size_tokens, chunk_overlap_tokens }.check()
    };
    assert!(check(800, 400).is_ok());
    assert!(check(100, 0).is_ok());
    assert!(check(4096, 2048).is_ok());
    assert!(check(99, 0).unwrap_err().message.contains("between 100 and 4096"));
    assert!(check(4097, 0).is_err());
    assert!(check(801, 401).unwrap_err().message.contains("`chunk_overlap_tokens` is 401"));
    assert!(Chunking::of_rag_tool(0).check().is_err());
    assert!(Chunking::Structural { max_tokens: 5, overlap: 5 }.check().is_err());
}

#[test]
fn headings_begin_chunks_and_are_their_path() {
    let document = markdown("Intro.\n\n# A\n\n## B\n\nOne.\n\nTwo.\n\n## C\n\nThree.\n");
    let chunks = structural(&document, 100, 0);
    assert_eq!(texts(&chunks), ["Intro.", "# A\n\n## B\n\nOne.\n\nTwo.", "## C\n\nThree."]);
    assert!(chunks[0].headings.is_empty());
    assert_eq!(chunks[1].headings, ["A", "B"].map(Arc::from));
    assert_eq!(chunks[2].headings, ["A", "C"].map(Arc::from));
}

#[test]
fn sentences_are_cut_before_words() {
    let document = Document::plain("One two three. Four five six. Seven eight nine.");
    let chunks = structural(&document, 9, 0);
    assert_eq!(texts(&chunks), ["One two three. Four five six.", "Seven eight nine."]);
    let chunks = structural(&document, 2, 0);
    assert_eq!(texts(&chunks)[..2], ["One two", "three"]);
}

#[test]
fn the_end_of_a_chunk_is_repeated() {
    let document = Document::plain("Aa bb. Cc dd. Ee ff. Gg hh.");
    let chunks = structural(&document, 9, 3);
    assert_eq!(texts(&chunks), ["Aa bb. Cc dd. Ee ff.", "Ee ff. Gg hh."]);
    let long = Document::plain("Aa bb cc dd ee ff gg hh. Ii jj kk ll mm nn oo pp.");
    assert_eq!(
        texts(&structural(&long, 12, 3)),
        ["Aa bb cc dd ee ff gg hh.", "gg hh. Ii jj kk ll mm nn oo pp."]
    );
}

#[test]
fn a_long_table_repeats_its_header() {
    let rows: Vec<String> = (1..=6).map(|row| format!("| row {row} | {row} |\n")).collect();
    let document = markdown(&format!("| name | n |\n|---|---|\n{}", rows.concat()));
    let chunks = structural(&document, 30, 10);
    assert!(chunks.len() > 1);
    for later in &chunks[1..] {
        assert!(later.text.starts_with("| name | n |\n|---|---|\n| row"), "{}", later.text);
        assert_eq!(later.text[later.context..], document.text()[later.range.clone()]);
        assert!(later.tokens <= 30);
    }
}

#[test]
fn a_table_that_fits_stays_whole() {
    let table = "| a | b |\n|---|---|\n| 1 | 2 |";
    let document = markdown(&format!("Some words before the table.\n\n{table}\n"));
    assert_eq!(texts(&structural(&document, 23, 0)), ["Some words before the table.", table]);
}

#[test]
fn code_is_cut_between_its_parts() {
    let function = |name: &str| format!("fn {name}() {{\n    one();\n\n    two();\n}}\n");
    let code = format!("{}\n{}\n{}", function("a"), function("b"), function("c"));
    let hints = Hints::name("a.rs");
    let document = parse(code.as_bytes(), &hints, &Limits::default()).unwrap();
    let chunks = structural(&document, 40, 0);
    assert!(chunks.len() > 1);
    for chunk in &chunks {
        assert!(chunk.text.starts_with("fn "), "{}", chunk.text);
        assert!(chunk.text.ends_with('}'), "{}", chunk.text);
    }
}

#[test]
fn pages_of_a_chunk_are_named() {
    let document = parse(b"one.\x0ctwo.\x0cthree.", &Hints::default(), &Limits::default()).unwrap();
    let chunks = structural(&document, 4, 0);
    assert_eq!(texts(&chunks), ["one.\u{c}two.", "three."]);
    assert_eq!(chunks[0].pages, [1, 2]);
    assert_eq!(chunks[1].pages, [3]);
}

#[test]
fn graphemes_stay_whole_while_they_fit() {
    let family = "👨‍👩‍👧‍👦";
    let document = Document::plain(family.repeat(5));
    let counter = |text: &str| text.chars().count();
    let chunking = Chunking::Structural { max_tokens: 15, overlap: 0 };
    let chunks = chunk(&document, &chunking, &counter, &Limits::default()).unwrap();
    assert_eq!(texts(&chunks), [family.repeat(2), family.repeat(2), family.to_owned()]);
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    /// A Markdown file of words, sentences, lists, code and tables.
    fn markdown(&mut self) -> String {
        const WORDS: [&str; 12] = [
            "a",
            "word",
            "Überraschung",
            "猫である",
            "e\u{301}e\u{301}",
            "3.14",
            "antidisestablishmentarianism",
            "👨‍👩‍👧‍👦",
            "end.",
            "Really?",
            "x_y",
            "«да»",
        ];
        let count = self.roll(12) + 1;
        (0..count).map(|_| self.block(&WORDS)).collect::<Vec<_>>().concat()
    }

    fn words(&mut self, words: &[&str], most: usize) -> String {
        let count = self.roll(most) + 1;
        (0..count).map(|_| words[self.roll(words.len())]).collect::<Vec<_>>().join(" ")
    }

    fn block(&mut self, words: &[&str]) -> String {
        match self.roll(7) {
            0 => format!("{} {}\n\n", "#".repeat(self.roll(4) + 1), self.words(words, 5)),
            1 => {
                let items = self.roll(6);
                let item = |_| format!("- {}\n", self.words(words, 30));
                (0..items).map(item).collect::<Vec<_>>().concat()
            }
            2 => {
                let rows = self.roll(30);
                let row = |_| format!("| {} | {} |\n", self.words(words, 3), self.words(words, 3));
                let rows: Vec<_> = (0..rows).map(row).collect();
                format!("\n| h | i |\n|---|---|\n{}\n", rows.concat())
            }
            3 => {
                let (above, below) = (self.words(words, 40), self.words(words, 9));
                format!("\n```c\n{above}\n\n{below}\n```\n\n")
            }
            4 => "long".repeat(self.roll(300)) + "\n\n",
            _ => self.words(words, 200) + "\n\n",
        }
    }
}

#[test]
fn chunks_hold_what_they_promise() {
    let mut dice = Dice(7);
    for round in 0..300 {
        let document = markdown(&(dice.markdown() + "Last words."));
        let max = 8 + dice.roll(120);
        let overlap = dice.roll(max / 2);
        let counter: &dyn TokenCounter =
            if round % 2 == 0 { &Estimate } else { &|text: &str| text.chars().count() / 3 };
        let chunks = chunk(
            &document,
            &Chunking::Structural { max_tokens: max, overlap },
            counter,
            &Limits::default(),
        )
        .unwrap();
        check(&document, &chunks, max, overlap, counter);
    }
    for _ in 0..20 {
        let document = Document::plain(dice.markdown().repeat(3) + "Last words.");
        let max = 100 + dice.roll(300);
        let chunking =
            Chunking::Static { max_chunk_size_tokens: max, chunk_overlap_tokens: max / 3 };
        let chunks = chunk(&document, &chunking, &Estimate, &Limits::default()).unwrap();
        check(&document, &chunks, max, max / 3, &Estimate);
    }
}

fn check(
    document: &Document,
    chunks: &[Chunk],
    max: usize,
    overlap: usize,
    counter: &dyn TokenCounter,
) {
    let text = document.text();
    let mut covered = 0;
    let mut before: Option<&Chunk> = None;
    for chunk in chunks {
        assert_eq!(chunk.text[chunk.context..], text[chunk.range.clone()]);
        assert_eq!(chunk.tokens, counter.count(&chunk.text));
        let single = chunk.text.chars().count() == 1;
        assert!(chunk.tokens <= max || single, "{} of {max}: {}", chunk.tokens, chunk.text);
        if let Some(before) = before {
            assert!(before.range.start < chunk.range.start);
            assert!(before.range.end < chunk.range.end);
            if chunk.range.start < before.range.end {
                let repeated = &text[chunk.range.start..before.range.end];
                assert!(counter.count(repeated) <= overlap, "{repeated}");
            }
        }
        let gap = text.get(covered..chunk.range.start).unwrap_or_default();
        assert!(!gap.contains(char::is_alphanumeric), "lost: {gap}");
        covered = chunk.range.end;
        before = Some(chunk);
    }
    assert!(!text[covered..].contains(char::is_alphanumeric), "lost: {}", &text[covered..]);
}

#[test]
fn a_megabyte_without_blanks_is_cut_to_its_end() {
    let document = Document::plain("x".repeat(1 << 20));
    let chunks = structural(&document, 256, 32);
    assert!(chunks.len() >= 1024, "{}", chunks.len());
}

#[test]
fn sentences_end_where_they_do_however_long_they_are() {
    let long = "many words, ".repeat(100);
    let sentences =
        [format!("Begin {long}end. "), format!("Then {long}etc. and on. "), "Short. ".into()];
    let document = Document::plain(sentences.concat().repeat(3));
    let sentence = |text: &str| text.split_whitespace().count();
    // So many words that each long sentence fits, but no two of them.
    let chunks = chunk(
        &document,
        &Chunking::Structural { max_tokens: 210, overlap: 0 },
        &sentence,
        &Limits::default(),
    );
    for chunk in chunks.unwrap() {
        assert!(chunk.text.ends_with('.'), "{}", chunk.text);
    }
}

#[test]
fn hostile_texts_are_cut_with_the_effort_of_ordinary_ones() {
    let size = 100_000;
    let time = |text: String| {
        let document = Document::plain(text);
        let started = std::time::Instant::now();
        assert!(!structural(&document, 220, 40).is_empty());
        started.elapsed()
    };
    // The same run says how fast the machine is. What is not linear takes thousands of times.
    let ordinary = "It was a quiet evening. ".repeat(size / 24);
    let limit = (0..3).map(|_| time(ordinary.clone())).max().unwrap_or_default() * 200;
    let half = size / 2;
    for (name, text) in [
        ("blanks, digits", format!("Hello.{}{}", " ".repeat(half), "1".repeat(half))),
        ("brackets, digits", format!("Hello.{}{}", ")".repeat(half), "1".repeat(half))),
        ("marks, digits", format!("a.{}{}", "\u{301}".repeat(half / 2), "1".repeat(half))),
        ("stops and digits", "A.1 ".repeat(size / 4)),
        ("lines", "\n".repeat(half) + "end" + &" \r".repeat(half / 2) + "x"),
        ("line separators", format!("a{}b", "\u{2028}".repeat(size / 3))),
        ("gaps", format!("Word.{}", " ".repeat(2000)).repeat(size / 2000)),
        ("apostrophes", "a'".repeat(half)),
        ("joiners", "\u{1f468}\u{200d}".repeat(size / 7)),
        ("flags", "\u{1f1e6}".repeat(size / 4)),
        ("conjuncts", format!("\u{915}{}", "\u{94d}".repeat(size / 3))),
    ] {
        let took = time(text);
        assert!(took < limit, "{name} took {took:?}, more than {limit:?}");
    }
}

#[test]
fn counting_sees_a_long_text_in_parts_and_a_few_times() {
    let line = "    let value = call(argument);\n";
    let code = format!("```rust\n{}```\n", line.repeat(20_000));
    for document in [
        markdown(&code),
        Document::plain("word ".repeat(100_000)),
        Document::plain("x".repeat(500_000)),
        // Blanks are no tokens: at some point the text is cut all the same.
        Document::plain(format!("a{}b", " ".repeat(500_000))),
    ] {
        let (longest, all) = (Cell::new(0), Cell::new(0));
        let counter = |text: &str| {
            longest.set(longest.get().max(text.len()));
            all.set(all.get() + text.len());
            Estimate.count(text)
        };
        let chunking = Chunking::Structural { max_tokens: 220, overlap: 40 };
        let chunks = chunk(&document, &chunking, &counter, &Limits::default()).unwrap();
        check(&document, &chunks, 220, 40, &Estimate);
        let (longest, all, length) = (longest.get(), all.get(), document.text().len());
        assert!(longest <= 128 * 220, "{longest}");
        assert!(all < 8 * length, "{all} bytes of {length}");
    }
}

#[test]
fn cutting_ends_with_its_time() {
    let document = Document::plain("A sentence. ".repeat(1000));
    let limits = Limits { time: std::time::Duration::ZERO, ..Limits::default() };
    for chunking in [Chunking::Auto, Chunking::of_rag_tool(8)] {
        let error = chunk(&document, &chunking, &Estimate, &limits).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout, "{chunking:?}");
    }
}

#[test]
fn a_long_heading_is_kept_once_and_cut() {
    let document = markdown(&format!("# {}\n\n{}", "ö".repeat(100_000), "Text.\n\n".repeat(500)));
    let chunks = structural(&document, 100, 0);
    let below: Vec<_> = chunks.iter().filter(|chunk| chunk.text.starts_with("Text.")).collect();
    assert!(below.len() > 2);
    for chunk in &below {
        assert_eq!(chunk.headings.len(), 1);
        assert!(Arc::ptr_eq(&chunk.headings[0], &below[0].headings[0]));
        assert_eq!(chunk.headings[0].chars().count(), 200);
    }
    assert_eq!(document.title().map(|title| title.chars().count()), Some(200));
    assert!(document.text().contains(&"ö".repeat(100_000)));
}
