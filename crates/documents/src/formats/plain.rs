//! Plain text and source code: the text is the file itself.

use super::File;
use crate::{BlockKind, Document, Format, Numbering, Result};
use std::ops::Range;

/// Reads plain text: groups of lines with empty lines between them are paragraphs, and form feeds
/// begin pages.
pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let text = file.text()?;
    let paragraphs: Vec<_> = paragraphs(&text).collect();
    let mut builder = file.source(Format::Text, text)?;
    let mut current = None;
    for (range, page) in paragraphs {
        if let Some(number) = page.filter(|_| page != current) {
            builder.page(Numbering::Page, usize::try_from(number).unwrap_or(usize::MAX))?;
            current = page;
        }
        builder.mark(BlockKind::Paragraph, range)?;
    }
    builder.finish()
}

/// Reads source code, which stays one piece; chunks are cut where functions are likely to end.
pub(crate) fn code(file: &File<'_>, language: String) -> Result<Document> {
    let text = file.text()?;
    let end = text.len();
    let mut builder = file.source(Format::Code(language.clone()), text)?;
    builder.mark(BlockKind::Code { language: Some(language) }, 0..end)?;
    builder.finish()
}

/// The paragraphs of a text, with their pages where it has form feeds.
pub(crate) fn paragraphs(text: &str) -> impl Iterator<Item = (Range<usize>, Option<u32>)> {
    let paged = text.contains('\u{c}');
    let mut at = 0;
    text.split('\u{c}').enumerate().flat_map(move |(page, part)| {
        let number = u32::try_from(page + 1).ok().filter(|_| paged);
        let start = at;
        at += part.len() + 1;
        groups(part).map(move |range| (start + range.start..start + range.end, number))
    })
}

/// The groups of lines that have words.
fn groups(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut lines = text.split_inclusive('\n');
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut group: Option<Range<usize>> = None;
        for line in lines.by_ref() {
            let (start, trimmed) = (at, line.trim_end());
            at += line.len();
            match (&mut group, trimmed.trim_start().is_empty()) {
                (None, true) => {}
                (None, false) => {
                    let indent = line.len() - line.trim_start().len();
                    group = Some(start + indent..start + trimmed.len());
                }
                (Some(group), false) => group.end = start + trimmed.len(),
                (Some(_), true) => return group,
            }
        }
        group
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(&str, Option<u32>)> {
        paragraphs(text).map(|(range, page)| (&text[range], page)).collect()
    }

    #[test]
    fn empty_lines_part_paragraphs() {
        let text = "\n  one\ntwo  \r\n \t\r\n\nthree";
        assert_eq!(parts(text), [("one\ntwo", None), ("three", None)]);
        assert_eq!(parts(" \n \n"), []);
    }

    #[test]
    fn form_feeds_begin_pages() {
        let text = "one\u{c}\n\u{c}two\n\nthree";
        assert_eq!(parts(text), [("one", Some(1)), ("two", Some(3)), ("three", Some(3))]);
    }
}
