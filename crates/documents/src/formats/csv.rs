//! CSV and TSV: the text is the file itself, and one table whose rows are known.

use super::File;
use crate::{BlockKind, Document, Format, Result};

const DELIMITERS: [u8; 4] = *b",;\t|";
/// Rows that are looked at to find the delimiter.
const SAMPLE: usize = 20;

/// One row: where it stands, and its cells.
struct Row {
    start: usize,
    end: usize,
    cells: usize,
}

/// Reads a table. The rows end where a line ends outside of quotes.
pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let text = file.text()?;
    let delimiter = delimiter(&text);
    let mut deadline = file.deadline;
    let (mut starts, mut cells) = (Vec::new(), 0);
    let mut header = 0;
    for row in rows(&text, delimiter) {
        deadline.step()?;
        let line = text.get(row.start..row.end).unwrap_or_default();
        if line.trim().is_empty() {
            continue;
        }
        if starts.is_empty() {
            header = usize::from(names_columns(line, delimiter));
        }
        starts.push(row.start + (line.len() - line.trim_start().len()));
        cells += row.cells;
    }
    let (start, end) = (starts.first().copied().unwrap_or(0), text.len());
    let mut builder = file.source(Format::Csv, text)?;
    builder.count_cells(cells)?;
    builder.mark(BlockKind::Table { rows: starts, header }, start..end)?;
    builder.finish()
}

fn rows(text: &str, delimiter: u8) -> impl Iterator<Item = Row> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let (start, mut quoted, mut cells, mut fresh) = (at, false, 1, true);
        if start >= bytes.len() {
            return None;
        }
        while let Some(byte) = bytes.get(at).copied() {
            at += 1;
            match byte {
                b'"' if quoted => quoted = false,
                // A quote opens a cell at its beginning, or goes on after a doubled one.
                b'"' if fresh || bytes.get(at.wrapping_sub(2)) == Some(&b'"') => quoted = true,
                b'\n' if !quoted => break,
                _ if byte == delimiter && !quoted => {
                    cells += 1;
                    fresh = true;
                    continue;
                }
                _ => {}
            }
            fresh = false;
        }
        Some(Row { start, end: at, cells })
    })
}

/// The delimiter that parts most rows of the beginning into the same number of cells.
fn delimiter(text: &str) -> u8 {
    let score = |delimiter: &u8| {
        let counts: Vec<usize> = rows(text, *delimiter).take(SAMPLE).map(|row| row.cells).collect();
        let first = counts.first().copied().unwrap_or(1);
        let same = counts.iter().filter(|cells| **cells == first).count();
        if first < 2 { (0, 0) } else { (same, first) }
    };
    // Of equals the last is taken, so the comma stands at the end.
    DELIMITERS.iter().rev().copied().max_by_key(score).unwrap_or(b',')
}

/// Whether a row holds names rather than values: no cell is empty or a number.
fn names_columns(line: &str, delimiter: u8) -> bool {
    line.trim().split(char::from(delimiter)).all(|cell| {
        let cell = cell.trim().trim_matches('"').trim();
        !cell.is_empty() && cell.parse::<f64>().is_err()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, delimiter: u8) -> Vec<(&str, usize)> {
        rows(text, delimiter).map(|row| (text[row.start..row.end].trim_end(), row.cells)).collect()
    }

    #[test]
    fn quotes_hide_delimiters_and_line_ends() {
        let text = "a,\"b,\nc\"\"d\n\",e\nf,g\"h,i";
        assert_eq!(lines(text, b','), [("a,\"b,\nc\"\"d\n\",e", 3), ("f,g\"h,i", 3)]);
    }

    #[test]
    fn the_delimiter_is_found() {
        assert_eq!(delimiter("a;b;c\n1,5;2;3\n2,5;3;4\n"), b';');
        assert_eq!(delimiter("a\tb\nc, d\te\n"), b'\t');
        assert_eq!(delimiter("a,b\n1,2\n"), b',');
        assert_eq!(delimiter("words alone\n"), b',');
    }

    #[test]
    fn a_header_holds_names() {
        assert!(names_columns("name,age\n", b','));
        assert!(!names_columns("name,7\n", b','));
        assert!(!names_columns("name,,age\n", b','));
    }
}
