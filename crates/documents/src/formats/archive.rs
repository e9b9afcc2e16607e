//! Zip archives: members by name, within limits. Nothing is ever written to disk.

use super::{File, ooxml};
use crate::{Error, Format, Limits, Result, format};
use memchr::memmem;
use percent_encoding::percent_decode_str;
use std::io::{Cursor, Read};
use zip::{ZipArchive, result::ZipError};

/// The signature of an entry in the directory of an archive.
const ENTRY: &[u8] = b"PK\x01\x02";

/// Bytes up to which a member may be compressed as well as it likes.
const SMALL: u64 = 1024 * 1024;

/// An archive and what has been read of it.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    limits: &'a Limits,
    /// For messages.
    format: &'static str,
    read: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(bytes: &'a [u8], format: &'static str, limits: &'a Limits) -> Result<Self> {
        let entries = memmem::find_iter(bytes, ENTRY).take(limits.archive_entries + 1).count();
        // The directory costs memory for each entry, so they are counted before it is read.
        if entries > limits.archive_entries {
            return Err(Self::too_many(limits));
        }
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| Error::damaged(format, format!("its directory: {error}")))?;
        if zip.len() > limits.archive_entries {
            return Err(Self::too_many(limits));
        }
        Ok(Self { zip, limits, format, read: 0 })
    }

    fn too_many(limits: &Limits) -> Error {
        Error::limit("members", limits.archive_entries, "archive_entries")
    }

    /// Whether there is a file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// The bytes of a member, if there is one of this name. Links and folders are none.
    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let (format, limits) = (self.format, self.limits);
        let damaged = |error: &dyn std::fmt::Display| {
            let name: String = name.chars().take(100).collect();
            Error::damaged(format, format!("its member `{name}`: {error}"))
        };
        let mut member = match self.zip.by_name(name) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::UnsupportedArchive(reason)) if reason.contains("assword") => {
                return Err(format::encrypted(format));
            }
            Err(error) => return Err(damaged(&error)),
        };
        if !member.is_file() {
            return Ok(None);
        }
        let most = limits.archive_bytes.saturating_sub(self.read);
        let by_ratio = member.compressed_size().saturating_mul(limits.archive_ratio).max(SMALL);
        let mut bytes = Vec::new();
        // One byte more than allowed tells whether there is more.
        let allowed = most.min(by_ratio);
        (&mut member)
            .take(allowed.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| damaged(&e))?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > most {
            let what = "bytes in its members";
            return Err(Error::limit(what, limits.archive_bytes, "archive_bytes"));
        }
        if length > by_ratio {
            let what = "times the bytes that it has compressed";
            return Err(Error::limit(what, limits.archive_ratio, "archive_ratio"));
        }
        self.read += length;
        Ok(Some(bytes))
    }

    /// The same for a member that must be there.
    pub(crate) fn need(&mut self, name: &str) -> Result<Vec<u8>> {
        let format = self.format;
        self.read(name)?.ok_or_else(|| Error::damaged(format, format!("`{name}` is missing")))
    }
}

/// The kind of a zip archive.
pub(crate) fn kind(file: &File<'_>) -> Result<Format> {
    let mut archive = Archive::open(file.bytes, "zip", file.limits)?;
    if let Some(main) = ooxml::main_part(&mut archive, file)? {
        let (folder, ending) = (main.split('/').next(), main.rsplit('.').next());
        match folder {
            _ if ending == Some("bin") => {
                return Err(format::unsupported("a binary workbook (XLSB); save it as XLSX"));
            }
            Some("word") => return Ok(Format::Docx),
            Some("ppt") => return Ok(Format::Pptx),
            Some("xl") => return Ok(Format::Xlsx),
            _ => {}
        }
    }
    let media_type = archive.read("mimetype").ok().flatten().unwrap_or_default();
    if media_type.trim_ascii() == b"application/epub+zip" || archive.has("META-INF/container.xml") {
        return Ok(Format::Epub);
    }
    if media_type.starts_with(b"application/vnd.oasis.opendocument") {
        let what = "an OpenDocument file; save it as DOCX, PPTX, XLSX or PDF";
        return Err(format::unsupported(what));
    }
    Err(format::unsupported("a zip archive; send the files in it one by one"))
}

/// The name of a member that `target` means when it stands in the member `base`: as links between
/// files, with `..` and `%20`, and never above the root of the archive.
pub(crate) fn resolve(base: &str, target: &str) -> String {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    let target = percent_decode_str(target).decode_utf8_lossy();
    let folder =
        if target.starts_with('/') { "" } else { base.rsplit_once('/').map_or("", |b| b.0) };
    let mut path: Vec<&str> = Vec::new();
    for step in folder.split('/').chain(target.split('/')) {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_inside_the_archive() {
        for (base, target, wanted) in [
            ("xl/workbook.xml", "worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl/workbook.xml", "/xl/a.xml", "xl/a.xml"),
            ("ppt/slides/slide1.xml", "../notes/a.xml", "ppt/notes/a.xml"),
            ("a/b.opf", "../../../etc/passwd", "etc/passwd"),
            ("b.opf", "text/part%201.xhtml#top", "text/part 1.xhtml"),
            ("b.opf", "100%.xhtml", "100%.xhtml"),
        ] {
            assert_eq!(resolve(base, target), wanted);
        }
    }
}
