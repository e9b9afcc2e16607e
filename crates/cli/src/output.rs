//! What commands print: tables for people, plain columns for pipes, JSON for programs.

use crate::failure::Outcome;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
};

/// The standard output stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) terminal: bool,
}

impl Output {
    pub(crate) fn detect() -> Self {
        Self { terminal: io::stdout().is_terminal() }
    }

    /// Prints the text as it is, and sees it on its way.
    pub(crate) fn text(self, text: &str) -> Outcome {
        self.bytes(text.as_bytes())
    }

    #[expect(clippy::unused_self, reason = "whatever is printed is asked of the same value")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Outcome {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    pub(crate) fn line(self, text: &str) -> Outcome {
        self.text(&format!("{text}\n"))
    }

    pub(crate) fn json(self, value: &Value) -> Outcome {
        self.line(&format!("{value:#}"))
    }

    /// Prints rows under `headers`, in a frame where a person reads.
    pub(crate) fn table(self, headers: &[&str], rows: &[Vec<String>]) -> Outcome {
        let text = if self.terminal { framed(headers, rows) } else { plain(headers, rows) };
        self.text(&text)
    }
}

/// Nobody reads a table in fewer columns.
const NARROWEST: u16 = 40;
/// The columns of a terminal that does not say.
const USUAL_WIDTH: u16 = 100;

fn framed(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    // Some terminals do not know how wide they are.
    if table.width().is_none_or(|width| width < NARROWEST) {
        table.set_width(USUAL_WIDTH);
    }
    table.set_header(headers);
    for row in rows {
        table.add_row(row);
    }
    // Names are to be copied, and cannot be where they are broken.
    if headers.len() > 1
        && let Some(names) = table.column_mut(0)
    {
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    format!("{table}\n")
}

fn plain(headers: &[&str], rows: &[Vec<String>]) -> String {
    let lines = |cell: &str| cell.lines().map(|line| line.chars().count()).max();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| lines(row.get(column)?));
        cells.chain(lines(headers[column])).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let mut out = String::new();
    let mut put = |cells: &[&str]| {
        let height = cells.iter().map(|cell| cell.lines().count()).max().unwrap_or_default().max(1);
        for row in 0..height {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(&widths) {
                let cell = cell.lines().nth(row).unwrap_or_default();
                // Writing to a string cannot fail.
                let _ = write!(line, "{cell:<width$}  ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    };
    put(headers);
    for row in rows {
        put(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_a_frame() {
        let rows =
            [vec!["a".to_owned(), "first".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(plain(&["ID", "Text"], &rows), "ID    Text\na     first\nlong\n");
        let rows = [vec!["a".to_owned(), "{\n  b\n}".to_owned()]];
        assert_eq!(plain(&["ID", "Text"], &rows), "ID  Text\na   {\n      b\n    }\n");
    }
}
