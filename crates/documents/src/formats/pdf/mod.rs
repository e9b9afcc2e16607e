//! PDF: the text of the pages in the order in which they show it, headings by the size of letters.
//!
//! `hayro-syntax` reads objects, damaged files and encryption; streams are decoded here, within
//! limits, and their text is put together from fonts and positions.

mod content;
mod fonts;
mod glyphs;
mod layout;
mod streams;

#[cfg(test)]
pub(crate) mod tests;

use super::File;
use crate::{Document, Error, ErrorKind, Format, Numbering, Result, builder::Builder, format};
use content::Reader;
use hayro_syntax::{LoadPdfError, Pdf};
use layout::{Level, Paragraph};

const FORMAT: &str = "PDF";

pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    streams::check_hidden(file)?;
    let pdf = Pdf::new(file.bytes.to_vec()).map_err(|error| match error {
        LoadPdfError::Decryption(_) => format::encrypted(FORMAT),
        LoadPdfError::Invalid => Error::damaged(FORMAT, "no page of it can be found"),
    })?;
    file.deadline.check()?;
    let mut builder = file.builder(Format::Pdf);
    let count = pdf.pages().len();
    if count > file.limits.pages {
        return Err(Error::limit("pages", file.limits.pages, "pages"));
    }
    let mut reader = Reader::new(file);
    let mut pages = Vec::new();
    for page in pdf.pages().iter() {
        pages.push(layout::paragraphs(reader.page(page)?));
    }
    let levels = layout::levels(pages.iter().flatten());
    for (index, page) in pages.iter().enumerate() {
        builder.page(Numbering::Page, index + 1)?;
        page.iter().try_for_each(|paragraph| write(paragraph, &levels, &mut builder))?;
    }
    if let Some(title) = &pdf.metadata().title {
        builder.title(&streams::text_string(title));
    }
    match builder.finish() {
        Err(error) if error.kind == ErrorKind::NoText => Err(without_text(&reader)),
        outcome => outcome,
    }
}

fn write(paragraph: &Paragraph, levels: &[Level], builder: &mut Builder<'_>) -> Result<()> {
    match layout::heading(paragraph, levels) {
        Some(level) => builder.heading(level, &paragraph.text),
        None => builder.paragraph(&paragraph.text),
    }
}

/// Why a file that could be read has no text.
fn without_text(reader: &Reader<'_>) -> Error {
    let message = if reader.unknown > 0 {
        "the fonts of the PDF file do not say which letters they show; run it through OCR first"
    } else if reader.images > 0 {
        "the PDF file consists of images, as a scan does, and has no text; run it through OCR first"
    } else {
        "the PDF file has no text"
    };
    Error::new(ErrorKind::NoText, message)
}
