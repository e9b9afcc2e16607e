//! Windows of tokens, cut without regard to words, as Llama Stack's RAG tool cuts.

use super::{Chunk, Places, TokenCounter};
use crate::{Document, Error, ErrorKind, Result, builder::Deadline};

/// Windows of `size` tokens. One begins every `size - overlap` tokens while there are tokens, so
/// that the last may lie wholly inside the one before.
///
/// A window may begin or end inside a character. Its text is then what a tokenizer decodes, with
/// U+FFFD for the broken character, and its range covers the whole character.
pub(super) fn cut(
    document: &Document,
    size: usize,
    overlap: usize,
    counter: &dyn TokenCounter,
    mut deadline: Deadline,
) -> Result<Vec<Chunk>> {
    let text = document.text();
    let Some(tokens) = counter.offsets(text) else {
        let message = "windows of tokens need a tokenizer that knows where its tokens stand; \
                       choose another chunking";
        return Err(Error::new(ErrorKind::Chunking, message));
    };
    let places = Places::new(document);
    let mut chunks = Vec::new();
    for first in (0..tokens.len()).step_by(size - overlap) {
        deadline.step()?;
        let last = tokens.len().min(first + size) - 1;
        let (Some(start), Some(end)) = (tokens.get(first), tokens.get(last)) else { break };
        let (start, end) = (start.start.min(text.len()), end.end.min(text.len()));
        let bytes = text.as_bytes().get(start..end).unwrap_or_default();
        let range = text.floor_char_boundary(start)..text.ceil_char_boundary(end);
        chunks.push(Chunk {
            text: String::from_utf8_lossy(bytes).into_owned(),
            context: 0,
            tokens: last + 1 - first,
            headings: places.headings(places.block_at(range.start)),
            pages: places.pages(&range),
            range,
        });
    }
    Ok(chunks)
}
