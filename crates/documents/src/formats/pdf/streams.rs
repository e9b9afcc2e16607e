//! Streams of a PDF, decoded within limits.

use super::File;
use crate::{Error, Result};
use flate2::read::{DeflateDecoder, ZlibDecoder};
use hayro_syntax::{
    Filter,
    object::{Dict, Stream},
};
use memchr::memmem;
use std::io::{self, Read};

/// Compressed bytes of a stream in an old form of compression, whose expansion cannot be stopped.
const OLD_BYTES: usize = 512 * 1024;

/// How far behind its type the data of a stream begins at most.
const DICTIONARY: usize = 4096;

/// What has been decoded of a file.
pub(super) struct Decoder<'a> {
    file: &'a File<'a>,
    left: u64,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(file: &'a File<'a>) -> Self {
        Self { file, left: file.limits.archive_bytes }
    }

    /// The data of a stream. What cannot be decoded ends where the damage begins.
    pub(super) fn decode(&mut self, stream: &Stream<'_>) -> Result<Vec<u8>> {
        let filters = stream.filters();
        let raw = stream.raw_data();
        let parameters: Option<Dict<'_>> = stream.dict().get(b"DecodeParms");
        let predicted = parameters.is_some_and(|p| p.get::<i32>(b"Predictor").unwrap_or(1) > 1);
        let data = match (filters.as_slice(), predicted) {
            ([], _) => raw.into_owned(),
            ([Filter::FlateDecode], false) => self.inflate(&raw)?,
            ([Filter::Ascii85Decode, Filter::FlateDecode], false) => {
                self.inflate(&ascii85(&raw))?
            }
            _ if raw.len() > OLD_BYTES => {
                let what = "bytes in a stream of an old compression";
                return Err(Error::limit(what, OLD_BYTES, "archive_bytes"));
            }
            _ => stream.decoded_data().map(std::borrow::Cow::into_owned).unwrap_or_default(),
        };
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or_else(|| too_large(self.file))?;
        Ok(data)
    }

    fn inflate(&self, raw: &[u8]) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        inflate(raw, self.left, &mut data).ok_or_else(|| too_large(self.file))?;
        Ok(data)
    }
}

fn too_large(file: &File<'_>) -> Error {
    let what = "bytes in its streams";
    Error::limit(what, file.limits.archive_bytes, "archive_bytes")
}

/// Inflates into `out`, as far as the data is good; `None` when there are more bytes than `most`.
fn inflate(raw: &[u8], most: u64, out: &mut impl io::Write) -> Option<()> {
    let mut copy = |from: &mut dyn Read| {
        let mut counted = Counted { out, count: 0 };
        // An error is damage: what came before it is kept.
        let _ = io::copy(&mut from.take(most.saturating_add(1)), &mut counted);
        counted.count
    };
    let mut count = copy(&mut ZlibDecoder::new(raw));
    if count == 0 {
        // Some writers leave out the header, others damage it.
        count = copy(&mut DeflateDecoder::new(raw.get(2..).unwrap_or_default()));
    }
    (count <= most).then_some(())
}

struct Counted<'w, W> {
    out: &'w mut W,
    count: u64,
}

impl<W: io::Write> io::Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += u64::try_from(written).unwrap_or(u64::MAX);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Bytes written in ASCII, four in five characters.
fn ascii85(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() / 5 * 4);
    let mut group: Vec<u32> = Vec::with_capacity(5);
    let mut write = |group: &mut Vec<u32>| {
        let count = group.len();
        if count > 1 {
            group.resize(5, 84);
            let value =
                group.iter().fold(0_u32, |v, digit| v.wrapping_mul(85).wrapping_add(*digit));
            out.extend_from_slice(value.to_be_bytes().get(..count - 1).unwrap_or_default());
        }
        group.clear();
    };
    for byte in raw {
        match byte {
            b'~' => break,
            b'z' if group.is_empty() => {
                group.extend([0; 5]);
                write(&mut group);
            }
            b'!'..=b'u' => {
                group.push(u32::from(byte - b'!'));
                if group.len() == 5 {
                    write(&mut group);
                }
            }
            _ => {}
        }
    }
    write(&mut group);
    out
}

/// Looks at the streams that the library decodes by itself, whole: tables and containers of
/// objects. They are inflated into nothing here, to see how large they are.
pub(super) fn check_hidden(file: &File<'_>) -> Result<()> {
    let mut left = file.limits.archive_bytes;
    for kind in [&b"/ObjStm"[..], b"/XRef"] {
        for at in memmem::find_iter(file.bytes, kind) {
            file.deadline.check()?;
            let near =
                file.bytes.get(at..file.bytes.len().min(at + DICTIONARY)).unwrap_or_default();
            let Some(begin) = memmem::find(near, b"stream") else { continue };
            let data = file.bytes.get(at + begin + b"stream".len()..).unwrap_or_default();
            let data = data.strip_prefix(b"\r").unwrap_or(data);
            let data = data.strip_prefix(b"\n").unwrap_or(data);
            let mut counted = Counted { out: &mut io::sink(), count: 0 };
            let most = left.saturating_add(1);
            let _ = io::copy(&mut ZlibDecoder::new(data).take(most), &mut counted);
            left = left.checked_sub(counted.count).ok_or_else(|| too_large(file))?;
        }
    }
    Ok(())
}

/// A text of the file itself, such as its title: UTF-16, UTF-8 or nearly Latin-1.
pub(super) fn text_string(bytes: &[u8]) -> String {
    match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding.decode(bytes).0.into_owned(),
        None => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}
