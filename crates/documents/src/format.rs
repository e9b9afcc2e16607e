//! What kind of file it is: by its content, then by its media type, then by its name.

use crate::{
    Error, ErrorKind, Limits, Result,
    builder::Deadline,
    encoding,
    formats::{File, archive},
    languages,
};
use memchr::memmem;
use serde::{Deserialize, Serialize};

/// The kinds of files that are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Pdf,
    Docx,
    Pptx,
    Xlsx,
    Epub,
    Html,
    Markdown,
    Csv,
    Json,
    /// Source code and other text for machines, with its language.
    Code(String),
    Text,
}

impl Format {
    /// The name for messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Pdf => "PDF",
            Self::Docx => "DOCX",
            Self::Pptx => "PPTX",
            Self::Xlsx => "XLSX",
            Self::Epub => "EPUB",
            Self::Html => "HTML",
            Self::Markdown => "Markdown",
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Code(language) => language,
            Self::Text => "text",
        }
    }
}

/// The kinds of tables that can be read for their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cells {
    Csv,
    Xlsx,
}

/// What is known about a file beside its content, and what is wanted of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// Its name; folders in it do not matter, and no file of this name is opened.
    pub name: Option<String>,
    /// Its media type, such as `text/html; charset=utf-8`.
    pub media_type: Option<String>,
    /// What kind of table it is, where its cells are wanted. The text of the document is then a JSON
    /// list for each row, one on a line, with the cells from the first column on: texts, and in XLSX
    /// numbers and truth values too; `null` for an empty one. Of a workbook the first sheet is read.
    #[serde(default)]
    pub cells: Option<Cells>,
}

impl Hints {
    /// A file of this name.
    pub fn name(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// A file of this media type.
    pub fn media_type(media_type: impl Into<String>) -> Self {
        Self { media_type: Some(media_type.into()), ..Self::default() }
    }

    /// A table whose cells are wanted.
    pub fn cells(cells: Cells) -> Self {
        Self { cells: Some(cells), ..Self::default() }
    }

    /// The media type in small letters, without parameters.
    fn essence(&self) -> Option<String> {
        let essence = self.media_type.as_deref()?.split(';').next()?.trim();
        (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
    }

    /// The charset that the media type states.
    pub(crate) fn charset(&self) -> Option<&str> {
        self.media_type.as_deref()?.split(';').skip(1).find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"');
            key.trim().eq_ignore_ascii_case("charset").then_some(value)
        })
    }

    /// The name in small letters, without folders.
    fn file_name(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        Some(name.to_lowercase())
    }
}

/// Beginnings of files without text, and what to call them.
const IMAGES: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"8BPS", "a Photoshop image"),
    (b"\0\0\x01\0", "an icon"),
    (b"AT&TFORM", "a DjVu scan"),
    (b"ID3", "a sound recording"),
    (b"OggS", "a recording"),
    (b"fLaC", "a sound recording"),
    (b"\x1a\x45\xdf\xa3", "a film"),
];

/// Beginnings of files that are not read, and what to call them.
const OTHERS: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\0asm", "a program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"{\\rtf", "an RTF document; save it as DOCX or PDF"),
    (b"%!PS", "a PostScript file; convert it to PDF"),
];

fn no_text(what: &str) -> Error {
    let message = format!("the file is {what} and has no text; run it through OCR first");
    Error::new(ErrorKind::NoText, message)
}

pub(crate) fn unsupported(what: &str) -> Error {
    let message = format!(
        "the file is {what}, which is not read; \
         use PDF, DOCX, PPTX, XLSX, EPUB, HTML, Markdown, CSV, JSON or text"
    );
    Error::new(ErrorKind::Unsupported, message)
}

fn begins(bytes: &[u8], table: &[(&[u8], &'static str)]) -> Option<&'static str> {
    table.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, what)| *what)
}

/// Containers that name their kind after eight or four bytes.
fn container(bytes: &[u8]) -> Option<&'static str> {
    let at = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    match (at(0..4), at(4..8), at(8..12)) {
        (b"RIFF", _, b"WEBP") => Some("a WebP image"),
        (_, b"ftyp", b"avif" | b"avis" | b"heic" | b"heix" | b"mif1") => Some("an HEIF image"),
        (b"RIFF", _, b"WAVE") | (_, b"ftyp", b"M4A ") => Some("a sound recording"),
        (b"RIFF", _, b"AVI ") | (_, b"ftyp", _) => Some("a film"),
        _ => None,
    }
}

/// The kind by signatures, if the content has one.
fn by_signature(bytes: &[u8], limits: &Limits) -> Result<Option<Format>> {
    let head = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
    if memmem::find(head, b"%PDF-").is_some() {
        return Ok(Some(Format::Pdf));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        let deadline = Deadline::new(limits);
        return archive::kind(&File { bytes, charset: None, limits, deadline }).map(Some);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        // Office puts a document with a password into such a container, under this name in UTF-16.
        let name: Vec<u8> = "EncryptedPackage".bytes().flat_map(|byte| [byte, 0]).collect();
        if memmem::find(bytes, &name).is_some() {
            return Err(encrypted("Office"));
        }
        return Err(unsupported(
            "an Office document of before 2007; save it as DOCX, PPTX or XLSX",
        ));
    }
    // Two letters alone do not make an image: a text may begin with them.
    let is_text = !encoding::looks_binary(bytes);
    if let Some(what) = begins(bytes, IMAGES).filter(|_| !is_text).or_else(|| container(bytes)) {
        return Err(no_text(what));
    }
    let is_named = |what: &&str| what.starts_with("an RTF") || what.starts_with("a PostScript");
    if let Some(what) = begins(bytes, OTHERS).filter(|what| !is_text || is_named(what)) {
        return Err(unsupported(what));
    }
    Ok(None)
}

pub(crate) fn encrypted(format: &str) -> Error {
    let message = format!("the {format} file is encrypted; remove its password and send it again");
    Error::new(ErrorKind::Encrypted, message)
}

fn by_media_type(essence: &str) -> Result<Option<Format>> {
    Ok(Some(match essence {
        "application/pdf" => return Err(Error::damaged("PDF", "it does not begin as one")),
        "text/html" | "application/xhtml+xml" => Format::Html,
        "text/markdown" | "text/x-markdown" => Format::Markdown,
        "text/csv" | "text/tab-separated-values" | "application/csv" => Format::Csv,
        "application/json"
        | "text/json"
        | "application/x-ndjson"
        | "application/jsonl"
        | "application/x-jsonlines"
        | "application/ld+json" => Format::Json,
        "image/svg+xml" => return Err(no_text("an SVG image")),
        _ if essence.ends_with("+json") => Format::Json,
        _ if essence.ends_with("+xml") => Format::Code("xml".to_owned()),
        _ => match languages::by_media_type(essence) {
            Some(language) => Format::Code(language.to_owned()),
            None => return Ok(None),
        },
    }))
}

fn by_name(name: &str) -> Result<Option<Format>> {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    Ok(Some(match ending {
        "html" | "htm" | "xhtml" => Format::Html,
        "md" | "markdown" | "mdown" | "mkd" | "mdx" | "qmd" | "rmd" => Format::Markdown,
        "csv" | "tsv" => Format::Csv,
        "json" | "jsonl" | "ndjson" | "geojson" | "ipynb" => Format::Json,
        "svg" => return Err(no_text("an SVG image")),
        "pdf" | "docx" | "pptx" | "xlsx" | "epub" => {
            let format = ending.to_uppercase();
            return Err(Error::damaged(&format, "it does not begin as one"));
        }
        "txt" | "text" | "log" => Format::Text,
        _ => match languages::by_name(name) {
            Some(language) => Format::Code(language.to_owned()),
            None => return Ok(None),
        },
    }))
}

/// The kind by how a text begins.
fn by_beginning(bytes: &[u8]) -> Result<Option<Format>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let head = bytes.get(..bytes.len().min(1024)).unwrap_or_default().to_ascii_lowercase();
    let has = |what: &[u8]| memmem::find(&head, what).is_some();
    if head.starts_with(b"<!doctype html") || head.starts_with(b"<html") {
        return Ok(Some(Format::Html));
    }
    if head.starts_with(b"<svg") || (head.starts_with(b"<?xml") && has(b"<svg")) {
        return Err(no_text("an SVG image"));
    }
    if head.starts_with(b"<?xml") {
        let is_html = has(b"<html") || has(b"<!doctype html");
        return Ok(Some(if is_html { Format::Html } else { Format::Code("xml".to_owned()) }));
    }
    if head.starts_with(b"<!--") && has(b"<html") {
        return Ok(Some(Format::Html));
    }
    if matches!(head.first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    {
        return Ok(Some(Format::Json));
    }
    Ok(None)
}

/// The kind of a file.
///
/// # Errors
/// When the file is of a kind that is not read or has no text, and says so itself.
pub fn detect(bytes: &[u8], hints: &Hints, limits: &Limits) -> Result<Format> {
    if let Some(format) = by_signature(bytes, limits)? {
        return Ok(format);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::new(ErrorKind::NoText, "the file is empty"));
    }
    let marked = encoding_rs::Encoding::for_bom(bytes).is_some();
    if !marked && !encoding::is_wide(bytes) && encoding::looks_binary(bytes) {
        return Err(unsupported(&hints.essence().map_or_else(
            || "of an unknown binary kind".to_owned(),
            |essence| format!("of type `{}`", essence.chars().take(100).collect::<String>()),
        )));
    }
    if let Some(format) = hints.essence().as_deref().map_or(Ok(None), by_media_type)? {
        return Ok(format);
    }
    let named = hints.file_name().as_deref().map_or(Ok(None), by_name)?;
    match named {
        Some(format) if format != Format::Text => Ok(format),
        _ => Ok(by_beginning(bytes)?.unwrap_or(Format::Text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8], name: &str, media_type: &str) -> Result<Format> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let hints = Hints { name: some(name), media_type: some(media_type), ..Hints::default() };
        detect(bytes, &hints, &Limits::default())
    }

    #[test]
    fn kinds_are_known_by_content_then_type_then_name() {
        let rust = Format::Code("rust".to_owned());
        let xml = Format::Code("xml".to_owned());
        for (bytes, name, media_type, wanted) in [
            (&b"\n%PDF-1.7"[..], "a.txt", "text/plain", Format::Pdf),
            (b"<!DOCTYPE html><p>", "", "", Format::Html),
            (b" <HTML>", "a.txt", "text/plain", Format::Html),
            (b"<?xml version='1.0'?>\n<html>", "", "", Format::Html),
            (b"<?xml version='1.0'?>\n<feed>", "", "", xml),
            (b"{\"a\": 1}", "", "application/octet-stream", Format::Json),
            (b"{broken", "", "", Format::Text),
            (b"{broken", "a.json", "", Format::Json),
            (b"# A", "a.txt", "text/markdown; charset=utf-8", Format::Markdown),
            (b"# A", "folder.txt/README.MD", "", Format::Markdown),
            (b"a,b", "C:\\folder\\a.csv", "", Format::Csv),
            (b"{}", "a.rs", "text/plain", rust),
            (b"text", "", "application/problem+json", Format::Json),
            (b"BM is an abbreviation", "", "", Format::Text),
            (b"text", "no ending", "nonsense", Format::Text),
        ] {
            assert_eq!(kind(bytes, name, media_type).as_ref(), Ok(&wanted), "{name} {media_type}");
        }
    }

    #[test]
    fn files_without_text_are_named() {
        let padded = |magic: &[u8]| [magic, &[0; 64]].concat();
        for (bytes, name, kind_of_error, word) in [
            (padded(b"\x89PNG\r\n\x1a\n"), "a.txt", ErrorKind::NoText, "PNG"),
            (padded(b"\xff\xd8\xff\xe0"), "", ErrorKind::NoText, "JPEG"),
            (padded(b"\0\0\0\x1cftypheic"), "", ErrorKind::NoText, "HEIF"),
            (b"<svg xmlns='x'>".to_vec(), "", ErrorKind::NoText, "SVG"),
            (padded(b"\x1f\x8b\x08"), "a.txt", ErrorKind::Unsupported, "gzip"),
            (padded(b"\x7fELF"), "", ErrorKind::Unsupported, "program"),
            (b"{\\rtf1 text}".to_vec(), "", ErrorKind::Unsupported, "RTF"),
            (
                padded(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
                "",
                ErrorKind::Unsupported,
                "before 2007",
            ),
            (vec![1; 64], "", ErrorKind::Unsupported, "unknown binary"),
            (b" \n".to_vec(), "a.txt", ErrorKind::NoText, "empty"),
            (b"text".to_vec(), "a.pdf", ErrorKind::Damaged, "PDF"),
        ] {
            let error = kind(&bytes, name, "").unwrap_err();
            assert_eq!(error.kind, kind_of_error, "{error}");
            assert!(error.message.contains(word), "{error}");
        }
    }

    #[test]
    fn an_encrypted_office_file_is_called_so() {
        let name: Vec<u8> = "EncryptedPackage".bytes().flat_map(|byte| [byte, 0]).collect();
        let file = [&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], &[0; 512], &name].concat();
        assert_eq!(kind(&file, "a.docx", "").unwrap_err().kind, ErrorKind::Encrypted);
    }

    #[test]
    fn charsets_are_read_from_media_types() {
        let charset = |text: &str| Hints::media_type(text).charset().map(str::to_owned);
        assert_eq!(charset("text/plain; x=y; Charset=\"UTF-8\"").as_deref(), Some("UTF-8"));
        assert_eq!(charset("text/plain"), None);
    }
}
