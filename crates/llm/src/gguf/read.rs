//! Reads the header of a GGUF file. Every length is checked before memory is taken for it.

use crate::{Error, Result};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
};

const MAX_TEXT: u64 = 16 << 20;
const MAX_ENTRIES: u64 = 1 << 16;
const MAX_DEPTH: u32 = 4;

/// The metadata of a GGUF file. Arrays are kept as their lengths only.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// How each value is stored, and of lists how their items are, as numbers of the format.
    pub(super) kinds: BTreeMap<String, (u32, Option<u32>)>,
    numbers: BTreeMap<String, u64>,
    floats: BTreeMap<String, f32>,
    texts: BTreeMap<String, String>,
    arrays: BTreeMap<String, (u64, Option<u64>)>,
    pub(super) parameters: u64,
    pub(super) weight_bytes: u64,
    /// Whether there is a head that gives scores to texts.
    pub(super) head: bool,
}

/// Where the parts of a GGUF file are, in bytes from its beginning.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The value of `general.file_type`, where it has the usual type.
    pub(super) file_type_at: Option<u64>,
    /// The list of tensors.
    pub(super) tensors_at: u64,
    pub(super) tensors: Vec<Placed>,
    /// The learned numbers. Offsets of tensors count from here.
    pub(super) data_at: u64,
    pub(super) alignment: u64,
    size: u64,
}

/// A tensor in a file.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) name: String,
    /// The fastest-moving dimension first.
    pub(super) shape: Vec<u64>,
    /// How its numbers are stored, in the numbering of `ggml_type`.
    pub(super) kind: u32,
    pub(super) offset: u64,
}

impl Layout {
    /// Reads the layout of the file at `path`.
    ///
    /// # Errors
    /// Those of [`Header::read`].
    pub(super) fn read(path: &Path) -> Result<Self> {
        Ok(read(path)?.1)
    }

    /// The bytes from a tensor to the one behind it, or to the end of the file.
    pub(super) fn bytes(&self, tensor: &Placed) -> u64 {
        let offsets = self.tensors.iter().map(|other| other.offset);
        let next = offsets.filter(|offset| *offset > tensor.offset).min();
        let end = next.unwrap_or_else(|| self.size.saturating_sub(self.data_at));
        end.saturating_sub(tensor.offset)
    }
}

/// Reads the header of the file at `path`, and where its parts are.
///
/// # Errors
/// When the file cannot be read, is not GGUF, or is shorter than its header says.
pub(super) fn read(path: &Path) -> Result<(Header, Layout)> {
    let broken = |why: &str| Error::Broken {
        message: format!("`{}` is not a usable GGUF file: {why}", path.display()),
    };
    let io = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return broken("it ends too early");
        }
        broken(&error.to_string())
    };
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut source = Source { file: BufReader::with_capacity(1 << 16, file), size };
    source.header().map_err(|fault| match fault {
        Fault::Io(error) => io(error),
        Fault::Form(why) => broken(why),
    })
}

impl Header {
    /// Reads the header of the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is not GGUF, or is shorter than its header says.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(read(path)?.0)
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.numbers.get(key).copied()
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    pub fn array_length(&self, key: &str) -> Option<u64> {
        self.arrays.get(key).map(|(length, _)| *length)
    }

    /// The length of a list under the name of the architecture.
    pub fn arch_array_length(&self, key: &str) -> Option<u64> {
        self.array_length(&format!("{}.{key}", self.architecture()))
    }

    /// The kind of network: `llama`, `qwen2`, `bert`, ...
    pub fn architecture(&self) -> &str {
        self.text("general.architecture").unwrap_or("unknown")
    }

    /// A number under the name of the architecture; of a list of numbers the largest.
    pub fn arch_number(&self, key: &str) -> Option<u64> {
        let key = format!("{}.{key}", self.architecture());
        self.number(&key).or_else(|| self.arrays.get(&key).and_then(|(_, largest)| *largest))
    }

    /// A number of 32 bits with a fraction under the name of the architecture.
    pub fn arch_float(&self, key: &str) -> Option<f32> {
        self.floats.get(&format!("{}.{key}", self.architecture())).copied()
    }
}

enum Fault {
    Io(std::io::Error),
    Form(&'static str),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

enum Item {
    Number(u64),
    Float(f32),
    Text(String),
    Array(u64, Option<u64>, u32),
    Other,
}

struct Source {
    file: BufReader<File>,
    size: u64,
}

impl Source {
    fn header(&mut self) -> Result<(Header, Layout), Fault> {
        if self.bytes::<4>()? != *b"GGUF" {
            return Err(Fault::Form("it does not begin with `GGUF`"));
        }
        if !(2..=3).contains(&self.u32()?) {
            return Err(Fault::Form("its version is not 2 or 3"));
        }
        let (tensors, entries) = (self.u64()?, self.u64()?);
        if tensors > MAX_ENTRIES || entries > MAX_ENTRIES {
            return Err(Fault::Form("it has too many entries"));
        }
        let (mut header, mut layout) = (Header::default(), Layout::default());
        for _ in 0..entries {
            let key = self.text()?;
            let kind = self.u32()?;
            if key == "general.file_type" && kind == 4 {
                layout.file_type_at = Some(self.file.stream_position()?);
            }
            let mut items = None;
            match self.value(kind, 0)? {
                Item::Number(number) => _ = header.numbers.insert(key.clone(), number),
                Item::Float(number) => _ = header.floats.insert(key.clone(), number),
                Item::Text(text) => _ = header.texts.insert(key.clone(), text),
                Item::Array(length, largest, of) => {
                    items = Some(of);
                    header.arrays.insert(key.clone(), (length, largest));
                }
                Item::Other => {}
            }
            header.kinds.insert(key, (kind, items));
        }
        let mut last_offset = 0;
        layout.tensors_at = self.file.stream_position()?;
        for _ in 0..tensors {
            let name = self.text()?;
            header.head |= matches!(name.as_str(), "cls.weight" | "cls.output.weight");
            let dimensions = self.u32()?;
            if dimensions > 8 {
                return Err(Fault::Form("a tensor has too many dimensions"));
            }
            let shape = (0..dimensions).map(|_| self.u64()).collect::<Result<Vec<u64>, _>>()?;
            let count = shape.iter().fold(1_u64, |count, size| count.saturating_mul(*size));
            let (kind, offset) = (self.u32()?, self.u64()?);
            last_offset = last_offset.max(offset);
            header.parameters = header.parameters.saturating_add(count);
            layout.tensors.push(Placed { name, shape, kind, offset });
        }
        let alignment = header.number("general.alignment").unwrap_or(32).clamp(1, 1 << 20);
        let start = self.file.stream_position()?.next_multiple_of(alignment);
        if tensors > 0 && start.saturating_add(last_offset) >= self.size {
            return Err(Fault::Form("it is shorter than its header says"));
        }
        header.weight_bytes = self.size.saturating_sub(start);
        Ok((header, Layout { data_at: start, alignment, size: self.size, ..layout }))
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Item, Fault> {
        let signed = |number: i64| u64::try_from(number).map_or(Item::Other, Item::Number);
        Ok(match kind {
            0 => Item::Number(self.bytes::<1>()?[0].into()),
            1 => signed(i8::from_le_bytes(self.bytes()?).into()),
            2 => Item::Number(u16::from_le_bytes(self.bytes()?).into()),
            3 => signed(i16::from_le_bytes(self.bytes()?).into()),
            4 => Item::Number(self.u32()?.into()),
            5 => signed(i32::from_le_bytes(self.bytes()?).into()),
            6 => Item::Float(f32::from_le_bytes(self.bytes()?)),
            7 => Item::Number(u64::from(self.bytes::<1>()?[0] != 0)),
            8 => Item::Text(self.text()?),
            9 => return self.array(depth),
            10 => Item::Number(self.u64()?),
            11 => signed(i64::from_le_bytes(self.bytes()?)),
            12 => {
                self.bytes::<8>()?;
                Item::Other
            }
            _ => return Err(Fault::Form("a value has an unknown type")),
        })
    }

    fn array(&mut self, depth: u32) -> Result<Item, Fault> {
        let kind = self.u32()?;
        let length = self.u64()?;
        // An item takes at least a byte, so that a longer list cannot be in the file.
        if length > self.size || depth >= MAX_DEPTH {
            return Err(Fault::Form("a list is longer than the file"));
        }
        let mut largest = None;
        for _ in 0..length {
            if kind == 8 {
                let bytes = self.u64()?;
                self.skip(bytes)?;
            } else if let Item::Number(number) = self.value(kind, depth + 1)? {
                largest = largest.max(Some(number));
            }
        }
        Ok(Item::Array(length, largest, kind))
    }

    fn text(&mut self) -> Result<String, Fault> {
        let length = self.u64()?;
        if length > MAX_TEXT.min(self.size) {
            return Err(Fault::Form("a text is too long"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.file.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        let step = i64::try_from(bytes).ok().filter(|_| bytes <= self.size);
        let Some(step) = step else { return Err(Fault::Form("a text is too long")) };
        Ok(self.file.seek_relative(step)?)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Tensor, Value, write};

    fn refused(name: &str, bytes: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("chaski-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let error = Header::read(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        error
    }

    #[test]
    fn a_written_file_is_read_back_with_its_facts() {
        let path = std::env::temp_dir().join(format!("chaski-gguf-{}", std::process::id()));
        let metadata = [
            ("general.architecture", Value::Text("toy".into())),
            ("general.file_type", Value::Number(15)),
            ("toy.context_length", Value::Number(64)),
            ("toy.embedding_length", Value::Number(8)),
            ("toy.block_count", Value::Number(2)),
            ("toy.attention.head_count", Value::Number(2)),
            ("tokenizer.ggml.tokens", Value::Texts(vec!["a".into(), "b".into()])),
        ];
        let tensor = Tensor { name: "x".into(), shape: vec![2, 3], data: vec![1.0; 6] };
        let mut file = File::create(&path).unwrap();
        write(&mut file, &metadata, &[tensor]).unwrap();
        let header = Header::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let facts = header.facts();
        assert_eq!(
            (facts.architecture.as_str(), facts.parameters, facts.context_length, facts.vocabulary),
            ("toy", 6, 64, 2)
        );
        assert_eq!(facts.quantisation, "Q4_K_M");
        assert!(header.generates() && !header.embeds() && !header.ranks());
        // 24 bytes of weights, 2 layers * 16 values * 2 bytes * 10 tokens, no batch.
        assert_eq!(header.memory_needed(10, 0), 24 + 2 * 16 * 2 * 10);
    }

    #[test]
    fn what_a_file_is_for_is_told_by_its_header() {
        let path = std::env::temp_dir().join(format!("chaski-kinds-{}", std::process::id()));
        let read = |architecture: &str, pooling: u32, tensor: &str| {
            let key = format!("{architecture}.pooling_type");
            let metadata = [
                ("general.architecture", Value::Text(architecture.into())),
                (key.as_str(), Value::Number(pooling)),
            ];
            let tensor = Tensor { name: tensor.into(), shape: vec![2], data: vec![1.0; 2] };
            write(&mut File::create(&path).unwrap(), &metadata, &[tensor]).unwrap();
            let header = Header::read(&path).unwrap();
            [header.generates(), header.embeds(), header.ranks(), header.projects()]
        };
        assert_eq!(read("llama", 0, "output.weight"), [true, false, false, false]);
        assert_eq!(read("bert", 1, "blk.0.attn_q.weight"), [false, true, false, false]);
        // Older files of rerank models do not say how they pool.
        assert_eq!(read("bert", 0, "cls.output.weight"), [false, false, true, false]);
        assert_eq!(read("bert", 4, "cls.weight"), [false, false, true, false]);
        assert_eq!(read("clip", 0, "mm.0.weight"), [false, false, false, true]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_not_gguf_is_refused_with_its_name_and_the_reason() {
        assert!(refused("html", b"<html>not found</html>").contains("does not begin with `GGUF`"));
        assert!(refused("empty", b"").contains("ends too early"));
    }

    #[test]
    fn lengths_that_lie_take_no_memory_and_end_in_an_error() {
        let mut lying = b"GGUF\x03\0\0\0".to_vec();
        lying.extend(0_u64.to_le_bytes());
        lying.extend(1_u64.to_le_bytes());
        lying.extend(u64::MAX.to_le_bytes());
        assert!(refused("lying", &lying).contains("too long"));
        let mut crowded = b"GGUF\x03\0\0\0".to_vec();
        crowded.extend(u64::MAX.to_le_bytes());
        crowded.extend(u64::MAX.to_le_bytes());
        assert!(refused("crowded", &crowded).contains("too many entries"));
    }
}
