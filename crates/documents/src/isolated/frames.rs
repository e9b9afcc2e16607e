//! What the two processes say to each other: frames of a kind, a length and bytes.

use std::io::{self, Read, Write};

/// Bytes of a frame at most.
pub(super) const FRAME_BYTES: usize = 1024 * 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the worker: the hints and limits of a file, as JSON.
    Job,
    /// To the worker: bytes of the file.
    Data,
    /// To the worker: the file is complete.
    Go,
    /// From the worker: bytes of the text.
    Text,
    /// From the worker: bytes of the structure, which is JSON.
    Structure,
    /// From the worker: text and structure are complete.
    Done,
    /// From the worker: why there is no document, as JSON.
    Failed,
}

const KINDS: [(Kind, u8); 7] = [
    (Kind::Job, b'J'),
    (Kind::Data, b'D'),
    (Kind::Go, b'G'),
    (Kind::Text, b'T'),
    (Kind::Structure, b'S'),
    (Kind::Done, b'E'),
    (Kind::Failed, b'F'),
];

/// Writes bytes as one frame, or as several if they are many.
pub(super) fn write(output: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return write_one(output, kind, bytes);
    }
    bytes.chunks(FRAME_BYTES).try_for_each(|piece| write_one(output, kind, piece))
}

fn write_one(output: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let letter = KINDS.iter().find(|(entry, _)| *entry == kind).map_or(0, |(_, letter)| *letter);
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    output.write_all(&[letter])?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(bytes)
}

/// Reads a frame; `None` where the input ends between frames.
pub(super) fn read(input: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut letter = [0];
    if input.read(&mut letter)? == 0 {
        return Ok(None);
    }
    let kind = KINDS.iter().find(|(_, entry)| *entry == letter[0]).map(|(kind, _)| *kind);
    let kind = kind.ok_or_else(|| io::Error::other("a frame of an unknown kind"))?;
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES {
        return Err(io::Error::other("a frame that is too long"));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(Some((kind, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let long = vec![7; FRAME_BYTES + 1];
        let mut wire = Vec::new();
        write(&mut wire, Kind::Job, b"{}").unwrap();
        write(&mut wire, Kind::Data, &long).unwrap();
        write(&mut wire, Kind::Go, b"").unwrap();
        let mut input = wire.as_slice();
        assert_eq!(read(&mut input).unwrap(), Some((Kind::Job, b"{}".to_vec())));
        assert_eq!(read(&mut input).unwrap(), Some((Kind::Data, long[1..].to_vec())));
        assert_eq!(read(&mut input).unwrap(), Some((Kind::Data, vec![7])));
        assert_eq!(read(&mut input).unwrap(), Some((Kind::Go, Vec::new())));
        assert_eq!(read(&mut input).unwrap(), None);
    }

    #[test]
    fn nonsense_is_an_error() {
        for wire in [&b"?\0\0\0\0"[..], b"D\xff\xff\xff\xff", b"D\x05\0\0\0abc", b"D\x05"] {
            assert!(read(&mut &*wire).is_err());
        }
    }
}
