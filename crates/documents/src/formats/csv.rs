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

/// Reads a table for its cells. Lines with nothing on them are left out.
pub(crate) fn cells(file: &File<'_>) -> Result<Document> {
    let text = file.text()?;
    let delimiter = delimiter(&text);
    let mut builder = file.builder(Format::Csv);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (row, after) = row_of_cells(rest, delimiter);
        rest = after;
        if row.iter().any(Option::is_some) || row.len() > 1 {
            builder.cells(&row)?;
        }
    }
    builder.finish_cells()
}

/// The cells of the first row of a text, without their quotes, and what follows the row.
fn row_of_cells(text: &str, delimiter: u8) -> (Vec<Option<String>>, &str) {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (mut cell, mut doubled) = (String::new(), false);
        // A cell in quotes goes on to the quote that is not doubled.
        while let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            if doubled {
                cell.push('"');
            }
            doubled = true;
            cell.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or_default();
        }
        let ends = |byte: u8| byte == delimiter || byte == b'\n';
        let end = rest.bytes().position(ends).unwrap_or(rest.len());
        let (bare, after) = rest.split_at(end);
        let goes_on = after.as_bytes().first() == Some(&delimiter);
        cell.push_str(if goes_on { bare } else { bare.trim_end_matches('\r') });
        cells.push(Some(cell).filter(|cell| !cell.is_empty()));
        rest = after.get(1..).unwrap_or_default();
        if !goes_on {
            return (cells, rest);
        }
    }
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
    fn cells_are_what_stands_in_their_quotes() {
        let row = |text: &str| {
            let (cells, rest) = row_of_cells(text, b',');
            let cells: Vec<String> = cells.into_iter().map(Option::unwrap_or_default).collect();
            (cells.join("|"), rest.to_owned())
        };
        let of = |cells: &str, rest: &str| (cells.to_owned(), rest.to_owned());
        assert_eq!(row("a,b\r\nc"), of("a|b", "c"));
        assert_eq!(row("\"a,\nb\",,c\n"), of("a,\nb||c", ""));
        assert_eq!(row("\"say \"\"hi\"\"\",x"), of("say \"hi\"|x", ""));
        assert_eq!(row("\"\"\"quoted\"\"\"\n\n"), of("\"quoted\"", "\n"));
        assert_eq!(row("5\" pipe,\"open"), of("5\" pipe|open", ""));
        assert_eq!(row("ä,\"ö\",\n"), of("ä|ö|", ""));
        assert_eq!(row(",\n"), of("|", ""));
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
