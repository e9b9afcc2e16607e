//! XLSX: each sheet a table, with the columns and rows that have something in them.

use super::{
    super::{
        File,
        archive::Archive,
        xml::{Node, Xml, decode},
    },
    main_part,
    numbers::{Shown, built_in, of_code, show},
    relations, target, title,
};
use crate::{Document, Error, Format, Numbering, Result, builder::Builder};
use serde_json::{Number, Value};
use std::collections::{BTreeSet, HashMap};

const FORMAT: &str = "XLSX";

/// Columns of a sheet.
const COLUMNS: usize = 16_384;

/// The names of the sheets, and the parts that hold them.
type Sheets = Vec<(String, Option<String>)>;

/// What the sheets of a workbook share.
struct Workbook {
    strings: Vec<String>,
    formats: Vec<Shown>,
    since_1904: bool,
}

pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let mut archive = Archive::open(file.bytes, FORMAT, file.limits)?;
    let mut builder = file.builder(Format::Xlsx);
    title(&mut archive, file, &mut builder)?;
    let (workbook, sheets) = Workbook::read(&mut archive, file)?;
    for (index, (name, part)) in sheets.iter().enumerate() {
        builder.page(Numbering::Sheet, index + 1)?;
        let Some(part) = part else { continue };
        let Some(bytes) = archive.read(part)? else { continue };
        let text = decode(&bytes);
        let (rows, columns) = filled(&text, file, &mut builder, |cell| workbook.shown(cell))?;
        write(name, &rows, &columns, &mut builder)?;
    }
    builder.finish()
}

/// Reads the first sheet for its cells. Columns and rows with nothing in them are left out.
pub(crate) fn cells(file: &File<'_>) -> Result<Document> {
    let mut archive = Archive::open(file.bytes, FORMAT, file.limits)?;
    let mut builder = file.builder(Format::Xlsx);
    let (workbook, sheets) = Workbook::read(&mut archive, file)?;
    if let Some((_, Some(part))) = sheets.first()
        && let Some(bytes) = archive.read(part)?
    {
        let text = decode(&bytes);
        let (rows, columns) = filled(&text, file, &mut builder, |cell| workbook.value(cell))?;
        for row in rows.into_iter().filter(|row| !row.is_empty()) {
            let mut row: HashMap<usize, Value> = row.into_iter().collect();
            let row = columns.iter().map(|column| row.remove(column).unwrap_or_default());
            builder.cells(&row.collect::<Vec<_>>())?;
        }
    }
    builder.finish_cells()
}

/// The names and references of the sheets, and whether days count from 1904.
fn sheets(text: &str, file: &File<'_>) -> Result<(Vec<(String, String)>, bool)> {
    let mut xml = Xml::new(text, FORMAT, file);
    let (mut sheets, mut since_1904) = (Vec::new(), false);
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        match element.name() {
            "sheet" => {
                let name = element.attribute("name").unwrap_or_default();
                sheets.push((name, element.prefixed("id").unwrap_or_default()));
            }
            "workbookPr" => {
                let value = element.attribute("date1904");
                since_1904 = value.is_some_and(|value| value == "1" || value == "true");
            }
            _ => {}
        }
    }
    Ok((sheets, since_1904))
}

/// The texts that cells refer to by number.
fn strings(bytes: &[u8], file: &File<'_>) -> Result<Vec<String>> {
    let text = decode(bytes);
    let mut xml = Xml::new(&text, FORMAT, file);
    let mut strings: Vec<String> = Vec::new();
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        match element.name() {
            "si" => {
                if strings.len() >= file.limits.table_cells {
                    let limit = file.limits.table_cells;
                    return Err(Error::limit("texts of cells", limit, "table_cells"));
                }
                strings.push(String::new());
            }
            // How it is read aloud, in Japanese.
            "rPh" => xml.skip()?,
            "t" => {
                let text = xml.text()?;
                if let Some(last) = strings.last_mut() {
                    last.push_str(&text);
                }
            }
            _ => {}
        }
    }
    Ok(strings)
}

/// How the numbers of each style are shown.
fn formats(bytes: &[u8], file: &File<'_>) -> Result<Vec<Shown>> {
    let text = decode(bytes);
    let mut xml = Xml::new(&text, FORMAT, file);
    let mut own: HashMap<u32, Shown> = HashMap::new();
    let (mut formats, mut in_cells) = (Vec::new(), false);
    while let Some(node) = xml.next()? {
        match node {
            Node::Start(element) => {
                let id = element.attribute("numFmtId").and_then(|id| id.parse().ok());
                match element.name() {
                    "numFmt" => {
                        let code = element.attribute("formatCode").unwrap_or_default();
                        own.extend(id.map(|id| (id, of_code(&code))));
                    }
                    "cellXfs" => in_cells = true,
                    "xf" if in_cells => {
                        let id = id.unwrap_or(0);
                        formats.push(own.get(&id).copied().unwrap_or_else(|| built_in(id)));
                    }
                    _ => {}
                }
            }
            Node::End(name) if name == "cellXfs" => in_cells = false,
            Node::End(_) | Node::Text(_) => {}
        }
    }
    Ok(formats)
}

/// A cell as it stands in the file.
#[derive(Default)]
struct Cell {
    column: usize,
    kind: String,
    style: usize,
    value: String,
}

/// What a cell holds: a text, which may be long.
trait Content {
    fn text(&self) -> &str;
    fn is_empty(&self) -> bool {
        self.text().trim().is_empty()
    }
}

impl Content for (String, bool) {
    fn text(&self) -> &str {
        &self.0
    }
}

impl Content for Value {
    fn text(&self) -> &str {
        self.as_str().unwrap_or_default()
    }
    fn is_empty(&self) -> bool {
        self.is_null() || self.as_str().is_some_and(str::is_empty)
    }
}

/// The cells of a sheet with something in them, by their columns, row by row; and all columns.
type Filled<T> = (Vec<Vec<(usize, T)>>, BTreeSet<usize>);

fn filled<T: Content>(
    text: &str,
    file: &File<'_>,
    builder: &mut Builder<'_>,
    content: impl Fn(Cell) -> T,
) -> Result<Filled<T>> {
    let mut xml = Xml::new(text, FORMAT, file);
    let mut rows: Vec<Vec<(usize, T)>> = Vec::new();
    let mut columns = BTreeSet::new();
    let (mut cell, mut next, mut bytes) = (Cell::default(), 0, 0);
    while let Some(node) = xml.next()? {
        match node {
            Node::Start(element) => match element.name() {
                "row" => {
                    rows.push(Vec::new());
                    next = 0;
                }
                "c" => {
                    let get = |name| element.attribute(name).unwrap_or_default();
                    let column = column(&get("r")).unwrap_or(next);
                    next = column + 1;
                    let style = get("s").parse().unwrap_or(0);
                    cell = Cell { column, kind: get("t"), style, value: String::new() };
                }
                "v" | "t" => cell.value.push_str(&xml.text()?),
                "rPh" => xml.skip()?,
                _ => {}
            },
            Node::End(name) if name == "c" => {
                let cell = std::mem::take(&mut cell);
                let column = cell.column;
                let content = content(cell);
                if content.is_empty() || column >= COLUMNS {
                    continue;
                }
                builder.count_cells(1)?;
                bytes += content.text().len();
                builder.check_text(bytes)?;
                columns.insert(column);
                if let Some(row) = rows.last_mut() {
                    row.push((column, content));
                }
            }
            Node::End(_) | Node::Text(_) => {}
        }
    }
    Ok((rows, columns))
}

fn write(
    name: &str,
    rows: &[Vec<(usize, (String, bool))>],
    columns: &BTreeSet<usize>,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let mut filled = rows.iter().filter(|row| !row.is_empty()).peekable();
    let Some(first) = filled.peek() else { return Ok(()) };
    let header = first.len() > 1 && first.iter().all(|(_, (_, is_text))| *is_text);
    builder.heading(1, name)?;
    let mut table = builder.open_table(usize::from(header))?;
    for row in filled {
        // Cells may come in any order; of two in one place the last counts.
        let cells: HashMap<usize, &str> =
            row.iter().map(|(column, (text, _))| (*column, text.as_str())).collect();
        let cells = columns.iter().map(|column| cells.get(column).copied().unwrap_or(""));
        builder.row(&mut table, cells)?;
    }
    builder.close_table(table)
}

fn is_text(cell: &Cell) -> bool {
    matches!(cell.kind.as_str(), "s" | "str" | "inlineStr")
}

impl Workbook {
    /// What the sheets share; their names and the parts that hold them, in order.
    fn read(archive: &mut Archive<'_>, file: &File<'_>) -> Result<(Self, Sheets)> {
        let main = main_part(archive, file)?
            .ok_or_else(|| Error::damaged(FORMAT, "it does not say which part is the workbook"))?;
        let parts = relations(archive, &main, file)?;
        let mut part = |kind| match target(&parts, kind) {
            Some(name) => archive.read(name),
            None => Ok(None),
        };
        let strings =
            part("sharedStrings")?.map_or(Ok(Vec::new()), |bytes| strings(&bytes, file))?;
        let formats = part("styles")?.map_or(Ok(Vec::new()), |bytes| formats(&bytes, file))?;
        let bytes = archive.need(&main)?;
        let (sheets, since_1904) = sheets(&decode(&bytes), file)?;
        let part_of = |id: &str| {
            let part = parts.iter().find(|part| part.id == id && part.kind == "worksheet");
            part.map(|part| part.target.clone())
        };
        let sheets = sheets.into_iter().map(|(name, id)| (name, part_of(&id))).collect();
        Ok((Self { strings, formats, since_1904 }, sheets))
    }

    /// The text of a cell as a reader of the sheet sees it, nearly, and whether it is text.
    fn shown(&self, cell: Cell) -> (String, bool) {
        let is_text = is_text(&cell);
        (self.text(cell), is_text)
    }

    /// What a cell holds: a number without the form that it is shown in, unless that is a date.
    fn value(&self, cell: Cell) -> Value {
        match cell.kind.as_str() {
            "b" => Value::Bool(cell.value.trim() == "1"),
            "" | "n" => {
                let shown = self.formats.get(cell.style).copied().unwrap_or_default();
                if !matches!(shown, Shown::Plain | Shown::Percent) {
                    return self.text(cell).into();
                }
                number(cell.value.trim())
            }
            _ => self.text(cell).into(),
        }
    }

    fn text(&self, cell: Cell) -> String {
        match cell.kind.as_str() {
            "s" => {
                let index = cell.value.trim().parse::<usize>().ok();
                index.and_then(|index| self.strings.get(index)).cloned().unwrap_or_default()
            }
            "b" => if cell.value.trim() == "1" { "TRUE" } else { "FALSE" }.to_owned(),
            "str" | "inlineStr" | "e" | "d" => cell.value,
            _ => {
                let shown = self.formats.get(cell.style).copied().unwrap_or_default();
                show(&cell.value, shown, self.since_1904)
            }
        }
    }
}

/// A number, whole if it can be.
fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.into();
    }
    let float = text.parse().ok().filter(|float: &f64| float.is_finite());
    float.and_then(Number::from_f64).map_or_else(|| text.into(), Value::Number)
}

/// The number of a column, from 0, in a name such as `AB12`.
fn column(name: &str) -> Option<usize> {
    let letters = name.bytes().take_while(u8::is_ascii_alphabetic);
    let mut column = 0_usize;
    for letter in letters {
        let digit = usize::from(letter.to_ascii_uppercase() - b'A') + 1;
        column = column.checked_mul(26)?.checked_add(digit)?;
    }
    column.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_letters() {
        for (name, wanted) in [
            ("A1", Some(0)),
            ("Z9", Some(25)),
            ("AA1", Some(26)),
            ("XFD1", Some(16_383)),
            ("7", None),
        ] {
            assert_eq!(column(name), wanted, "{name}");
        }
    }
}
