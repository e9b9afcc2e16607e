//! Documents read and cut into windows of tokens.

use super::source::Source;
use chaski_api::Result;
use chaski_documents::{Chunk, Chunking, Document, Encoding, Hints, Limits, chunk};
use chaski_provider::{Deps, DocumentFile};
use std::{ops::Range, time::Duration};

/// How long reading one document may take.
const READING: Duration = Duration::from_secs(30);

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
/// The document is of a kind that is not read, is damaged, or passes a limit.
pub(super) async fn windows(deps: &Deps, source: Source, size: usize) -> Result<Vec<Chunk>> {
    let cut = move |document: Document| windows_of(&document, size);
    let windows = match source {
        Source::Text(text) => deps.cpu.run(move || cut(Document::plain(text))).await?,
        Source::File { bytes, media_type, name } => {
            let media_type = Some(media_type).filter(|media_type| !media_type.is_empty());
            let hints = Hints { name, media_type, ..Hints::default() };
            let limits = Limits { time: READING, ..Limits::default() };
            deps.documents.read(DocumentFile::Bytes(bytes), hints, limits, cut).await?
        }
    };
    Ok(windows?)
}

fn windows_of(document: &Document, size: usize) -> chaski_documents::Result<Vec<Chunk>> {
    let limits = Limits { time: READING, ..Limits::default() };
    chunk(document, &Chunking::of_rag_tool(size), &Encoding(tokens), &limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text: &str, size: usize) -> Vec<usize> {
        let found = windows_of(&Document::plain(text.to_owned()), size).unwrap();
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
        let found = windows_of(&Document::plain(text), 3).unwrap();
        assert!(found.len() > 20 && found.iter().any(|one| one.text.contains('\u{fffd}')));
    }
}
