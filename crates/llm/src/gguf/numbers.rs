//! Reads the numbers of tensors from a GGUF file.

use super::{
    read::{Layout, Placed},
    widen::from_half,
};
use crate::{Error, Result};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The numberings of `ggml_type`.
const F32: u32 = 0;
const F16: u32 = 1;

/// The bytes that are turned into numbers at a time.
const PIECE: usize = 1 << 20;

/// An open GGUF file whose numbers are read tensor by tensor.
pub(crate) struct Numbers {
    path: PathBuf,
    file: File,
    layout: Layout,
}

impl Numbers {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Those of [`Header::read`](super::Header::read).
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let layout = Layout::read(path)?;
        let file = File::open(path).map_err(|error| broken(path, &error.to_string()))?;
        Ok(Self { path: path.to_owned(), file, layout })
    }

    /// How many tensors there are.
    pub(crate) fn count(&self) -> usize {
        self.layout.tensors.len()
    }

    /// The shape of a tensor, its fastest-moving dimension first, and its numbers. `None` where
    /// there is no such tensor, or it is stored in another form than in 32 or 16 bits.
    ///
    /// # Errors
    /// When the file is too short or cannot be read.
    pub(crate) fn numbers(&self, name: &str) -> Result<Option<(Vec<u64>, Vec<f32>)>> {
        let Some(tensor) = self.layout.tensors.iter().find(|tensor| tensor.name == name) else {
            return Ok(None);
        };
        let size = match tensor.kind {
            F32 => 4,
            F16 => 2,
            _ => return Ok(None),
        };
        let mut source = self.bytes(tensor, size)?;
        let mut numbers = Vec::new();
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            piece.clear();
            let read = source.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            if read.map_err(|error| broken(&self.path, &error.to_string()))? == 0 {
                break;
            }
            if size == 4 {
                numbers.extend(piece.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)));
            } else {
                let halves = piece.as_chunks().0.iter().map(|two| u16::from_le_bytes(*two));
                numbers.extend(halves.map(from_half));
            }
        }
        Ok(Some((tensor.shape.clone(), numbers)))
    }

    /// The bytes of a tensor whose numbers have `size` of them each.
    fn bytes(&self, tensor: &Placed, size: u64) -> Result<impl Read + use<'_>> {
        let length = tensor.shape.iter().try_fold(size, |length, count| length.checked_mul(*count));
        // Checked before memory is taken for them.
        let length = length.filter(|length| *length <= self.layout.bytes(tensor));
        let length = length.ok_or_else(|| {
            broken(&self.path, &format!("`{}` is shorter than its shape says", tensor.name))
        })?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.layout.data_at.saturating_add(tensor.offset)))
            .map_err(|error| broken(&self.path, &error.to_string()))?;
        Ok(file.take(length))
    }
}

fn broken(path: &Path, why: &str) -> Error {
    Error::Broken { message: format!("`{}` is not a usable GGUF file: {why}", path.display()) }
}
