//! Documents read and cut into windows of tokens.

use super::source::Source;
use chaski_api::Result;
use chaski_documents::{
    Chunk, Chunking, Document, Encoding, Error, ErrorKind, Hints, Limits, chunk,
};
use chaski_provider::{Deps, DocumentFile};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long reading one document may take, and how long cutting it.
const READING: Duration = Duration::from_secs(30);
/// The most chunks of one request.
const CHUNKS: usize = 100_000;

/// The chunks that a request has, all documents together. They are counted before they are made.
#[derive(Default)]
pub(super) struct Counted(AtomicUsize);

impl Counted {
    /// Counts the windows of `size` tokens that a text of so many tokens is cut into.
    fn add(&self, tokens: usize, size: usize) -> chaski_documents::Result<()> {
        let more = tokens.div_ceil((size - size / 4).max(1));
        let count = self.0.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        if count <= CHUNKS {
            return Ok(());
        }
        let message = format!(
            "with its {tokens} tokens at least {count} chunks are to be inserted, but {CHUNKS} are \
             allowed; split the request, or raise `chunk_size_in_tokens`, which is {size}"
        );
        Err(Error { kind: ErrorKind::TooLarge, message })
    }
}

/// The tokens of a text.
pub(super) fn count(text: &str) -> usize {
    bpe_openai::cl100k_base().count(text)
}

/// Where the tokens of a text stand.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let tokenizer = bpe_openai::cl100k_base();
    let mut end = 0;
    let lengths = tokenizer.encode(text).into_iter().map(|token| tokenizer.bpe.token_len(token));
    lengths
        .map(|length| {
            let start = end;
            end += length;
            start..end
        })
        .collect()
}

/// Reads a document and cuts it into windows of `size` tokens, each of which begins with the last
/// quarter of the one before.
///
/// # Errors
/// The document is of a kind that is not read, is damaged, or passes a limit, or the request has
/// too many chunks with it.
pub(super) async fn windows(
    deps: &Deps,
    source: Source,
    size: usize,
    counted: &Arc<Counted>,
) -> Result<Vec<Chunk>> {
    let limits = Limits { time: READING, ..Limits::default() };
    let (cutting, counted) = (limits.clone(), counted.clone());
    let cut = move |document: Document| windows_of(&document, size, &counted, &cutting);
    let windows = match source {
        Source::Text(text) => deps.cpu.run(move || cut(Document::plain(text))).await?,
        Source::File { bytes, media_type, name } => {
            let media_type = Some(media_type).filter(|media_type| !media_type.is_empty());
            let hints = Hints { name, media_type, ..Hints::default() };
            deps.documents.read(DocumentFile::Bytes(bytes), hints, limits, cut).await?
        }
    };
    Ok(windows?)
}

fn windows_of(
    document: &Document,
    size: usize,
    counted: &Counted,
    limits: &Limits,
) -> chaski_documents::Result<Vec<Chunk>> {
    counted.add(count(document.text()), size)?;
    chunk(document, &Chunking::of_rag_tool(size), &Encoding(tokens), limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(
        document: &Document,
        size: usize,
        counted: &Counted,
    ) -> chaski_documents::Result<Vec<Chunk>> {
        windows_of(document, size, counted, &Limits::default())
    }

    fn lengths(text: &str, size: usize) -> Vec<usize> {
        let found = cut(&Document::plain(text.to_owned()), size, &Counted::default()).unwrap();
        found.iter().map(|window| window.tokens).collect()
    }

    #[test]
    fn windows_overlap_by_a_quarter() {
        let text = "word ".repeat(600);
        assert_eq!(lengths(text.trim_end(), 512), [512, 216]);
        assert_eq!(lengths("one two three", 1), [1, 1, 1]);
        assert_eq!(lengths("one two three", 3), [3]);
        assert!(lengths("", 512).is_empty());
    }

    #[test]
    fn a_window_may_end_inside_a_character() {
        let text = "\u{1f9d9}\u{200d}\u{2642}\u{fe0f}".repeat(20);
        let found = cut(&Document::plain(text), 3, &Counted::default()).unwrap();
        assert!(found.len() > 20 && found.iter().any(|one| one.text.contains('\u{fffd}')));
    }

    #[test]
    fn chunks_are_counted_as_they_are_made() {
        for (words, size) in [(0, 1), (1, 1), (7, 1), (64, 5), (65, 5), (600, 512)] {
            let counted = Counted::default();
            let document = Document::plain(" a".repeat(words));
            let made = cut(&document, size, &counted).unwrap().len();
            assert_eq!(counted.0.into_inner(), made, "{words} words, {size}");
        }
    }

    #[test]
    fn too_many_chunks_are_refused_over_all_documents() {
        let counted = Counted::default();
        let document = Document::plain(" a".repeat(60_000));
        assert_eq!(cut(&document, 1, &counted).unwrap().len(), 60_000);
        let error = cut(&document, 1, &counted).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
        for part in ["120000 chunks", "`chunk_size_in_tokens`, which is 1"] {
            assert!(error.message.contains(part), "{error}");
        }
    }
}
