//! The columns of a table of cells: their names, and what the texts of CSV mean.

use chaski_api::{Error, Result, datasets::Row};
use serde_json::{Number, Value};
use std::collections::HashSet;

/// Texts that stand for nothing in a column of numbers or truth values.
const NOTHING: &[&str] =
    &["#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "none", "null", "-nan"];

/// The columns of a table.
#[derive(Debug, PartialEq)]
pub(super) struct Columns(Vec<Column>);

#[derive(Debug, PartialEq)]
struct Column {
    name: String,
    kind: Kind,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What they are in the file.
    AsGiven,
    /// Numbers that are written as texts.
    Numbers,
    /// Truth values that are written as texts.
    Truths,
}

/// What the cells of a column have been so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    numbers: bool,
    truths: bool,
    texts: bool,
}

impl Columns {
    /// The columns with the names in the first row. Those without get names from their places,
    /// and equal names get numbers, as pandas does it.
    pub(super) fn named(header: Vec<Value>) -> Self {
        let mut taken = HashSet::new();
        let names = header.into_iter().enumerate().map(|(index, cell)| {
            let name = match cell {
                Value::Null => format!("Unnamed: {index}"),
                Value::String(name) => name,
                other
                @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    other.to_string()
                }
            };
            let mut unique = name.clone();
            let mut count = 0;
            while !taken.insert(unique.clone()) {
                count += 1;
                unique = format!("{name}.{count}");
            }
            Column { name: unique, kind: Kind::AsGiven }
        });
        Self(names.collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// An error if a row has more cells than there are columns.
    pub(super) fn check(&self, number: usize, cells: &[Value]) -> Result<()> {
        let filled = cells.iter().rposition(|cell| !cell.is_null()).map_or(0, |last| last + 1);
        if filled <= self.0.len() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "row {number} has {filled} cells, and the first row names {} columns",
            self.0.len()
        )))
    }

    /// Takes texts for numbers and truth values in the columns that hold nothing else.
    pub(super) fn read_texts(&mut self, seen: &[Seen]) {
        for (column, seen) in self.0.iter_mut().zip(seen) {
            column.kind = match seen {
                Seen { texts: false, numbers: true, truths: false } => Kind::Numbers,
                Seen { texts: false, numbers: false, truths: true } => Kind::Truths,
                Seen { .. } => Kind::AsGiven,
            };
        }
    }

    /// A row of these cells; those that are missing at its end are `null`.
    pub(super) fn row(&self, cells: Vec<Value>) -> Row {
        let cells = cells.into_iter().chain(std::iter::repeat(Value::Null));
        let named = self.0.iter().zip(cells);
        named.map(|(column, cell)| (column.name.clone(), column.kind.value(cell))).collect()
    }
}

impl Kind {
    fn value(self, cell: Value) -> Value {
        let text = cell.as_str().unwrap_or_default().trim();
        let value = match self {
            Self::AsGiven => return cell,
            Self::Numbers => number(text).map(Value::Number),
            Self::Truths => truth(text).map(Value::Bool),
        };
        // The rest stands for nothing.
        value.unwrap_or_default()
    }
}

impl Seen {
    /// Takes a cell into account.
    pub(super) fn add(&mut self, cell: &Value) {
        let Some(text) = cell.as_str().map(str::trim) else { return };
        if NOTHING.contains(&text) {
            return;
        }
        if number(text).is_some() {
            self.numbers = true;
        } else if truth(text).is_some() {
            self.truths = true;
        } else {
            self.texts = true;
        }
    }
}

/// The number that a text is, if nothing of it is lost: `007` and numbers that are too long stay
/// texts.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or_default();
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    if is_whole {
        return text.parse::<i64>().ok().map(Number::from);
    }
    let is_decimal = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !digits.bytes().all(is_decimal) {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64)
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The values of a column of these texts.
    fn read(cells: &[&str]) -> Vec<Value> {
        let mut columns = Columns::named(vec![json!("a")]);
        let mut seen = [Seen::default()];
        for cell in cells {
            seen[0].add(&json!(cell));
        }
        columns.read_texts(&seen);
        cells.iter().map(|cell| columns.row(vec![json!(cell)])["a"].clone()).collect()
    }

    #[test]
    fn columns_of_numbers_hold_numbers_and_whole_ones_stay_whole() {
        assert_eq!(read(&["1", " -2 ", "NaN", "0"]), [json!(1), json!(-2), Value::Null, json!(0)]);
        assert_eq!(read(&["1", "2.5", "1e3"]), [json!(1), json!(2.5), json!(1000.0)]);
        assert_eq!(read(&["True", "FALSE", "NA"]), [json!(true), json!(false), Value::Null]);
    }

    #[test]
    fn texts_stay_texts_where_something_would_be_lost() {
        for cells in [
            ["1", "x"],
            ["007", "1"],
            ["1", "true"],
            ["99999999999999999999", "1"],
            ["NA", "NA"],
            ["inf", "1"],
            ["-", "1"],
            ["1e999", "1"],
            ["1-2", "3"],
        ] {
            assert_eq!(read(&cells), cells.map(Value::from), "{cells:?}");
        }
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let columns =
            Columns::named(vec![json!("a"), Value::Null, json!("a"), json!(7), json!("a")]);
        let row = columns.row(vec![json!(1)]);
        assert_eq!(
            Value::Object(row),
            json!({ "a": 1, "Unnamed: 1": null, "a.1": null, "7": null, "a.2": null })
        );
    }
}
