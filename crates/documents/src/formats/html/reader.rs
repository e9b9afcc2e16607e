//! From tokens to pieces: the stack of open elements, and where text goes.

#![expect(clippy::wildcard_enum_match_arm, reason = "most elements do nothing in most places")]

use super::{
    elements::{Role, implied_ends},
    pieces::{Area, Kind, Piece},
};
use crate::{Error, Result, builder::words, formats::File};
use html5gum::{StartTag, State, Token, Tokenizer, naive_next_state};
use std::mem;

/// A cell of a table up to this many bytes is data; a longer one makes the table a layout.
const CELL_BYTES: usize = 4000;

/// Whether `<script/>` is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Html,
    Xhtml,
}

/// What was found in a page.
pub(crate) struct Page {
    pub(crate) title: Option<String>,
    pub(crate) pieces: Vec<Piece>,
}

/// An element that is open.
struct Open {
    name: String,
    role: Role,
    area: Area,
    skipped: bool,
}

/// A list that is open.
struct List {
    next: Option<i64>,
}

/// A table that is open.
#[derive(Default)]
struct Table {
    rows: Vec<Vec<Vec<Piece>>>,
    /// Whether each of the first rows names columns.
    header: usize,
    /// Cells of the row in the making that are no header.
    plain: usize,
    head: bool,
    /// Whether the last row, and the last cell of it, are still open.
    row_open: bool,
    open: bool,
}

struct Reader<'a, 'f> {
    file: &'a File<'f>,
    stack: Vec<Open>,
    lists: Vec<List>,
    tables: Vec<Table>,
    pieces: Vec<Piece>,
    title: Option<String>,
    line: String,
    /// The marker of the item whose first text has not come yet.
    marker: Option<String>,
    language: Option<String>,
    bytes: usize,
    cells: usize,
}

/// Reads a page or a part of one.
pub(crate) fn read(text: &str, syntax: Syntax, file: &File<'_>) -> Result<Page> {
    let mut reader = Reader {
        file,
        stack: Vec::new(),
        lists: Vec::new(),
        tables: Vec::new(),
        pieces: Vec::new(),
        title: None,
        line: String::new(),
        marker: None,
        language: None,
        bytes: 0,
        cells: 0,
    };
    let mut deadline = file.deadline;
    let mut tokenizer = Tokenizer::new(text);
    while let Some(token) = tokenizer.next() {
        deadline.step()?;
        match token.unwrap_or_else(|never| match never {}) {
            Token::StartTag(tag) => {
                let closed = tag.self_closing && syntax == Syntax::Xhtml;
                if !closed && let Some(state) = next_state(&tag.name) {
                    tokenizer.set_state(state);
                }
                reader.start(&tag, closed)?;
            }
            Token::EndTag(tag) => reader.end(&lossy(&tag.name))?,
            Token::String(text) => reader.text(&lossy(&text))?,
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    while !reader.stack.is_empty() {
        reader.pop()?;
    }
    reader.flush()?;
    Ok(Page { title: reader.title, pieces: reader.pieces })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How the tokenizer goes on inside an element.
fn next_state(name: &[u8]) -> Option<State> {
    if name == b"noframes" { Some(State::RawText) } else { naive_next_state(name) }
}

impl Reader<'_, '_> {
    fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
        tag.attributes.get(name.as_bytes()).map(|value| lossy(value))
    }

    fn start(&mut self, tag: &StartTag<()>, closed: bool) -> Result<()> {
        let name = lossy(&tag.name);
        let role = Role::of(&name);
        match role {
            Role::LineBreak => {
                self.append("\n");
                return Ok(());
            }
            Role::Rule => return self.flush(),
            Role::Inline => {
                if self.inside_code() && self.language.is_none() {
                    self.language =
                        Self::attribute(tag, "class").and_then(|class| language(&class));
                }
                return Ok(());
            }
            _ => {}
        }
        self.close_implied(&name)?;
        if !matches!(role, Role::Raw | Role::Title | Role::Skipped) {
            self.flush()?;
        }
        if closed {
            return Ok(());
        }
        let parent = self.stack.last();
        let skipped = parent.is_some_and(|parent| parent.skipped)
            || matches!(role, Role::Skipped | Role::Raw)
            || tag.attributes.contains_key(&b"hidden"[..]);
        let area = self.area(role, Self::attribute(tag, "role").as_deref());
        self.opened(role, tag)?;
        self.stack.push(Open { name, role, area, skipped });
        self.file.check_nesting(self.stack.len())
    }

    /// The area of an element in the one that is open.
    fn area(&self, role: Role, aria: Option<&str>) -> Area {
        let area = self.stack.last().map_or(Area::Body, |open| open.area);
        let boilerplate = match role {
            Role::Boilerplate => true,
            Role::Header => area < Area::Article,
            _ => matches!(
                aria,
                Some("navigation" | "banner" | "contentinfo" | "search" | "complementary")
            ),
        };
        if boilerplate || area == Area::Boilerplate {
            Area::Boilerplate
        } else if role == Role::Main || aria == Some("main") {
            Area::Main
        } else if role == Role::Article || aria == Some("article") {
            area.max(Area::Article)
        } else {
            area
        }
    }

    /// Closes elements whose end tag may be left out before this one.
    fn close_implied(&mut self, name: &str) -> Result<()> {
        let (ends, boundaries) = implied_ends(name);
        let block = Role::of(name);
        let mut keep = self.stack.len();
        for (at, open) in self.stack.iter().enumerate().rev() {
            if ends.contains(&open.name.as_str()) {
                keep = at;
            } else if boundaries.contains(&open.name.as_str()) || ends.is_empty() {
                break;
            }
        }
        // A paragraph ends where any other block begins.
        if self.stack.last().is_some_and(|open| open.name == "p")
            && !matches!(block, Role::Raw | Role::Skipped | Role::Title)
        {
            keep = keep.min(self.stack.len() - 1);
        }
        while self.stack.len() > keep {
            self.pop()?;
        }
        Ok(())
    }

    fn opened(&mut self, role: Role, tag: &StartTag<()>) -> Result<()> {
        match role {
            Role::List => self.lists.push(List { next: None }),
            Role::OrderedList => {
                let first = Self::attribute(tag, "start").and_then(|start| start.parse().ok());
                self.lists.push(List { next: Some(first.unwrap_or(1)) });
            }
            Role::Item => {
                self.marker =
                    Some(match self.lists.last_mut().and_then(|list| list.next.as_mut()) {
                        Some(next) => {
                            *next = next.saturating_add(1);
                            format!("{}.", next.saturating_sub(1))
                        }
                        None => "-".to_owned(),
                    });
            }
            Role::Preformatted => {
                self.language = Self::attribute(tag, "class").and_then(|class| language(&class));
            }
            Role::Table => self.tables.push(Table::default()),
            Role::TableHead => {
                if let Some(table) = self.tables.last_mut() {
                    table.head = true;
                }
            }
            Role::Row => {
                if let Some(table) = self.tables.last_mut() {
                    table.end_row();
                    table.rows.push(Vec::new());
                    table.row_open = true;
                }
            }
            Role::Cell | Role::HeaderCell => self.open_cell(role)?,
            _ => {}
        }
        Ok(())
    }

    fn open_cell(&mut self, role: Role) -> Result<()> {
        let Some(table) = self.tables.last_mut() else { return Ok(()) };
        if !table.row_open {
            table.rows.push(Vec::new());
            table.row_open = true;
        }
        if let Some(row) = table.rows.last_mut() {
            row.push(Vec::new());
        }
        table.plain += usize::from(role == Role::Cell);
        table.open = true;
        self.cells += 1;
        if self.cells > self.file.limits.table_cells {
            let limit = self.file.limits.table_cells;
            return Err(Error::limit("table cells", limit, "table_cells"));
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<()> {
        if name == "br" || (name == "p" && !self.stack.iter().any(|open| open.name == "p")) {
            self.append("\n");
            return Ok(());
        }
        if !Role::of(name).opens() {
            return Ok(());
        }
        // The end of a row or a list does not reach out of the table that it stands in.
        let inner = |open: &Open| open.role == Role::Table && name != "table";
        let mut found = None;
        for (at, open) in self.stack.iter().enumerate().rev() {
            if open.name == name {
                found = Some(at);
                break;
            }
            if inner(open) && !matches!(name, "body" | "html" | "main" | "article" | "div") {
                break;
            }
        }
        if let Some(keep) = found {
            while self.stack.len() > keep {
                self.pop()?;
            }
        }
        Ok(())
    }

    /// Closes the innermost element.
    fn pop(&mut self) -> Result<()> {
        let Some(open) = self.stack.last() else { return Ok(()) };
        let (role, area) = (open.role, open.area);
        if matches!(role, Role::Title) {
            let title = words(&mem::take(&mut self.line));
            if self.title.is_none() && !title.is_empty() {
                self.title = Some(title);
            }
        } else if !matches!(role, Role::Raw | Role::Skipped) {
            self.flush()?;
        }
        self.stack.pop();
        match role {
            Role::List | Role::OrderedList => {
                self.lists.pop();
            }
            Role::Item => self.marker = None,
            Role::Preformatted => self.language = None,
            Role::TableHead => {
                if let Some(table) = self.tables.last_mut() {
                    table.end_row();
                    table.head = false;
                }
            }
            Role::Row => {
                if let Some(table) = self.tables.last_mut() {
                    table.end_row();
                }
            }
            Role::Cell | Role::HeaderCell => {
                if let Some(table) = self.tables.last_mut() {
                    table.open = false;
                }
            }
            Role::Table => self.close_table(area),
            _ => {}
        }
        Ok(())
    }

    fn close_table(&mut self, area: Area) {
        let Some(mut table) = self.tables.pop() else { return };
        table.end_row();
        if table.is_layout() {
            for piece in table.rows.into_iter().flatten().flatten() {
                self.add(piece);
            }
            return;
        }
        let cell = |pieces: Vec<Piece>| {
            let texts: Vec<String> = pieces.into_iter().map(|piece| piece.text).collect();
            texts.join(" ")
        };
        let header = table.header;
        let rows: Vec<Vec<String>> =
            table.rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
        self.add(Piece { kind: Kind::Table { rows, header }, text: String::new(), area });
    }

    fn inside_code(&self) -> bool {
        self.stack.iter().rev().any(|open| open.role == Role::Preformatted)
    }

    fn text(&mut self, text: &str) -> Result<()> {
        if self.stack.last().is_some_and(|open| open.skipped) {
            return Ok(());
        }
        self.bytes += text.len();
        if self.bytes > self.file.limits.text_bytes {
            let limit = self.file.limits.text_bytes;
            return Err(Error::limit("bytes of text", limit, "text_bytes"));
        }
        if self.inside_code() {
            self.line.push_str(text);
            return Ok(());
        }
        // Runs of blanks are one blank, and none at the beginning of a line.
        let mut blank = self.line.is_empty() || self.line.ends_with([' ', '\n']);
        for c in text.chars().filter(|c| !matches!(c, '\u{ad}' | '\u{200b}' | '\u{feff}')) {
            if c.is_whitespace() {
                if !blank {
                    self.line.push(' ');
                }
                blank = true;
            } else {
                self.line.push(c);
                blank = false;
            }
        }
        Ok(())
    }

    fn append(&mut self, text: &str) {
        if self.stack.last().is_none_or(|open| !open.skipped) {
            if !self.inside_code() {
                let length = self.line.trim_end_matches(' ').len();
                self.line.truncate(length);
            }
            self.line.push_str(text);
        }
    }

    /// Ends the block in the making.
    fn flush(&mut self) -> Result<()> {
        if self.line.trim().is_empty() {
            self.line.clear();
            return Ok(());
        }
        let text = mem::take(&mut self.line);
        let area = self.stack.last().map_or(Area::Body, |open| open.area);
        let role = self.stack.iter().rev().find_map(|open| match open.role {
            Role::Heading(_) | Role::Preformatted | Role::Item => Some(open.role),
            Role::Table => Some(Role::Block),
            _ => None,
        });
        let kind = match role {
            Some(Role::Heading(level)) => Kind::Heading(level),
            Some(Role::Preformatted) => Kind::Code { language: self.language.clone() },
            Some(Role::Item) => match self.marker.take() {
                Some(marker) => Kind::Item { depth: self.lists.len().saturating_sub(1), marker },
                None => Kind::Paragraph,
            },
            _ => Kind::Paragraph,
        };
        self.add(Piece { kind, text, area });
        self.file.deadline.check()
    }

    /// Puts a piece where it belongs: into the cell that is open, or into the page.
    fn add(&mut self, piece: Piece) {
        let cell = self
            .tables
            .last_mut()
            .filter(|table| table.open)
            .and_then(|table| table.rows.last_mut()?.last_mut());
        match cell {
            Some(cell) => cell.push(piece),
            None => self.pieces.push(piece),
        }
    }
}

impl Table {
    /// Counts the row that ends as one of the header, if it stands there.
    fn end_row(&mut self) {
        if !mem::take(&mut self.row_open) {
            return;
        }
        let cells = self.rows.last().map_or(0, Vec::len);
        let named = cells > 0 && (self.head || self.plain == 0);
        if named && self.header + 1 == self.rows.len() {
            self.header += 1;
        }
        if cells == 0 && !self.rows.is_empty() {
            self.rows.pop();
        }
        self.plain = 0;
        self.open = false;
    }

    /// Whether the table arranges a page rather than data.
    fn is_layout(&self) -> bool {
        let single = self.rows.iter().all(|row| row.len() < 2);
        let cells = || self.rows.iter().flatten();
        let has_blocks = |cell: &Vec<Piece>| {
            cell.iter().any(|piece| {
                matches!(piece.kind, Kind::Heading(_) | Kind::Table { .. } | Kind::Code { .. })
                    || piece.text.len() > CELL_BYTES
            })
        };
        single || cells().any(has_blocks)
    }
}

/// The language in the classes of a piece of code, as highlighters write it.
fn language(class: &str) -> Option<String> {
    class.split_whitespace().find_map(|class| {
        let name = class
            .strip_prefix("language-")
            .or_else(|| class.strip_prefix("lang-"))
            .or_else(|| class.strip_prefix("highlight-"))?;
        (!name.is_empty()).then(|| name.to_lowercase())
    })
}
