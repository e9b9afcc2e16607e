//! Markdown: the text is the file itself, and its blocks are marked.

#![expect(clippy::wildcard_enum_match_arm, reason = "most elements do nothing in most places")]

use super::File;
use crate::{BlockKind, Document, Format, Result};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::ops::Range;

/// A block that was found.
struct Found {
    kind: BlockKind,
    range: Range<usize>,
}

/// What is open while the events go by.
#[derive(Default)]
struct Reader {
    found: Vec<Found>,
    title: Option<String>,
    /// The items that are open: where their first block begins, until it has been found.
    items: Vec<Option<usize>>,
    /// Text that stands in an item without a paragraph around it.
    loose: Option<Range<usize>>,
    /// The heading, paragraph, table or piece of code that is open.
    leaf: Option<Range<usize>>,
    /// The words of the leaf.
    heading: String,
    /// The language of the piece of code.
    language: Option<String>,
    rows: Vec<usize>,
    header: usize,
    cells: usize,
    depth: usize,
}

/// Reads Markdown with tables, footnotes, task lists and front matter.
pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let text = file.text()?;
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut reader = Reader::default();
    let mut deadline = file.deadline;
    for (event, range) in Parser::new_ext(&text, options).into_offset_iter() {
        deadline.step()?;
        reader.event(event, range);
        file.check_nesting(reader.depth)?;
    }
    let Reader { mut found, title, cells, .. } = reader;
    found.sort_by_key(|found| found.range.start);
    let found = without_gaps(&text, found);
    let mut builder = file.source(Format::Markdown, text)?;
    builder.count_cells(cells)?;
    if let Some(title) = title {
        builder.title(&title);
    }
    for Found { kind, range } in found {
        if let BlockKind::Heading { level: 1, title } = &kind {
            builder.title(title);
        }
        builder.mark(kind, range)?;
    }
    builder.finish()
}

impl Reader {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => {
                self.depth += 1;
                self.start(&tag, range);
            }
            Event::End(tag) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(tag, range);
            }
            Event::Text(text) | Event::Code(text) => {
                if self.leaf.is_some() {
                    self.heading.push_str(&text);
                }
                self.inline(range);
            }
            Event::SoftBreak | Event::HardBreak => self.heading.push(' '),
            Event::Html(_)
            | Event::InlineHtml(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => self.inline(range),
            Event::Rule => self.flush(),
        }
    }

    /// Text outside of a leaf belongs to a tight list item.
    fn inline(&mut self, range: Range<usize>) {
        if self.leaf.is_none() {
            let loose = self.loose.get_or_insert(range.clone());
            loose.end = loose.end.max(range.end);
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::Item => {
                self.flush();
                self.items.push(Some(range.start));
            }
            Tag::Heading { .. }
            | Tag::Paragraph
            | Tag::CodeBlock(_)
            | Tag::HtmlBlock
            | Tag::MetadataBlock(_)
            | Tag::Table(_) => {
                self.flush();
                self.heading.clear();
                self.rows.clear();
                self.header = 0;
                self.language = match tag {
                    Tag::CodeBlock(CodeBlockKind::Fenced(info)) => language(info),
                    _ => None,
                };
                self.leaf = Some(range);
            }
            Tag::TableHead => {
                self.rows.push(range.start);
                self.header = 1;
            }
            Tag::TableRow => self.rows.push(range.start),
            Tag::TableCell => self.cells += 1,
            Tag::List(_) | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_) => self.flush(),
            _ => self.inline(range),
        }
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        match tag {
            TagEnd::Item => {
                self.flush();
                self.items.pop();
            }
            TagEnd::Heading(level) => {
                let title = crate::builder::words(&self.heading);
                self.leaf_ends(BlockKind::Heading { level: level as u8, title });
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.leaf_ends(BlockKind::Paragraph),
            TagEnd::CodeBlock => {
                let language = self.language.take();
                self.leaf_ends(BlockKind::Code { language });
            }
            TagEnd::MetadataBlock(_) => {
                self.title = front_matter_title(&self.heading);
                self.leaf_ends(BlockKind::Code { language: Some("yaml".to_owned()) });
            }
            TagEnd::Table => {
                let (rows, header) = (std::mem::take(&mut self.rows), self.header);
                self.leaf_ends(BlockKind::Table { rows, header });
            }
            TagEnd::List(_) | TagEnd::BlockQuote(_) | TagEnd::FootnoteDefinition => self.flush(),
            TagEnd::TableHead | TagEnd::TableRow | TagEnd::TableCell => {}
            _ => self.inline(range),
        }
    }

    fn leaf_ends(&mut self, kind: BlockKind) {
        if let Some(range) = self.leaf.take() {
            self.add(kind, range);
        }
    }

    /// Ends the text of a tight item.
    fn flush(&mut self) {
        if let Some(range) = self.loose.take() {
            self.add(BlockKind::Paragraph, range);
        }
    }

    fn add(&mut self, kind: BlockKind, mut range: Range<usize>) {
        let depth = self.items.len();
        let first = self.items.last_mut().and_then(Option::take);
        let kind = match kind {
            BlockKind::Paragraph if depth > 0 => {
                BlockKind::ListItem { depth: u8::try_from(depth - 1).unwrap_or(u8::MAX) }
            }
            kind => kind,
        };
        // The first block of an item takes its marker along.
        if let Some(start) = first.filter(|start| *start < range.start)
            && !matches!(kind, BlockKind::Table { .. })
        {
            range.start = start;
        }
        self.found.push(Found { kind, range });
    }
}

/// The blocks, with what stands between them and has words given to a block, so that nothing that
/// somebody might look for is lost: definitions of links are no events.
fn without_gaps(text: &str, found: Vec<Found>) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::with_capacity(found.len());
    let mut at = 0;
    for mut next in found {
        if next.range.start < at {
            continue;
        }
        let gap = text.get(at..next.range.start).unwrap_or_default();
        let line = at + gap.rfind('\n').map_or(0, |newline| newline + 1);
        if !matches!(next.kind, BlockKind::Table { .. }) {
            next.range.start = line;
        }
        add_gap(text, at..line, &mut all);
        at = next.range.end;
        all.push(next);
    }
    add_gap(text, at..text.len(), &mut all);
    all
}

fn add_gap(text: &str, range: Range<usize>, all: &mut Vec<Found>) {
    if text.get(range.clone()).is_some_and(|gap| gap.contains(char::is_alphanumeric)) {
        all.push(Found { kind: BlockKind::Paragraph, range });
    }
}

/// The language that a fence names before its attributes.
fn language(info: &str) -> Option<String> {
    let language = info.trim().split([' ', ',', '{']).next()?;
    (!language.is_empty()).then(|| language.to_lowercase())
}

fn front_matter_title(front_matter: &str) -> Option<String> {
    front_matter.lines().find_map(|line| {
        let value = line.strip_prefix("title")?.trim_start().strip_prefix([':', '='])?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hints, Limits, formats::tests::blocks};

    fn read(text: &str) -> Document {
        crate::parse(text.as_bytes(), &Hints::name("a.md"), &Limits::default()).unwrap()
    }

    #[test]
    fn blocks_are_parts_of_the_file() {
        let text = "# One *two*\n\nSome text\nover lines.\n\n- a\n- b\n  - c\n\n1. x\n\n   y\n\n\
                    ```rust\nfn a() {}\n```\n\n| h | i |\n|---|---|\n| 1 | 2 |\n\n> quoted\n> on\n\n\
                    [link]: https://example.com\n";
        let document = read(text);
        assert_eq!(document.text(), text);
        assert_eq!(document.title(), Some("One two"));
        assert_eq!(
            blocks(&document),
            [
                ("heading 1", "# One *two*"),
                ("paragraph", "Some text\nover lines."),
                ("item 0", "- a"),
                ("item 0", "- b"),
                ("item 1", "- c"),
                ("item 0", "1. x"),
                ("item 0", "y"),
                ("code rust", "```rust\nfn a() {}\n```"),
                ("table 2/1", "| h | i |\n|---|---|\n| 1 | 2 |"),
                ("paragraph", "> quoted\n> on"),
                ("paragraph", "[link]: https://example.com"),
            ]
            .map(|(kind, text)| (kind.to_owned(), text))
        );
    }

    #[test]
    fn front_matter_names_the_title() {
        let document = read("---\ntitle: \"The plan\"\n---\n\nText\n");
        assert_eq!(document.title(), Some("The plan"));
        assert_eq!(blocks(&document)[1], ("paragraph".to_owned(), "Text"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = ">".repeat(100_000);
        let hints = Hints::name("a.md");
        let outcome = crate::parse(text.as_bytes(), &hints, &Limits::default());
        assert!(outcome.is_err());
    }
}
