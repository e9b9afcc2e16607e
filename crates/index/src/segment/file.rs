//! Segments as files: written beside, renamed, and trusted only with the right checksum.

use super::{
    Columns, Postings, Segment, Texts, Vectors,
    bytes::{Sink, Source},
};
use crate::{Error, Result};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::OnceLock,
};

const MAGIC: &[u8; 8] = b"CHSKSEG\n";
/// Changes with the form of the file; files of another version are made again.
pub(crate) const VERSION: u32 = 2;

/// Writes a segment; answers the checksum.
pub(crate) fn store(segment: &Segment, path: &Path, fingerprint: u32) -> Result<u32> {
    let mut sink = Sink(Vec::with_capacity(segment.memory() + 64));
    sink.0.extend_from_slice(MAGIC);
    sink.0.extend_from_slice(&VERSION.to_le_bytes());
    sink.0.extend_from_slice(&fingerprint.to_le_bytes());
    sink.list(&segment.rows);
    segment.ids.write(&mut sink);
    sink.list(&segment.expiries);
    segment.vectors.write(&mut sink);
    segment.postings.write(&mut sink);
    segment.columns.write(&mut sink);
    let checksum = crc32fast::hash(&sink.0);
    let beside = path.with_extension("tmp");
    let mut file = File::create(&beside).map_err(Error::files("create", &beside))?;
    file.write_all(&sink.0)
        .and_then(|()| file.sync_all())
        .map_err(Error::files("write", &beside))?;
    fs::rename(&beside, path).map_err(Error::files("rename", &beside))?;
    if let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    Ok(checksum)
}

/// Makes sure that the names in a folder survive.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(Error::files("write", folder))
}

/// The segment in a file, or why there is none.
pub(crate) fn load(
    path: &Path,
    checksum: u32,
    fingerprint: u32,
    width: usize,
) -> Result<Segment, String> {
    let bytes = fs::read(path).map_err(|cause| cause.to_string())?;
    if crc32fast::hash(&bytes) != checksum {
        return Err("the checksum is another".to_owned());
    }
    let header = [&MAGIC[..], &VERSION.to_le_bytes(), &fingerprint.to_le_bytes()].concat();
    let rest = bytes.strip_prefix(&header[..]).ok_or("made by another version or settings")?;
    parse(&mut Source(rest), width).ok_or_else(|| "the lists do not fit each other".to_owned())
}

fn parse(source: &mut Source<'_>, width: usize) -> Option<Segment> {
    let rows: Vec<u64> = source.list()?;
    let count = rows.len();
    let ids = Texts::read(source)?;
    let expiries: Vec<(u64, u32)> = source.list()?;
    let fits = ids.len() == count
        && rows.is_sorted_by(|one, other| one < other)
        && expiries.iter().all(|(_, position)| (*position as usize) < count);
    let segment = Segment {
        rows,
        ids,
        expiries,
        vectors: Vectors::read(source, count, width)?,
        postings: Postings::read(source, count)?,
        columns: Columns::read(source, count)?,
        file: OnceLock::new(),
    };
    (fits && source.0.is_empty()).then_some(segment)
}
