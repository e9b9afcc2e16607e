//! DOCX: paragraphs by their styles, lists, tables and notes.

use super::{
    super::{
        File,
        archive::Archive,
        xml::{Element, Node, Xml, decode},
    },
    main_part, relations, target, title,
};
use crate::{Document, Error, Format, Result, builder::Builder};
use std::collections::HashMap;

const FORMAT: &str = "DOCX";

/// Styles that refer to others are followed so far.
const STYLE_CHAIN: usize = 16;

pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let mut archive = Archive::open(file.bytes, FORMAT, file.limits)?;
    let main = main_part(&mut archive, file)?
        .ok_or_else(|| Error::damaged(FORMAT, "it does not say which part is the document"))?;
    let parts = relations(&mut archive, &main, file)?;
    let mut builder = file.builder(Format::Docx);
    title(&mut archive, file, &mut builder)?;
    let mut part = |kind| match target(&parts, kind) {
        Some(name) => archive.read(name),
        None => Ok(None),
    };
    let styles = part("styles")?.map_or(Ok(HashMap::new()), |bytes| self::styles(&bytes, file))?;
    let lists = part("numbering")?.map_or(Ok(Numbering::default()), |b| numbering(&b, file))?;
    let notes = [part("footnotes")?, part("endnotes")?];
    let mut reader = Reader { styles, lists, counters: HashMap::new(), builder: &mut builder };
    let bytes = archive.need(&main)?;
    reader.read(&decode(&bytes), file)?;
    for bytes in notes.into_iter().flatten() {
        reader.read(&decode(&bytes), file)?;
    }
    builder.finish()
}

/// What a style says of its paragraphs.
#[derive(Clone, Default)]
struct Style {
    level: Option<u8>,
    list: Option<String>,
    list_level: Option<String>,
    based_on: Option<String>,
}

/// The styles by name, each with what it takes from those it is based on.
fn styles(bytes: &[u8], file: &File<'_>) -> Result<HashMap<String, Style>> {
    let text = decode(bytes);
    let mut xml = Xml::new(&text, FORMAT, file);
    let mut own: HashMap<String, Style> = HashMap::new();
    let mut name = String::new();
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        if element.name() == "style" {
            name = element.attribute("styleId").unwrap_or_default();
        }
        let style = own.entry(name.clone()).or_default();
        let value = || element.value().unwrap_or_default();
        match element.name() {
            "name" => {
                let name = value().to_lowercase();
                let level = name.strip_prefix("heading ").and_then(|level| level.parse().ok());
                style.level = level.or((name == "title").then_some(1));
            }
            "outlineLvl" => style.level = style.level.or(outline_level(&value())),
            "numId" => style.list = Some(value()).filter(|id| id != "0"),
            "ilvl" => style.list_level = Some(value()),
            "basedOn" => style.based_on = Some(value()),
            _ => {}
        }
    }
    Ok(own.keys().map(|name| (name.clone(), inherited(name, &own))).collect())
}

fn inherited(name: &str, own: &HashMap<String, Style>) -> Style {
    let mut whole = Style::default();
    let mut next = Some(name);
    for _ in 0..STYLE_CHAIN {
        let Some(style) = next.and_then(|name| own.get(name)) else { break };
        whole.level = whole.level.or(style.level);
        whole.list = whole.list.or_else(|| style.list.clone());
        whole.list_level = whole.list_level.or_else(|| style.list_level.clone());
        next = style.based_on.as_deref();
    }
    whole
}

/// Levels count from 0, and 9 is text.
fn outline_level(value: &str) -> Option<u8> {
    value.parse().ok().filter(|level| *level < 9).map(|level: u8| level + 1)
}

/// Which lists are numbered.
#[derive(Default)]
struct Numbering {
    /// The abstract list of each list.
    lists: HashMap<String, String>,
    /// Abstract lists and their levels that have bullets.
    bullets: HashMap<(String, String), bool>,
}

impl Numbering {
    fn is_numbered(&self, list: &str, level: &str) -> bool {
        let Some(base) = self.lists.get(list) else { return false };
        self.bullets.get(&(base.clone(), level.to_owned())) == Some(&false)
    }
}

fn numbering(bytes: &[u8], file: &File<'_>) -> Result<Numbering> {
    let text = decode(bytes);
    let mut xml = Xml::new(&text, FORMAT, file);
    let mut numbering = Numbering::default();
    let (mut base, mut level, mut list) = (String::new(), String::new(), String::new());
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        let get = |name| element.attribute(name).unwrap_or_default();
        match element.name() {
            "abstractNum" => base = get("abstractNumId"),
            "lvl" => level = get("ilvl"),
            "numFmt" => {
                let bullet = matches!(get("val").as_str(), "bullet" | "none");
                numbering.bullets.insert((base.clone(), level.clone()), bullet);
            }
            "num" => list = get("numId"),
            "abstractNumId" => {
                numbering.lists.insert(list.clone(), get("val"));
            }
            _ => {}
        }
    }
    Ok(numbering)
}

/// A paragraph in the making.
#[derive(Default)]
struct Paragraph {
    text: String,
    level: Option<u8>,
    list: Option<String>,
    list_level: String,
}

/// A table in the making. Tables inside of it become text of its cells.
#[derive(Default)]
struct Table {
    rows: Vec<Vec<String>>,
    header: usize,
    first_row: bool,
}

struct Reader<'b, 'l> {
    styles: HashMap<String, Style>,
    lists: Numbering,
    /// How far each list has counted, by its levels.
    counters: HashMap<String, Vec<u64>>,
    builder: &'b mut Builder<'l>,
}

impl Reader<'_, '_> {
    /// Reads the document or notes.
    fn read(&mut self, text: &str, file: &File<'_>) -> Result<()> {
        let mut xml = Xml::new(text, FORMAT, file);
        // A text box stands inside of a paragraph and has paragraphs itself.
        let mut open: Vec<Paragraph> = Vec::new();
        let mut tables: Vec<Table> = Vec::new();
        while let Some(node) = xml.next()? {
            match node {
                Node::Start(element) => match element.name() {
                    // The same again for old programs, moved and deleted text, and field codes.
                    "Fallback" | "moveFrom" | "del" | "instrText" => xml.skip()?,
                    "p" => open.push(Paragraph::default()),
                    "t" => {
                        let text = xml.text()?;
                        if let Some(paragraph) = open.last_mut() {
                            paragraph.text.push_str(&text);
                            self.builder.check_text(paragraph.text.len())?;
                        }
                    }
                    "tbl" => tables.push(Table::default()),
                    name => {
                        if let Some(table) = tables.last_mut() {
                            self.table_element(table, name, &element)?;
                        }
                        if let Some(paragraph) = open.last_mut() {
                            self.paragraph_element(paragraph, &element);
                        }
                    }
                },
                Node::End(name) => match name.as_str() {
                    "p" => {
                        if let Some(paragraph) = open.pop() {
                            self.end(paragraph, tables.first_mut())?;
                        }
                    }
                    "tbl" if tables.len() > 1 => {
                        tables.pop();
                    }
                    "tbl" => {
                        if let Some(table) = tables.pop() {
                            self.end_table(&table)?;
                        }
                    }
                    _ => {}
                },
                Node::Text(_) => {}
            }
        }
        Ok(())
    }

    fn paragraph_element(&self, paragraph: &mut Paragraph, element: &Element<'_>) {
        let value = || element.value().unwrap_or_default();
        match element.name() {
            "pStyle" => {
                let style = self.styles.get(&value()).cloned().unwrap_or_default();
                paragraph.level = style.level;
                paragraph.list = style.list;
                paragraph.list_level = style.list_level.unwrap_or_default();
            }
            "outlineLvl" => paragraph.level = outline_level(&value()).or(paragraph.level),
            "numId" => paragraph.list = Some(value()).filter(|id| id != "0"),
            "ilvl" => paragraph.list_level = value(),
            "tab" | "ptab" if !paragraph.text.is_empty() => paragraph.text.push('\t'),
            "br" | "cr" => paragraph.text.push('\n'),
            "noBreakHyphen" => paragraph.text.push('-'),
            _ => {}
        }
    }

    fn table_element(
        &mut self,
        table: &mut Table,
        name: &str,
        element: &Element<'_>,
    ) -> Result<()> {
        match name {
            "tr" => table.rows.push(Vec::new()),
            "tc" => {
                if let Some(row) = table.rows.last_mut() {
                    row.push(String::new());
                }
            }
            "tblHeader" if element.is_on() && table.header + 1 == table.rows.len() => {
                table.header += 1;
            }
            "tblLook" => {
                let bits = element.value().and_then(|bits| u32::from_str_radix(&bits, 16).ok());
                let first_row = element.attribute("firstRow").is_some_and(|on| on == "1");
                table.first_row = first_row || bits.is_some_and(|bits| bits & 0x20 != 0);
            }
            _ => {}
        }
        self.builder.deadline.step()
    }

    fn end(&mut self, paragraph: Paragraph, table: Option<&mut Table>) -> Result<()> {
        let text = paragraph.text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if let Some(table) = table {
            if let Some(cell) = table.rows.last_mut().and_then(|row| row.last_mut()) {
                if !cell.is_empty() {
                    cell.push(' ');
                }
                cell.push_str(text);
                return self.builder.check_text(cell.len());
            }
            return Ok(());
        }
        if let Some(level) = paragraph.level {
            return self.builder.heading(level, text);
        }
        let Some(list) = paragraph.list else { return self.builder.paragraph(text) };
        let depth: usize = paragraph.list_level.parse().unwrap_or(0).min(8);
        let level = depth.to_string();
        let counters = self.counters.entry(list.clone()).or_default();
        counters.resize(depth + 1, 0);
        counters[depth] += 1;
        let marker = if self.lists.is_numbered(&list, &level) {
            format!("{}.", counters[depth])
        } else {
            "-".to_owned()
        };
        self.builder.item(depth, &marker, text)
    }

    fn end_table(&mut self, table: &Table) -> Result<()> {
        // A table of one column is a frame around text.
        if table.rows.iter().all(|row| row.len() < 2) {
            return table.rows.iter().flatten().try_for_each(|cell| self.builder.paragraph(cell));
        }
        let header = table.header.max(usize::from(table.first_row));
        self.builder.table(&table.rows, header)
    }
}
