//! Writes GGUF files with 32-bit numbers.

use std::io::{Result, Write};

/// A value of the metadata.
#[derive(Debug, Clone)]
pub enum Value {
    Number(u32),
    Float(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<i32>),
    Floats(Vec<f32>),
}

/// A named array of numbers. `shape` is in row-major order, as `PyTorch` writes it.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<u64>,
    pub data: Vec<f32>,
}

const ALIGNMENT: usize = 32;

/// Writes a whole file.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut impl Write, metadata: &[(&str, Value)], tensors: &[Tensor]) -> Result<()> {
    let mut head = b"GGUF".to_vec();
    head.extend(3_u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut head, key);
        put(&mut head, value);
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        text(&mut head, &tensor.name);
        head.extend(u32::try_from(tensor.shape.len()).unwrap_or_default().to_le_bytes());
        // GGUF lists the fastest-moving dimension first.
        for size in tensor.shape.iter().rev() {
            head.extend(size.to_le_bytes());
        }
        head.extend(0_u32.to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += (tensor.data.len() as u64 * 4).next_multiple_of(ALIGNMENT as u64);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    out.write_all(&head)?;
    let last = tensors.len().saturating_sub(1);
    for (index, tensor) in tensors.iter().enumerate() {
        let mut bytes: Vec<u8> = tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect();
        if index != last {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        }
        out.write_all(&bytes)?;
    }
    out.flush()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put(out: &mut Vec<u8>, value: &Value) {
    let kind = |out: &mut Vec<u8>, kind: u32| out.extend(kind.to_le_bytes());
    match value {
        Value::Number(number) => {
            kind(out, 4);
            out.extend(number.to_le_bytes());
        }
        Value::Float(number) => {
            kind(out, 6);
            out.extend(number.to_le_bytes());
        }
        Value::Flag(flag) => {
            kind(out, 7);
            out.push(u8::from(*flag));
        }
        Value::Text(value) => {
            kind(out, 8);
            text(out, value);
        }
        Value::Texts(values) => {
            kind(out, 9);
            kind(out, 8);
            out.extend((values.len() as u64).to_le_bytes());
            for value in values {
                text(out, value);
            }
        }
        Value::Numbers(values) => {
            kind(out, 9);
            kind(out, 5);
            out.extend((values.len() as u64).to_le_bytes());
            for value in values {
                out.extend(value.to_le_bytes());
            }
        }
        Value::Floats(values) => {
            kind(out, 9);
            kind(out, 6);
            out.extend((values.len() as u64).to_le_bytes());
            for value in values {
                out.extend(value.to_le_bytes());
            }
        }
    }
}
