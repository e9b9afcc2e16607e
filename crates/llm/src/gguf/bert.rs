//! Turns a BERT embedding model from safetensors and a word list into one GGUF file.

use super::{Tensor, Value, write};
use crate::{Error, Result};
use serde::Deserialize;
use std::{collections::BTreeMap, fs::File, io::BufWriter, path::Path};

/// The files of the original model.
#[derive(Debug, Clone, Copy)]
pub struct BertFiles<'a> {
    /// The learned numbers: `model.safetensors`, 32-bit.
    pub weights: &'a Path,
    /// The word pieces, one per line: `vocab.txt`.
    pub vocabulary: &'a Path,
}

/// The facts that are not in the files, from the original's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BertShape {
    pub name: &'static str,
    pub licence: &'static str,
    /// The most tokens of a text: `max_position_embeddings`.
    pub context_length: u32,
    /// `hidden_size`.
    pub embedding_length: u32,
    /// `intermediate_size`.
    pub feed_forward_length: u32,
    /// `num_hidden_layers`.
    pub layers: u32,
    /// `num_attention_heads`.
    pub heads: u32,
    /// `layer_norm_eps`.
    pub layer_norm_epsilon: f32,
}

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (usize, usize),
}

/// Writes the model of `files` to `target`: with mean pooling, numbers unchanged.
///
/// # Errors
/// When a file cannot be read or does not have the expected form, or the target cannot be written.
pub fn convert_bert(files: BertFiles<'_>, shape: BertShape, target: &Path) -> Result<()> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| broken(format!("`{}`: {error}", path.display())))
    };
    let words = String::from_utf8(read(files.vocabulary)?)
        .map_err(|_| broken("the word list is not UTF-8".into()))?;
    let tensors = tensors(&read(files.weights)?)?;
    let metadata = metadata(shape, words.lines().map(str::trim_end).collect())?;
    File::create(target)
        .and_then(|file| write(&mut BufWriter::new(file), &metadata, &tensors))
        .map_err(|error| broken(format!("`{}`: {error}", target.display())))
}

#[expect(clippy::needless_pass_by_value, reason = "most reasons are made on the spot")]
fn broken(why: String) -> Error {
    Error::Broken { message: format!("the embedding model cannot be converted: {why}") }
}

fn tensors(file: &[u8]) -> Result<Vec<Tensor>> {
    let head = file.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let head = head.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    let split =
        head.checked_add(8).and_then(|start| Some((file.get(8..start)?, file.get(start..)?)));
    let Some((head, data)) = split else {
        return Err(broken("the weights are not in the safetensors format".into()));
    };
    let described: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(head).map_err(|error| broken(error.to_string()))?;
    let mut tensors = Vec::new();
    for (name, description) in described {
        let skipped = ["__metadata__", "pooler."].iter().any(|prefix| name.starts_with(prefix));
        if skipped || name.ends_with("position_ids") {
            continue;
        }
        let described: Described = serde_json::from_value(description)
            .map_err(|error| broken(format!("`{name}`: {error}")))?;
        let Some(target) = target_name(&name) else {
            return Err(broken(format!("`{name}` is not part of a BERT model")));
        };
        let (start, end) = described.data_offsets;
        let count = described.shape.iter().product::<u64>();
        let bytes = data.get(start..end).filter(|bytes| bytes.len() as u64 == count * 4);
        let (Some(bytes), "F32") = (bytes, described.dtype.as_str()) else {
            return Err(broken(format!("`{name}` does not hold 32-bit numbers")));
        };
        let data = bytes.chunks_exact(4).map(|four| {
            f32::from_le_bytes(four.try_into().expect("chunks of four bytes have four bytes"))
        });
        tensors.push(Tensor { name: target, shape: described.shape, data: data.collect() });
    }
    Ok(tensors)
}

/// The name that the engine gives to a tensor of the original.
fn target_name(name: &str) -> Option<String> {
    let (part, suffix) = name.rsplit_once('.')?;
    let target = match part {
        "embeddings.word_embeddings" => "token_embd",
        "embeddings.position_embeddings" => "position_embd",
        "embeddings.token_type_embeddings" => "token_types",
        "embeddings.LayerNorm" => "token_embd_norm",
        _ => {
            let (layer, part) = part.strip_prefix("encoder.layer.")?.split_once('.')?;
            let part = match part {
                "attention.self.query" => "attn_q",
                "attention.self.key" => "attn_k",
                "attention.self.value" => "attn_v",
                "attention.output.dense" => "attn_output",
                "attention.output.LayerNorm" => "attn_output_norm",
                "intermediate.dense" => "ffn_up",
                "output.dense" => "ffn_down",
                "output.LayerNorm" => "layer_output_norm",
                _ => return None,
            };
            return Some(format!("blk.{layer}.{part}.{suffix}"));
        }
    };
    Some(format!("{target}.{suffix}"))
}

pub(super) fn metadata(shape: BertShape, words: Vec<&str>) -> Result<Vec<(&'static str, Value)>> {
    let id = |word: &str| {
        let found = words.iter().position(|candidate| *candidate == word);
        let id = found.and_then(|index| u32::try_from(index).ok());
        id.map(Value::Number).ok_or_else(|| broken(format!("`{word}` is not in the word list")))
    };
    let special = [
        ("tokenizer.ggml.bos_token_id", id("[CLS]")?),
        ("tokenizer.ggml.cls_token_id", id("[CLS]")?),
        ("tokenizer.ggml.unknown_token_id", id("[UNK]")?),
        ("tokenizer.ggml.seperator_token_id", id("[SEP]")?),
        ("tokenizer.ggml.padding_token_id", id("[PAD]")?),
        ("tokenizer.ggml.mask_token_id", id("[MASK]")?),
    ];
    let mut texts = Vec::with_capacity(words.len());
    let mut kinds = Vec::with_capacity(words.len());
    for word in words {
        // 1 is an ordinary token, 2 the unknown one, 3 a control token.
        let (text, kind) = match word {
            "[UNK]" => (word.to_owned(), 2),
            "[PAD]" | "[CLS]" | "[SEP]" | "[MASK]" => (word.to_owned(), 3),
            // The engine marks the beginning of a word, the original its continuation.
            _ => match word.strip_prefix("##") {
                Some(rest) => (rest.to_owned(), 1),
                None => (format!("\u{2581}{word}"), 1),
            },
        };
        texts.push(text);
        kinds.push(kind);
    }
    let mut metadata = vec![
        ("general.architecture", Value::Text("bert".into())),
        ("general.name", Value::Text(shape.name.into())),
        ("general.license", Value::Text(shape.licence.into())),
        ("general.file_type", Value::Number(0)),
        ("bert.context_length", Value::Number(shape.context_length)),
        ("bert.embedding_length", Value::Number(shape.embedding_length)),
        ("bert.feed_forward_length", Value::Number(shape.feed_forward_length)),
        ("bert.block_count", Value::Number(shape.layers)),
        ("bert.attention.head_count", Value::Number(shape.heads)),
        ("bert.attention.layer_norm_epsilon", Value::Float(shape.layer_norm_epsilon)),
        ("bert.attention.causal", Value::Flag(false)),
        // 1 is the mean of all tokens.
        ("bert.pooling_type", Value::Number(1)),
        ("tokenizer.ggml.model", Value::Text("bert".into())),
        ("tokenizer.ggml.pre", Value::Text("default".into())),
        ("tokenizer.ggml.token_type_count", Value::Number(2)),
        ("tokenizer.ggml.tokens", Value::Texts(texts)),
        ("tokenizer.ggml.token_type", Value::Numbers(kinds)),
    ];
    metadata.extend(special);
    Ok(metadata)
}
