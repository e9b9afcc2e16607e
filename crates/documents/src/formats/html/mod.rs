//! HTML: the main text with its headings, lists, tables and code.
//!
//! The file goes through a tokenizer and not into a tree: what is open is a stack, so that depth
//! and memory have limits and nothing calls itself.

mod elements;
mod pieces;
mod reader;

use super::File;
use crate::{Document, Format, Result, builder::Builder, encoding};
use encoding_rs::Encoding;
use pieces::Piece;
pub(crate) use reader::{Syntax, read};

/// Bytes in which a page may state its charset.
const PRESCAN: usize = 4096;

/// Reads a page. Scripts, styles, navigation and what is hidden are left out.
pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let stated = file.charset.is_none().then(|| charset(file.bytes)).flatten();
    let text = encoding::decode(file.bytes, file.charset.or(stated.as_deref()), file.limits)?;
    let syntax = if text.trim_start().starts_with("<?xml") { Syntax::Xhtml } else { Syntax::Html };
    let page = read(&text, syntax, file)?;
    let mut builder = file.builder(Format::Html);
    if let Some(title) = &page.title {
        builder.title(title);
    }
    write(page.pieces, &mut builder)?;
    builder.finish()
}

/// The charset that a page states in its own first bytes.
fn charset(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..bytes.len().min(PRESCAN))?.to_ascii_lowercase();
    // The first is of HTML, the second of the XML declaration.
    [&b"charset="[..], b"encoding="].iter().find_map(|key| {
        let at = memchr::memmem::find(&head, key)? + key.len();
        let rest = head.get(at..)?;
        let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
        let end =
            rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"-_:".contains(byte));
        let label = rest.get(..end.unwrap_or(rest.len()))?;
        let encoding = Encoding::for_label(label)?;
        // A page whose bytes could be read so far is not in UTF-16, whatever it says.
        (!encoding.name().starts_with("UTF-16")).then(|| encoding.name().to_owned())
    })
}

/// Writes the pieces that belong to the main text.
pub(crate) fn write(pieces: Vec<Piece>, builder: &mut Builder<'_>) -> Result<()> {
    let wanted = pieces::main_area(&pieces);
    for piece in pieces.into_iter().filter(|piece| wanted.includes(piece.area)) {
        piece.write(builder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
