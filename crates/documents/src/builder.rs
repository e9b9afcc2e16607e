//! Putting a document together within its limits.

use crate::{Block, BlockKind, Document, Error, ErrorKind, Format, Limits, Numbering, Result};
use serde::Serialize;
use std::{ops::Range, time::Instant};

/// How many small steps go by between two looks at the clock.
const STEPS_PER_LOOK: u32 = 256;

/// The most characters of a title: each chunk below a heading is kept with its title.
const TITLE_CHARACTERS: usize = 200;

/// The clock of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    seconds: u64,
    steps: u32,
}

impl Deadline {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            at: Instant::now().checked_add(limits.time),
            seconds: limits.time.as_secs(),
            steps: 0,
        }
    }

    /// An error when the time is over.
    pub(crate) fn check(&self) -> Result<()> {
        if self.at.is_some_and(|at| Instant::now() >= at) {
            return Err(Self::passed(self.seconds));
        }
        Ok(())
    }

    /// The same for small steps of a loop.
    pub(crate) fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps < STEPS_PER_LOOK {
            return Ok(());
        }
        self.steps = 0;
        self.check()
    }

    pub(crate) fn passed(seconds: u64) -> Error {
        let message =
            format!("reading the file took longer than {seconds} s; split it, or raise `time`");
        Error::new(ErrorKind::Timeout, message)
    }
}

/// A document in the making.
pub(crate) struct Builder<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) deadline: Deadline,
    format: Format,
    title: Option<String>,
    numbering: Option<Numbering>,
    page: Option<u32>,
    text: String,
    blocks: Vec<Block>,
    cells: usize,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(format: Format, limits: &'a Limits, deadline: Deadline) -> Self {
        Self {
            limits,
            deadline,
            format,
            title: None,
            numbering: None,
            page: None,
            text: String::new(),
            blocks: Vec::new(),
            cells: 0,
        }
    }

    /// A document whose text is the file itself; its parts are then marked.
    pub(crate) fn of_source(
        format: Format,
        text: String,
        limits: &'a Limits,
        deadline: Deadline,
    ) -> Result<Self> {
        let builder = Self { text, ..Self::new(format, limits, deadline) };
        builder.check_text(0)?;
        Ok(builder)
    }

    /// The title, unless there is one already.
    pub(crate) fn title(&mut self, title: &str) {
        let title = shortened(words(title));
        if self.title.is_none() && !title.is_empty() {
            self.title = Some(title);
        }
    }

    /// What follows is on this page.
    pub(crate) fn page(&mut self, numbering: Numbering, page: usize) -> Result<()> {
        self.deadline.check()?;
        if page > self.limits.pages {
            return Err(Error::limit("pages", self.limits.pages, "pages"));
        }
        self.numbering = Some(numbering);
        self.page = u32::try_from(page).ok();
        Ok(())
    }

    /// Marks a part of the text that is there already. Empty parts are left out.
    pub(crate) fn mark(&mut self, kind: BlockKind, range: Range<usize>) -> Result<()> {
        let Some(part) = self.text.get(range.clone()) else { return Ok(()) };
        let start = range.start + (part.len() - part.trim_start().len());
        let end = range.end - (part.len() - part.trim_end().len());
        let after = self.blocks.last().map_or(0, |last| last.range.end);
        if start >= end || start < after {
            return Ok(());
        }
        self.push(kind, start..end)
    }

    fn push(&mut self, mut kind: BlockKind, range: Range<usize>) -> Result<()> {
        self.deadline.step()?;
        if let BlockKind::Heading { title, .. } = &mut kind {
            *title = shortened(std::mem::take(title));
        }
        if self.blocks.len() >= self.limits.blocks {
            return Err(Error::limit("blocks", self.limits.blocks, "blocks"));
        }
        self.blocks.push(Block { range, kind, page: self.page });
        Ok(())
    }

    /// An error when the text would be too long with this many bytes more.
    pub(crate) fn check_text(&self, more: usize) -> Result<()> {
        if self.text.len().saturating_add(more) > self.limits.text_bytes {
            return Err(Error::limit("bytes of text", self.limits.text_bytes, "text_bytes"));
        }
        Ok(())
    }

    /// Counts cells of a table.
    pub(crate) fn count_cells(&mut self, more: usize) -> Result<()> {
        self.cells = self.cells.saturating_add(more);
        if self.cells > self.limits.table_cells {
            return Err(Error::limit("table cells", self.limits.table_cells, "table_cells"));
        }
        Ok(())
    }

    /// Appends a part. List items follow each other line by line, other parts have a line between.
    pub(crate) fn block(&mut self, kind: BlockKind, text: &str) -> Result<()> {
        let text = if matches!(kind, BlockKind::Code { .. }) {
            text.trim_matches(['\n', '\r']).trim_end()
        } else {
            text.trim()
        };
        if text.trim().is_empty() {
            return Ok(());
        }
        self.check_text(text.len() + 2)?;
        self.separate(&kind);
        let start = self.text.len();
        self.text.push_str(text);
        self.push(kind, start..start + text.len())
    }

    fn separate(&mut self, next: &BlockKind) {
        if self.text.is_empty() {
            return;
        }
        let is_item = |kind: &BlockKind| matches!(kind, BlockKind::ListItem { .. });
        let within = self.blocks.last().is_some_and(|last| is_item(&last.kind)) && is_item(next);
        self.text.push_str(if within { "\n" } else { "\n\n" });
    }

    pub(crate) fn paragraph(&mut self, text: &str) -> Result<()> {
        self.block(BlockKind::Paragraph, text)
    }

    pub(crate) fn heading(&mut self, level: u8, text: &str) -> Result<()> {
        let title = words(text);
        let text = title.clone();
        self.block(BlockKind::Heading { level: level.clamp(1, 6), title }, &text)
    }

    /// A list item with its marker, such as `-` or `3.`.
    pub(crate) fn item(&mut self, depth: usize, marker: &str, text: &str) -> Result<()> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let kind = BlockKind::ListItem { depth: u8::try_from(depth).unwrap_or(u8::MAX) };
        self.block(kind, &format!("{marker} {text}"))
    }

    /// Appends a table: a line for each row, ` | ` between cells. Empty rows are left out.
    pub(crate) fn table(&mut self, rows: &[Vec<String>], header: usize) -> Result<()> {
        let mut table = self.open_table(header)?;
        for row in rows {
            self.row(&mut table, row.iter().map(String::as_str))?;
        }
        self.close_table(table)
    }

    /// Begins a table whose rows come one by one.
    pub(crate) fn open_table(&mut self, header: usize) -> Result<OpenTable> {
        self.check_text(2)?;
        Ok(OpenTable { before: self.text.len(), start: None, rows: Vec::new(), header })
    }

    pub(crate) fn row<'c>(
        &mut self,
        table: &mut OpenTable,
        cells: impl Iterator<Item = &'c str>,
    ) -> Result<()> {
        self.deadline.step()?;
        let mut line = String::new();
        let (mut count, mut filled) = (0, 0);
        for cell in cells {
            let cell = words(cell);
            if count > 0 {
                line.push_str(" | ");
            }
            line.push_str(&cell);
            count += 1;
            filled += usize::from(!cell.is_empty());
        }
        self.count_cells(count)?;
        if filled == 0 {
            return Ok(());
        }
        self.check_text(line.len() + 2)?;
        if table.start.is_none() {
            self.separate(&BlockKind::Table { rows: Vec::new(), header: 0 });
            table.start = Some(self.text.len());
        } else {
            self.text.push('\n');
        }
        // The row begins where it has words, so that it stays inside its block.
        let line = line.trim();
        table.rows.push(self.text.len());
        self.text.push_str(line);
        Ok(())
    }

    pub(crate) fn close_table(&mut self, table: OpenTable) -> Result<()> {
        let Some(start) = table.start else {
            self.text.truncate(table.before);
            return Ok(());
        };
        let header = table.header.min(table.rows.len());
        self.push(BlockKind::Table { rows: table.rows, header }, start..self.text.len())
    }

    /// Appends a row of cells as a line of JSON.
    pub(crate) fn cells<T: Serialize>(&mut self, cells: &[T]) -> Result<()> {
        self.deadline.step()?;
        self.count_cells(cells.len())?;
        let line = serde_json::to_string(cells)
            .map_err(|error| Error::new(ErrorKind::Crashed, error.to_string()))?;
        self.check_text(line.len() + 1)?;
        self.text.push_str(&line);
        self.text.push('\n');
        Ok(())
    }

    /// The finished document of rows of cells, or the error that there are none.
    pub(crate) fn finish_cells(mut self) -> Result<Document> {
        let whole = 0..self.text.len();
        self.mark(BlockKind::Code { language: Some("json".to_owned()) }, whole)?;
        self.finish()
    }

    /// The finished document, or the error that there is no text in it.
    pub(crate) fn finish(self) -> Result<Document> {
        if self.blocks.is_empty() {
            let message = format!("the {} file has no text", self.format.name());
            return Err(Error::new(ErrorKind::NoText, message));
        }
        let Self { format, title, numbering, text, blocks, .. } = self;
        Ok(Document { format, title, numbering, text, blocks })
    }
}

/// A table whose rows are being written.
pub(crate) struct OpenTable {
    before: usize,
    start: Option<usize>,
    rows: Vec<usize>,
    header: usize,
}

/// A title, or the beginning of one that is too long.
fn shortened(mut title: String) -> String {
    if let Some((end, _)) = title.char_indices().nth(TITLE_CHARACTERS) {
        title.truncate(end);
        title.truncate(title.trim_end().len());
        title.shrink_to_fit();
    }
    title
}

/// The words of a text with one blank between them.
pub(crate) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}
