//! Rewrites the learned numbers of a GGUF file from forms for which the engine has no fast kernels
//! for several tokens at a time.
//!
//! llama.cpp multiplies blocks of `Q4_1` and `Q5_1` one row and one token at a time, and unpacks
//! them for every token again. For `Q8_0` it has kernels over tiles. The same model then reads
//! prompts and computes answers side by side faster; it takes more memory.

use super::read::{Layout, Placed};
use crate::{Error, Result};
use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// The numbers in a block of these forms.
const BLOCK: usize = 32;
const Q4_1: u32 = 3;
const Q5_1: u32 = 7;
const Q8_0: u32 = 8;
/// The bytes of a block: two scales of 16 bits, for `Q5_1` a fifth bit of each number, and four bits
/// of each number.
const Q4_1_BYTES: usize = 2 + 2 + 16;
const Q5_1_BYTES: usize = 2 + 2 + 4 + 16;
/// One scale of 16 bits, and each number in eight.
const Q8_0_BYTES: u64 = 2 + 32;
/// `general.file_type` of a file that is mostly `Q8_0`, in the numbering of `llama_ftype`.
const MOSTLY_Q8_0: u32 = 7;

/// Writes the model in the file `from` to `target`, with `Q8_0` in place of `Q4_1` and `Q5_1`. All
/// else is copied as it is. Each number changes by at most a 226th of the largest in its block: half
/// a step of 127, and what the scale in 16 bits loses.
///
/// # Errors
/// When a file cannot be read or written, or `from` is not a usable GGUF file.
pub fn widen(from: &Path, target: &Path) -> Result<()> {
    let layout = Layout::read(from)?;
    let broken = |error: std::io::Error| Error::Broken {
        message: format!("`{}` cannot be rewritten: {error}", from.display()),
    };
    let mut source = BufReader::with_capacity(1 << 20, File::open(from).map_err(broken)?);
    File::create(target)
        .and_then(|file| rewrite(&layout, &mut source, BufWriter::with_capacity(1 << 20, file)))
        .map_err(broken)
}

fn rewrite(
    layout: &Layout,
    source: &mut (impl Read + Seek),
    mut out: impl Write,
) -> std::io::Result<()> {
    let mut head = vec![0; usize::try_from(layout.tensors_at).unwrap_or_default()];
    source.read_exact(&mut head)?;
    if let Some(at) = layout.file_type_at.and_then(|at| usize::try_from(at).ok())
        && let Some(place) = head.get_mut(at..at + 4)
    {
        place.copy_from_slice(&MOSTLY_Q8_0.to_le_bytes());
    }
    let mut offset = 0_u64;
    for tensor in &layout.tensors {
        head.extend((tensor.name.len() as u64).to_le_bytes());
        head.extend(tensor.name.as_bytes());
        head.extend(u32::try_from(tensor.shape.len()).unwrap_or_default().to_le_bytes());
        for size in &tensor.shape {
            head.extend(size.to_le_bytes());
        }
        let (kind, bytes) = match block_bytes(tensor.kind) {
            Some(_) => (Q8_0, tensor.count() / BLOCK as u64 * Q8_0_BYTES),
            None => (tensor.kind, layout.bytes(tensor)),
        };
        head.extend(kind.to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += bytes.next_multiple_of(layout.alignment);
    }
    pad(&mut head, layout.alignment);
    out.write_all(&head)?;
    for tensor in &layout.tensors {
        source.seek(SeekFrom::Start(layout.data_at + tensor.offset))?;
        let mut written = 0;
        match block_bytes(tensor.kind) {
            Some(size) => {
                let mut block = [0; Q5_1_BYTES];
                for _ in 0..tensor.count() / BLOCK as u64 {
                    source.read_exact(&mut block[..size])?;
                    out.write_all(&packed(&numbers(&block[..size])))?;
                    written += Q8_0_BYTES;
                }
            }
            None => {
                written = std::io::copy(&mut source.take(layout.bytes(tensor)), &mut out)?;
            }
        }
        let mut rest = vec![0; usize::try_from(written % layout.alignment).unwrap_or_default()];
        let so_far = rest.len();
        pad(&mut rest, layout.alignment);
        out.write_all(&rest[so_far..])?;
    }
    out.flush()
}

fn pad(bytes: &mut Vec<u8>, alignment: u64) {
    bytes.resize(bytes.len().next_multiple_of(usize::try_from(alignment).unwrap_or(1)), 0);
}

/// The bytes of a block, for the forms that are rewritten.
const fn block_bytes(kind: u32) -> Option<usize> {
    match kind {
        Q4_1 => Some(Q4_1_BYTES),
        Q5_1 => Some(Q5_1_BYTES),
        _ => None,
    }
}

impl Placed {
    fn count(&self) -> u64 {
        self.shape.iter().fold(1, |count, size| count.saturating_mul(*size))
    }
}

/// The numbers of a block: the smallest, and steps above it.
fn numbers(block: &[u8]) -> [f32; BLOCK] {
    let scale = |at: usize| from_half(u16::from_le_bytes([block[at], block[at + 1]]));
    let (step, smallest) = (scale(0), scale(2));
    let (fifth, low) = block[4..].split_at(block.len() - Q4_1_BYTES);
    let mut fifth_bits = 0_u32;
    for (at, byte) in fifth.iter().enumerate() {
        fifth_bits |= u32::from(*byte) << (8 * at);
    }
    std::array::from_fn(|at| {
        // The first half of the numbers is in the lower bits, the second in the upper.
        let byte = low[at % 16];
        let four = if at < 16 { byte & 15 } else { byte >> 4 };
        let five = u8::try_from(fifth_bits >> at & 1).unwrap_or_default() << 4;
        smallest + step * f32::from(four | five)
    })
}

/// A block of `Q8_0`.
fn packed(numbers: &[f32; BLOCK]) -> [u8; 2 + BLOCK] {
    let largest = numbers.iter().fold(0_f32, |largest, number| largest.max(number.abs()));
    let step = largest / 127.0;
    let scale = if step > 0.0 { 1.0 / step } else { 0.0 };
    let mut block = [0; 2 + BLOCK];
    block[..2].copy_from_slice(&to_half(step).to_le_bytes());
    for (byte, number) in block[2..].iter_mut().zip(numbers) {
        #[expect(clippy::cast_possible_truncation, reason = "between -127 and 127 by the scale")]
        let number = (number * scale).round() as i8;
        *byte = number.cast_unsigned();
    }
    block
}

/// The number in 16 bits (IEEE 754 binary16): a sign, five bits of an exponent, ten of a fraction.
pub(super) fn from_half(half: u16) -> f32 {
    let (sign, exponent, fraction) =
        (u32::from(half >> 15), u32::from(half >> 10 & 31), u32::from(half & 1023));
    match exponent {
        // Steps of 2^-24 around zero.
        0 => f32::from(half & 1023) * f32::exp2(-24.0) * if sign == 0 { 1.0 } else { -1.0 },
        31 => f32::from_bits(sign << 31 | 255 << 23 | fraction << 13),
        // The exponents count from 15 and from 127.
        _ => f32::from_bits(sign << 31 | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The nearest number in 16 bits; the largest where there is none as large.
fn to_half(number: f32) -> u16 {
    let bits = number.to_bits();
    let sign = bits >> 31 << 15;
    let size = if number.abs() < f32::exp2(-14.0) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1024")]
        let steps = (number.abs() * f32::exp2(24.0)).round_ties_even() as u32;
        steps
    } else {
        let size = (bits & 0x7FFF_FFFF).saturating_sub(112 << 23);
        let (kept, rest) = (size >> 13, size & 0x1FFF);
        let up = rest > 0x1000 || (rest == 0x1000 && kept & 1 == 1);
        (kept + u32::from(up)).min(0x7BFF)
    };
    u16::try_from(sign | size).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Header;

    /// A file with a tensor of each kind, written by hand after the specification.
    fn file(tensors: &[(u32, u64, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        text(&mut bytes, "general.architecture");
        bytes.extend(8_u32.to_le_bytes());
        text(&mut bytes, "toy");
        text(&mut bytes, "general.file_type");
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend(3_u32.to_le_bytes());
        let mut offset = 0_u64;
        for (at, (kind, count, data)) in tensors.iter().enumerate() {
            text(&mut bytes, &format!("tensor{at}"));
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            offset += (data.len() as u64).next_multiple_of(32);
        }
        pad(&mut bytes, 32);
        for (_, _, data) in tensors {
            bytes.extend(data);
            pad(&mut bytes, 32);
        }
        bytes
    }

    fn scales(step: f32, smallest: f32) -> Vec<u8> {
        [to_half(step).to_le_bytes(), to_half(smallest).to_le_bytes()].concat()
    }

    fn widened(bytes: &[u8]) -> (Layout, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.gguf"), folder.path().join("to.gguf"));
        std::fs::write(&from, bytes).unwrap();
        widen(&from, &to).unwrap();
        let header = Header::read(&to).unwrap();
        assert_eq!(header.facts().quantisation, "Q8_0");
        (Layout::read(&to).unwrap(), std::fs::read(&to).unwrap())
    }

    fn block<'a>(layout: &Layout, bytes: &'a [u8], tensor: usize, block: usize) -> &'a [u8] {
        let at = layout.data_at + layout.tensors[tensor].offset;
        let at = usize::try_from(at).unwrap() + block * 34;
        &bytes[at..at + 34]
    }

    fn read_back(block: &[u8]) -> Vec<f32> {
        let step = from_half(u16::from_le_bytes([block[0], block[1]]));
        block[2..].iter().map(|byte| f32::from(byte.cast_signed()) * step).collect()
    }

    #[test]
    fn blocks_of_four_and_five_bits_keep_their_numbers_and_all_else_its_bytes() {
        // 1 + 0.5 n in the lower and 1 + 0.5 (15 - n) in the upper bits; two blocks.
        let four = [scales(0.5, 1.0), (0..16).map(|n| n | (15 - n) << 4).collect()].concat();
        // The fifth bit of every other number is set.
        let five =
            [scales(0.25, -4.0), vec![0xAA; 4], (0..16).map(|n| n | n << 4).collect()].concat();
        let plain: Vec<u8> = (0..12).collect();
        let original = file(&[
            (Q4_1, 64, [four.clone(), four].concat()),
            (0, 3, plain.clone()),
            (Q5_1, 32, five),
        ]);
        let (layout, bytes) = widened(&original);
        let kinds: Vec<_> = layout.tensors.iter().map(|tensor| tensor.kind).collect();
        assert_eq!(kinds, [Q8_0, 0, Q8_0]);
        for number in 0..2 {
            let numbers = read_back(block(&layout, &bytes, 0, number));
            for (at, found) in numbers.iter().enumerate() {
                let steps = if at < 16 { at } else { 31 - at };
                let expected = 1.0 + 0.5 * f32::from(u8::try_from(steps).unwrap());
                assert!((found - expected).abs() < 8.5 / 200.0, "{at}: {found}, {expected}");
            }
        }
        let at = usize::try_from(layout.data_at + layout.tensors[1].offset).unwrap();
        assert_eq!(bytes[at..at + 12], plain);
        for (at, found) in read_back(block(&layout, &bytes, 2, 0)).iter().enumerate() {
            let steps = at % 16 + if at % 2 == 1 { 16 } else { 0 };
            let expected = -4.0 + 0.25 * f32::from(u8::try_from(steps).unwrap());
            assert!((found - expected).abs() < 4.0 / 200.0, "{at}: {found}, {expected}");
        }
    }

    #[test]
    fn numbers_in_sixteen_bits_are_read_and_written_exactly_and_others_rounded() {
        for half in (0..0x7C00).chain(0x8000..0xFC00) {
            assert_eq!(to_half(from_half(half)), half, "{half:#x}");
        }
        let bits = [from_half(0x3C00), from_half(0xC100), from_half(1)].map(f32::to_bits);
        assert_eq!(bits, [1.0, -2.5, f32::exp2(-24.0)].map(f32::to_bits));
        assert!(from_half(0x7C00).is_infinite() && from_half(0x7E00).is_nan());
        // Between 1 and the next number, 1 + 2^-10: the even one at the middle.
        let between = |part: f32| to_half(1.0 + part * f32::exp2(-10.0));
        assert_eq!([between(0.49), between(0.5), between(0.51)], [0x3C00, 0x3C00, 0x3C01]);
        assert_eq!([between(1.5), to_half(1e6), to_half(0.0)], [0x3C02, 0x7BFF, 0]);
    }

    #[test]
    fn a_block_of_zeros_stays_one() {
        let zeros = [scales(0.0, 0.0), vec![0; 16]].concat();
        let (layout, bytes) = widened(&file(&[(Q4_1, 32, zeros)]));
        assert_eq!(block(&layout, &bytes, 0, 0), [0; 34]);
    }

    #[test]
    fn a_file_that_ends_too_early_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.gguf"), folder.path().join("to.gguf"));
        let whole = file(&[(Q4_1, 64, vec![1; 40])]);
        std::fs::write(&from, &whole[..whole.len() - 40]).unwrap();
        let error = widen(&from, &to).unwrap_err().to_string();
        assert!(error.contains("from.gguf"), "{error}");
    }
}
