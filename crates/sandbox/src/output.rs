//! What a call brought.

use std::{fmt::Write, fs::File, io, os::unix::fs::FileExt};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The code ran to its end, or to an exception.
    Completed,
    /// The time was over.
    Timeout,
    /// The process did not survive the code.
    Error,
}

/// What a call brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub status: Status,
    pub stdout: Captured,
    pub stderr: Captured,
    /// What the reader must know: what ended the process, and that variables and files are gone.
    pub notes: Vec<String>,
    /// The files that the code made or changed, in the order of their names.
    pub files: Vec<ProducedFile>,
}

/// A file that code made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducedFile {
    /// Its path in the working folder. The code has chosen it.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it holds, unless it is too large to be returned.
    pub content: Option<Vec<u8>>,
}

/// The text of an output stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The text; what is no UTF-8 is replaced.
    pub text: String,
    /// Bytes that were left out in the middle, of which the text has a note.
    pub left_out: u64,
}

impl Captured {
    /// Reads what a stream has written to a file, at most about `limit` bytes: of more, the first
    /// and the last half.
    pub(crate) fn read(file: &File, limit: usize) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        if bytes <= most {
            return Ok(Self { text: text(file, 0, bytes)?, left_out: 0 });
        }
        let (head, tail) = (most / 2, most - most / 2);
        let left_out = bytes - most;
        let mut joined = text(file, 0, head)?;
        // Writing to a string cannot fail.
        let _ = write!(joined, "\n[... {left_out} bytes are left out ...]\n");
        joined.push_str(&text(file, bytes - tail, tail)?);
        Ok(Self { text: joined, left_out })
    }
}

/// Bytes of a file as text. Fewer, if the file has become shorter.
fn text(file: &File, at: u64, bytes: u64) -> io::Result<String> {
    let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < buffer.len() {
        let read = file.read_at(&mut buffer[filled..], at + filled as u64)?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    buffer.truncate(filled);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn captured(content: &[u8], limit: usize) -> Captured {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Captured::read(&file, limit).unwrap()
    }

    #[test]
    fn short_output_is_whole() {
        assert_eq!(captured(b"all of it", 9), Captured { text: "all of it".into(), left_out: 0 });
        assert_eq!(captured(b"\xff", 9).text, "\u{fffd}");
    }

    #[test]
    fn long_output_keeps_its_ends() {
        let found = captured(b"abcdefghij", 4);
        assert_eq!(found.text, "ab\n[... 6 bytes are left out ...]\nij");
        assert_eq!(found.left_out, 6);
    }
}
