//! The parsers, one for each kind of file.

pub(crate) mod archive;
pub(crate) mod csv;
pub(crate) mod epub;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod ooxml;
pub(crate) mod pdf;
pub(crate) mod plain;
mod xml;

use crate::{
    Error, Format, Limits, Result,
    builder::{Builder, Deadline},
    encoding,
};

/// A file on its way through a parser.
pub(crate) struct File<'a> {
    pub(crate) bytes: &'a [u8],
    /// The charset that came with the file.
    pub(crate) charset: Option<&'a str>,
    pub(crate) limits: &'a Limits,
    pub(crate) deadline: Deadline,
}

impl<'a> File<'a> {
    /// The file as text.
    pub(crate) fn text(&self) -> Result<String> {
        encoding::decode(self.bytes, self.charset, self.limits)
    }

    /// An empty document of this file.
    pub(crate) fn builder(&self, format: Format) -> Builder<'a> {
        Builder::new(format, self.limits, self.deadline)
    }

    /// A document whose text is the file itself.
    pub(crate) fn source(&self, format: Format, text: String) -> Result<Builder<'a>> {
        Builder::of_source(format, text, self.limits, self.deadline)
    }

    /// An error when something is nested too deeply.
    pub(crate) fn check_nesting(&self, depth: usize) -> Result<()> {
        if depth > self.limits.nesting {
            return Err(Error::limit("levels of nesting", self.limits.nesting, "nesting"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::{BlockKind, Document};
    use std::io::{Cursor, Write};
    use zip::{ZipWriter, write::SimpleFileOptions};

    /// A zip archive of these members.
    pub(crate) fn zip(members: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// A short name of a kind: `heading 1`, `table 3/1` with its rows and those of the header.
    fn name(kind: &BlockKind) -> String {
        match kind {
            BlockKind::Heading { level, .. } => format!("heading {level}"),
            BlockKind::Paragraph => "paragraph".to_owned(),
            BlockKind::ListItem { depth } => format!("item {depth}"),
            BlockKind::Table { rows, header } => format!("table {}/{header}", rows.len()),
            BlockKind::Code { language } => {
                format!("code {}", language.as_deref().unwrap_or("?"))
            }
        }
    }

    /// The kinds and texts of the blocks.
    pub(crate) fn blocks(document: &Document) -> Vec<(String, &str)> {
        document
            .blocks()
            .iter()
            .map(|block| (name(&block.kind), document.block_text(block)))
            .collect()
    }
}
