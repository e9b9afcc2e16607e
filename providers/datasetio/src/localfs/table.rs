//! The rows of a file: their texts, so that only those that are asked for become values.

use super::columns::{Columns, Seen};
use chaski_api::{Error, Result, datasets::Row};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The most rows of a file.
pub(super) const MOST_ROWS: usize = 1_000_000;

/// The rows of a file.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Box<RawValue>>,
    /// Nothing where each row is an object.
    columns: Option<Columns>,
}

impl Table {
    /// The rows of a JSON list of objects.
    pub(super) fn of_json(text: &str) -> Result<Self> {
        let Rows(rows) = serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!("it is not a JSON list of objects: {error}"))
        })?;
        for (index, row) in rows.iter().enumerate() {
            is_object(row, "row", index + 1)?;
        }
        Ok(Self { rows, columns: None })
    }

    /// The rows of a file with a JSON object on each line.
    pub(super) fn of_lines(text: &str) -> Result<Self> {
        let mut rows = Vec::new();
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let row = serde_json::from_str::<Box<RawValue>>(line).map_err(|error| {
                Error::invalid(format!("line {number} is not a JSON object: {error}"))
            })?;
            is_object(&row, "line", number)?;
            few(rows.len())?;
            rows.push(row);
        }
        Ok(Self { rows, columns: None })
    }

    /// The rows of a table, of which each line has the cells as a JSON list, and the first one the
    /// names of the columns. `texts` says that numbers are texts too.
    pub(super) fn of_cells(lines: &str, texts: bool) -> Result<Self> {
        let mut lines = lines.lines();
        let header = cells(lines.next().unwrap_or("[]"))?;
        let mut columns = Columns::named(header);
        let mut seen = vec![Seen::default(); columns.len()];
        let mut rows = Vec::new();
        for (index, line) in lines.enumerate() {
            let row = cells(line)?;
            columns.check(index + 2, &row)?;
            for (seen, cell) in seen.iter_mut().zip(&row) {
                seen.add(cell);
            }
            few(rows.len())?;
            rows.push(RawValue::from_string(line.to_owned()).map_err(Error::internal)?);
        }
        if texts {
            columns.read_texts(&seen);
        }
        Ok(Self { rows, columns: Some(columns) })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.get().len() + 64).sum()
    }

    /// Some of its rows, which must be there.
    pub(super) fn rows(&self, range: std::ops::Range<usize>) -> Result<Vec<Row>> {
        let rows = self.rows.get(range).unwrap_or_default();
        rows.iter().map(|row| self.row(row)).collect()
    }

    fn row(&self, text: &RawValue) -> Result<Row> {
        match &self.columns {
            Some(columns) => Ok(columns.row(cells(text.get())?)),
            None => serde_json::from_str(text.get())
                .map_err(|error| Error::invalid(format!("a row cannot be read: {error}"))),
        }
    }
}

fn cells(line: &str) -> Result<Vec<serde_json::Value>> {
    serde_json::from_str(line)
        .map_err(|error| Error::internal("cells are not a list").caused_by(error))
}

fn few(rows: usize) -> Result<()> {
    if rows < MOST_ROWS {
        return Ok(());
    }
    Err(Error::invalid(too_many()))
}

fn too_many() -> String {
    format!("it has more than {MOST_ROWS} rows; split it")
}

fn is_object(row: &RawValue, what: &str, number: usize) -> Result<()> {
    if row.get().starts_with('{') {
        return Ok(());
    }
    Err(Error::invalid(format!("{what} {number} is not a JSON object")))
}

/// A list that ends in an error when it gets too long.
struct Rows(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = list.next_element()? {
                    if rows.len() >= MOST_ROWS {
                        return Err(A::Error::custom(too_many()));
                    }
                    rows.push(row);
                }
                Ok(Rows(rows))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn all(table: &Result<Table>) -> Value {
        match table {
            Ok(table) => json!(table.rows(0..table.len()).unwrap()),
            Err(error) => json!(error.message),
        }
    }

    #[test]
    fn json_is_a_list_of_objects_or_an_object_on_each_line() {
        let rows = json!([{ "a": 1, "b": { "c": [] } }, { "a": 2.5 }]);
        assert_eq!(all(&Table::of_json(&rows.to_string())), rows);
        let lines = "{\"a\": 1, \"b\": {\"c\": []}}\r\n\n  {\"a\": 2.5}";
        assert_eq!(all(&Table::of_lines(lines)), rows);
        assert_eq!(all(&Table::of_json("[]")), json!([]));
        assert_eq!(all(&Table::of_lines("")), json!([]));
    }

    #[test]
    fn what_is_no_list_of_objects_is_named_with_its_place() {
        for (text, words) in [
            ("{\"a\": 1}", "a list of objects"),
            ("[{\"a\": 1}, 2]", "row 2 is not a JSON object"),
            ("[{\"a\": 1", "line 1 column 8"),
            ("", "not a JSON list"),
        ] {
            let message = Table::of_json(text).unwrap_err().message;
            assert!(message.contains(words), "{message}");
        }
        for (text, words) in [("{}\n[]", "line 2"), ("{}\n\n{\"a\"", "line 3"), ("x", "line 1")] {
            let message = Table::of_lines(text).unwrap_err().message;
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn cells_are_rows_by_the_names_of_the_first_line() {
        let lines = "[\"n\",\"t\"]\n[\"1\",\"x\"]\n[\"2\"]\n[\"3\",null,null]";
        let rows = json!([{ "n": 1, "t": "x" }, { "n": 2, "t": null }, { "n": 3, "t": null }]);
        assert_eq!(all(&Table::of_cells(lines, true)), rows);
        let given = all(&Table::of_cells(lines, false));
        assert_eq!(given[0]["n"], json!("1"));
        let long = Table::of_cells("[\"n\"]\n[\"1\"]\n[\"2\",\"3\"]", true).unwrap_err();
        assert_eq!(long.message, "row 3 has 2 cells, and the first row names 1 columns");
    }
}
