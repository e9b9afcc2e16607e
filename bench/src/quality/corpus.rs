//! The documentation of Python, as questions and the passages that answer them.

use anyhow::{Context, Result, ensure};
use chaski_documents::{BlockKind, Chunking, Document, Hints, Limits, chunk, parse};
use std::{collections::HashMap, fs, ops::Range, path::Path};

/// The parts of the documentation that are read: manuals with headings that say something.
const PARTS: [&str; 3] = ["tutorial", "howto", "faq"];
/// What stands under a heading has at least so many words.
const LEAST_WORDS: usize = 20;

/// Pages, and what is asked of them.
pub(super) struct Corpus {
    documents: Vec<Document>,
    pub(super) items: Vec<Item>,
}

/// A heading as a question, and where the answer stands.
pub(super) struct Item {
    pub(super) question: String,
    document: usize,
    range: Range<usize>,
}

/// A chunk without its headings.
pub(super) struct Passage {
    pub(super) text: String,
    /// The items whose answer it holds.
    pub(super) answers: Vec<usize>,
}

/// The words of a heading, without its number and the sign of its link.
fn question(title: &str) -> String {
    let title = title.trim().trim_end_matches('¶').trim();
    let number = |character: char| character.is_ascii_digit() || character == '.';
    title.trim_start_matches(number).trim().to_owned()
}

fn is_heading(kind: &BlockKind) -> bool {
    matches!(kind, BlockKind::Heading { .. })
}

impl Corpus {
    /// Reads the pages below a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut documents = Vec::new();
        for part in PARTS {
            let folder = folder.join(part);
            let entries = fs::read_dir(&folder)
                .with_context(|| format!("cannot read `{}`", folder.display()))?;
            let mut paths: Vec<_> =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
            paths.retain(|path| {
                let is_page = path.extension().is_some_and(|extension| extension == "html");
                is_page && path.file_stem().is_some_and(|name| name != "index")
            });
            paths.sort();
            for path in paths {
                let hints = Hints::name(path.to_string_lossy());
                documents.push(parse(&fs::read(&path)?, &hints, &Limits::default())?);
            }
        }
        let items = items(&documents);
        ensure!(!items.is_empty(), "there are no headings in `{}`", folder.display());
        Ok(Self { documents, items })
    }

    pub(super) fn pages(&self) -> usize {
        self.documents.len()
    }

    /// The passages that a chunking makes; answers their tokens too.
    pub(super) fn passages(&self, chunking: &Chunking) -> Result<(Vec<Passage>, usize)> {
        let mut passages = Vec::new();
        let mut tokens = 0;
        let counter = |text: &str| bpe_openai::cl100k_base().count(text);
        for (number, document) in self.documents.iter().enumerate() {
            for chunk in chunk(document, chunking, &Counter(counter), &Limits::default())? {
                let text = without_headings(document, &chunk);
                if text.trim().is_empty() {
                    continue;
                }
                tokens += counter(&text);
                let answers = self.items.iter().enumerate().filter(|(_, item)| {
                    item.document == number && holds(&chunk.range, &item.range)
                });
                let answers = answers.map(|(index, _)| index).collect();
                passages.push(Passage { text, answers });
            }
        }
        Ok((passages, tokens))
    }
}

/// Counts as the server does, and knows where tokens stand.
struct Counter<F>(F);

impl<F: Fn(&str) -> usize> chaski_documents::TokenCounter for Counter<F> {
    fn count(&self, text: &str) -> usize {
        self.0(text)
    }

    fn offsets(&self, text: &str) -> Option<Vec<Range<usize>>> {
        let tokenizer = bpe_openai::cl100k_base();
        let mut start = 0;
        let tokens = tokenizer.encode(text).into_iter().map(|token| {
            let end = start + tokenizer.bpe.token_len(token);
            std::mem::replace(&mut start, end)..end
        });
        Some(tokens.collect())
    }
}

/// Headings that occur once, with more than one word and enough under them.
fn items(documents: &[Document]) -> Vec<Item> {
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut items = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        let headings = document.blocks().iter().filter_map(|block| match &block.kind {
            BlockKind::Heading { title, .. } => Some((question(title), &block.range)),
            BlockKind::Paragraph
            | BlockKind::ListItem { .. }
            | BlockKind::Table { .. }
            | BlockKind::Code { .. } => None,
        });
        let headings: Vec<_> = headings.collect();
        for (place, (question, range)) in headings.iter().enumerate() {
            *times.entry(question.to_lowercase()).or_default() += 1;
            let next = headings.get(place + 1);
            let range = range.end..next.map_or(document.text().len(), |(_, next)| next.start);
            let words = document.text()[range.clone()].split_whitespace().count();
            if words >= LEAST_WORDS && question.split_whitespace().count() > 1 {
                items.push(Item { question: question.clone(), document: number, range });
            }
        }
    }
    items.retain(|item| times[&item.question.to_lowercase()] == 1);
    items
}

/// The text of a chunk without the headings in it, which are the questions.
fn without_headings(document: &Document, chunk: &chaski_documents::Chunk) -> String {
    let mut text = chunk.text[..chunk.context].to_owned();
    let mut start = chunk.range.start;
    let headings = document.blocks().iter().filter(|block| is_heading(&block.kind));
    for range in headings.map(|block| &block.range) {
        if range.end > start && range.start < chunk.range.end {
            text.push_str(&document.text()[start..range.start.max(start)]);
            start = range.end.min(chunk.range.end);
        }
    }
    text.push_str(&document.text()[start..chunk.range.end]);
    text
}

/// Whether both have at least half of one of them in common.
fn holds(passage: &Range<usize>, answer: &Range<usize>) -> bool {
    let common = passage.end.min(answer.end).saturating_sub(passage.start.max(answer.start));
    2 * common >= passage.len().min(answer.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<h1>1.2. The first thing¶</h1><p>Some words that stand under the first \
                        heading, and more of them, so that they are enough for a question of \
                        their own in this test.</p><h2>Twice</h2><p>Few.</p><h2>A second thing</h2>\
                        <p>Other words that stand under the second heading, and more of them, so \
                        that they are enough for another question of the same test.</p>";

    #[test]
    fn headings_are_questions_and_not_in_the_passages() {
        let document = parse(PAGE.as_bytes(), &Hints::name("a.html"), &Limits::default()).unwrap();
        let items = items(std::slice::from_ref(&document));
        let questions: Vec<&str> = items.iter().map(|item| item.question.as_str()).collect();
        assert_eq!(questions, ["The first thing", "A second thing"]);
        let corpus = Corpus { documents: vec![document], items };
        let structural = Chunking::Structural { max_tokens: 100, overlap: 0 };
        let (passages, tokens) = corpus.passages(&structural).unwrap();
        let answers: Vec<&[usize]> = passages.iter().map(|passage| &passage.answers[..]).collect();
        assert_eq!(answers, [&[0][..], &[], &[1]]);
        assert!(tokens > 40);
        for passage in &passages {
            assert!(!passage.text.contains("thing"), "{}", passage.text);
        }
        let (windows, _) = corpus.passages(&Chunking::of_rag_tool(200)).unwrap();
        assert_eq!(windows[0].answers, [0, 1]);
        assert!(!windows[0].text.contains("thing"));
    }

    #[test]
    fn half_of_the_smaller_is_enough() {
        assert!(holds(&(0..10), &(5..30)));
        assert!(!holds(&(0..10), &(6..30)));
        assert!(holds(&(0..100), &(50..60)));
        assert!(!holds(&(0..10), &(20..30)));
    }
}
