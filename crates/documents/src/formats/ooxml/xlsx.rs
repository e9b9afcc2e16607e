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
use std::collections::{BTreeSet, HashMap};

const FORMAT: &str = "XLSX";

/// Columns of a sheet.
const COLUMNS: usize = 16_384;

/// What the sheets of a workbook share.
struct Workbook {
    strings: Vec<String>,
    formats: Vec<Shown>,
    since_1904: bool,
}

pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let mut archive = Archive::open(file.bytes, FORMAT, file.limits)?;
    let main = main_part(&mut archive, file)?
        .ok_or_else(|| Error::damaged(FORMAT, "it does not say which part is the workbook"))?;
    let parts = relations(&mut archive, &main, file)?;
    let mut builder = file.builder(Format::Xlsx);
    title(&mut archive, file, &mut builder)?;
    let mut part = |kind| match target(&parts, kind) {
        Some(name) => archive.read(name),
        None => Ok(None),
    };
    let strings = part("sharedStrings")?.map_or(Ok(Vec::new()), |bytes| strings(&bytes, file))?;
    let formats = part("styles")?.map_or(Ok(Vec::new()), |bytes| formats(&bytes, file))?;
    let bytes = archive.need(&main)?;
    let (sheets, since_1904) = sheets(&decode(&bytes), file)?;
    let workbook = Workbook { strings, formats, since_1904 };
    for (index, (name, id)) in sheets.iter().enumerate() {
        builder.page(Numbering::Sheet, index + 1)?;
        let Some(part) = parts.iter().find(|part| part.id == *id && part.kind == "worksheet")
        else {
            continue;
        };
        let Some(bytes) = archive.read(&part.target)? else { continue };
        sheet(&decode(&bytes), name, &workbook, file, &mut builder)?;
    }
    builder.finish()
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

/// A cell with something in it: its column, its text, and whether it is text.
type Filled = (usize, String, bool);

fn sheet(
    text: &str,
    name: &str,
    workbook: &Workbook,
    file: &File<'_>,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let mut xml = Xml::new(text, FORMAT, file);
    let mut rows: Vec<Vec<Filled>> = Vec::new();
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
                let (column, is_text) = (cell.column, is_text(&cell));
                let text = workbook.shown(cell);
                if text.trim().is_empty() || column >= COLUMNS {
                    continue;
                }
                builder.count_cells(1)?;
                bytes += text.len();
                builder.check_text(bytes)?;
                columns.insert(column);
                if let Some(row) = rows.last_mut() {
                    row.push((column, text, is_text));
                }
            }
            Node::End(_) | Node::Text(_) => {}
        }
    }
    write(name, &rows, &columns, builder)
}

fn write(
    name: &str,
    rows: &[Vec<Filled>],
    columns: &BTreeSet<usize>,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let mut filled = rows.iter().filter(|row| !row.is_empty()).peekable();
    let Some(first) = filled.peek() else { return Ok(()) };
    let header = first.len() > 1 && first.iter().all(|(_, _, is_text)| *is_text);
    builder.heading(1, name)?;
    let mut table = builder.open_table(usize::from(header))?;
    for row in filled {
        // Cells may come in any order; of two in one place the last counts.
        let cells: HashMap<usize, &str> =
            row.iter().map(|(column, text, _)| (*column, text.as_str())).collect();
        let cells = columns.iter().map(|column| cells.get(column).copied().unwrap_or(""));
        builder.row(&mut table, cells)?;
    }
    builder.close_table(table)
}

fn is_text(cell: &Cell) -> bool {
    matches!(cell.kind.as_str(), "s" | "str" | "inlineStr")
}

impl Workbook {
    /// The text of a cell as a reader of the sheet sees it, nearly.
    fn shown(&self, cell: Cell) -> String {
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
