//! From spans to lines, from lines to paragraphs, and which of them are headings.

use super::content::Span;

/// A gap of so much of the size of letters is a blank.
const BLANK: f64 = 0.18;
/// Letters whose height differs by less, in parts of their size, stand on the same line.
const SAME_LINE: f64 = 0.35;
/// A line that is so many sizes below the one before begins a paragraph.
const PARAGRAPH: f64 = 1.75;
/// Letters so much larger than those of most text make a heading.
const HEADING: f64 = 1.15;
/// Bytes of the longest heading.
const HEADING_BYTES: usize = 200;
/// Levels of headings.
const LEVELS: usize = 6;

/// A line in the making.
struct Line {
    text: String,
    from: f64,
    to: f64,
    height: f64,
    size: f64,
    turns: u8,
}

/// A paragraph, with the size of its letters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Paragraph {
    pub(super) text: String,
    pub(super) size: f64,
}

/// The paragraphs of a page.
pub(super) fn paragraphs(spans: Vec<Span>) -> Vec<Paragraph> {
    let mut paragraphs: Vec<Paragraph> = Vec::new();
    let mut last: Option<Line> = None;
    for line in lines(spans) {
        match (&last, paragraphs.last_mut()) {
            (Some(last), Some(paragraph)) if goes_on(last, &line) => {
                join(&mut paragraph.text, line.text.trim());
            }
            _ => paragraphs.push(Paragraph { text: line.text.trim().to_owned(), size: line.size }),
        }
        last = Some(line);
    }
    paragraphs
}

/// The lines of a page, in the order in which they were shown.
fn lines(spans: Vec<Span>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for span in spans {
        if let Some(line) = lines.last_mut()
            && line.continues(&span)
        {
            line.add(&span);
            continue;
        }
        let Span { text, from, to, line: height, size, turns } = span;
        lines.push(Line { text, from, to, height, size, turns });
    }
    lines.retain(|line| !line.text.trim().is_empty());
    lines
}

impl Line {
    /// Whether a span stands on this line, behind what is there.
    fn continues(&self, span: &Span) -> bool {
        let size = self.size.max(span.size).max(1.0);
        let same_height = (self.height - span.line).abs() <= size * SAME_LINE;
        let behind = span.from >= self.to - size * 0.6;
        // A raised number is smaller; a column is far away.
        let near = span.from - self.to <= size * 12.0;
        self.turns == span.turns && same_height && behind && near
    }

    fn add(&mut self, span: &Span) {
        let gap = span.from - self.to;
        let apart = gap > self.size.max(span.size) * BLANK;
        if apart && !self.text.ends_with(' ') && !span.text.starts_with(' ') {
            self.text.push(' ');
        }
        self.text.push_str(&span.text);
        if span.size > self.size {
            (self.size, self.height) = (span.size, span.line);
        }
        self.to = span.to;
    }
}

/// Whether a line belongs to the paragraph of the line before it.
fn goes_on(last: &Line, line: &Line) -> bool {
    let size = last.size.max(line.size).max(1.0);
    let down = last.height - line.height;
    let same_size = (last.size - line.size).abs() <= size * 0.12;
    // The same line again, further to the right, is another cell of a table or another column.
    let below = down > -size * SAME_LINE && down <= size * PARAGRAPH;
    let over = line.from <= last.to && line.to >= last.from;
    let beside = down.abs() <= size * SAME_LINE;
    last.turns == line.turns && same_size && below && (over || beside)
}

/// Appends a line. A word that a hyphen parts at the end of the line is put together.
fn join(text: &mut String, line: &str) {
    let mut before = text.chars().rev();
    let parted = matches!(before.next(), Some('-' | '\u{2010}'))
        && before.next().is_some_and(char::is_alphabetic)
        && line.starts_with(char::is_lowercase);
    if parted {
        text.pop();
    } else {
        text.push('\n');
    }
    text.push_str(line);
}

/// A size of letters that headings have, the largest first.
pub(super) type Level = u64;

/// Sizes as whole numbers, in halves.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn halves(size: f64) -> Level {
    (size * 2.0).round().clamp(0.0, 10_000.0) as Level
}

/// The sizes of headings: those larger than that of most text.
pub(super) fn levels<'p>(paragraphs: impl Iterator<Item = &'p Paragraph> + Clone) -> Vec<Level> {
    let mut weights = std::collections::BTreeMap::new();
    for paragraph in paragraphs.clone() {
        *weights.entry(halves(paragraph.size)).or_insert(0) += paragraph.text.len();
    }
    let body = weights.iter().max_by_key(|(_, weight)| **weight).map_or(0, |(size, _)| *size);
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    let least = body as f64 * HEADING;
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    let larger =
        |paragraph: &&Paragraph| halves(paragraph.size) as f64 >= least && is_short(paragraph);
    let mut levels: Vec<Level> =
        paragraphs.filter(larger).map(|paragraph| halves(paragraph.size)).collect();
    levels.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    levels.dedup();
    levels
}

fn is_short(paragraph: &Paragraph) -> bool {
    paragraph.text.len() <= HEADING_BYTES && paragraph.text.contains(char::is_alphabetic)
}

/// The level of a paragraph, if it is a heading.
pub(super) fn heading(paragraph: &Paragraph, levels: &[Level]) -> Option<u8> {
    let level = levels.iter().position(|size| *size == halves(paragraph.size))?;
    is_short(paragraph).then(|| u8::try_from(level.min(LEVELS - 1) + 1).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str, from: f64, line: f64, size: f64) -> Span {
        let letters = f64::from(u32::try_from(text.chars().count()).unwrap());
        Span { text: text.to_owned(), from, to: from + letters * size / 2.0, line, size, turns: 0 }
    }

    fn texts(spans: Vec<Span>) -> Vec<String> {
        paragraphs(spans).into_iter().map(|paragraph| paragraph.text).collect()
    }

    #[test]
    fn gaps_are_blanks() {
        let spans = vec![
            span("Hel", 0.0, 0.0, 10.0),
            span("lo", 15.0, 0.0, 10.0),
            span("you", 29.0, 0.0, 10.0),
        ];
        assert_eq!(texts(spans), ["Hello you"]);
    }

    #[test]
    fn lines_near_each_other_are_a_paragraph() {
        let spans = vec![
            span("One", 0.0, 100.0, 10.0),
            span("two-", 0.0, 88.0, 10.0),
            span("part", 0.0, 76.0, 10.0),
            span("Far", 0.0, 50.0, 10.0),
            span("Column", 300.0, 100.0, 10.0),
        ];
        assert_eq!(texts(spans), ["One\ntwopart", "Far", "Column"]);
    }

    #[test]
    fn larger_letters_make_headings() {
        let paragraph = |text: &str, size| Paragraph { text: text.to_owned(), size };
        let all = [
            paragraph("Title", 24.0),
            paragraph("Section", 14.0),
            paragraph(&"Text. ".repeat(50), 10.0),
            paragraph("7", 14.0),
            paragraph("small", 8.0),
        ];
        let levels = levels(all.iter());
        let found: Vec<_> = all.iter().map(|p| heading(p, &levels)).collect();
        assert_eq!(found, [Some(1), Some(2), None, None, None]);
    }
}
