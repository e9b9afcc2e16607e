//! Models for tests that no fetched file has: tiny cross-encoders and projectors of random numbers,
//! and chat models with other templates.

use super::{BertShape, Header, Tensor, Value, bert, write};
use crate::Result;
use std::{fs::File, io::BufWriter, path::Path};

mod projector;

pub use projector::{ProjectorKind, projector};

/// The numbers of a vector.
pub const WIDTH: usize = 16;
pub const HEADS: usize = 2;
pub const LAYERS: usize = 2;
/// The id of `a`; those of the other letters follow.
pub const LETTERS: usize = 5;

const HIDDEN: usize = 32;
const CONTEXT: usize = 64;
const SHAPE: BertShape = BertShape {
    name: "tiny-reranker",
    licence: "mit",
    context_length: 64,
    embedding_length: 16,
    feed_forward_length: 32,
    layers: 2,
    heads: 2,
    layer_norm_epsilon: 1e-12,
};

/// How a file differs from a usable cross-encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Nothing,
    NoHead,
    Causal,
    /// So many scores for a document.
    Labels(usize),
    /// An embedding model instead, which pools in this way (`bert.pooling_type`).
    Embeds(u32),
}

/// Writes a cross-encoder whose words are the letters of the alphabet, and gives its numbers.
///
/// # Errors
/// When the file cannot be written.
pub fn reranker(path: &Path) -> Result<Vec<Tensor>> {
    changed(path, Change::Nothing)
}

/// The same with a change that makes it unusable.
///
/// # Errors
/// When the file cannot be written.
pub fn changed(path: &Path, change: Change) -> Result<Vec<Tensor>> {
    let marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let letters = ('a'..='z').map(String::from);
    let words: Vec<String> = marks.into_iter().chain(letters).collect();
    let mut metadata = bert::metadata(SHAPE, words.iter().map(String::as_str).collect())?;
    metadata.retain(|(key, _)| *key != "bert.pooling_type");
    // 4 is the pooling of rerank models.
    let pooling = if let Change::Embeds(pooling) = change { pooling } else { 4 };
    metadata.push(("bert.pooling_type", Value::Number(pooling)));
    let labels = if let Change::Labels(labels) = change { labels } else { 1 };
    if pooling == 4 {
        let names = (0..labels).map(|label| format!("LABEL_{label}")).collect();
        metadata.push(("bert.classifier.output_labels", Value::Texts(names)));
    }
    if change == Change::Causal {
        metadata.retain(|(key, _)| *key != "bert.attention.causal");
    }
    let mut tensors = tensors(words.len(), labels);
    if change == Change::NoHead || pooling != 4 {
        tensors.retain(|tensor| !tensor.name.starts_with("cls"));
    }
    File::create(path)
        .and_then(|file| write(&mut BufWriter::new(file), &metadata, &tensors))
        .map_err(crate::Error::engine)?;
    Ok(tensors)
}

/// Writes the model in the file `from` to `target` with another chat template, which must be shorter
/// than its own.
///
/// # Errors
/// When a file cannot be read or written, or the template is too long.
pub fn with_template(from: &Path, target: &Path, template: &str) -> Result<()> {
    let header = Header::read(from)?;
    let own = header.text("tokenizer.chat_template").unwrap_or_default();
    let mut bytes = std::fs::read(from).map_err(crate::Error::engine)?;
    let at = bytes.windows(own.len().max(1)).position(|part| part == own.as_bytes());
    // What is left of the place is a comment.
    let left = own.len().checked_sub(template.len() + "{##}".len());
    let (Some(at), Some(left)) = (at, left) else {
        return Err(crate::Error::engine("there is no room for the chat template"));
    };
    let text = format!("{template}{{#{}#}}", " ".repeat(left));
    bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    std::fs::write(target, bytes).map_err(crate::Error::engine)
}

fn tensors(words: usize, labels: usize) -> Vec<Tensor> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut all = vec![
        random.tensor("token_embd.weight", &[words, WIDTH], 0.0),
        random.tensor("token_types.weight", &[2, WIDTH], 0.0),
        random.tensor("position_embd.weight", &[CONTEXT, WIDTH], 0.0),
    ];
    let mut layer = |name: &str, shape: &[usize], centre: f32| {
        all.push(random.tensor(&format!("{name}.weight"), shape, centre));
        all.push(random.tensor(&format!("{name}.bias"), &shape[..1], 0.0));
    };
    layer("token_embd_norm", &[WIDTH], 1.0);
    for block in 0..LAYERS {
        let mut part = |name: &str, shape: &[usize], centre: f32| {
            layer(&format!("blk.{block}.{name}"), shape, centre);
        };
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            part(name, &[WIDTH, WIDTH], 0.0);
        }
        part("attn_output_norm", &[WIDTH], 1.0);
        part("ffn_up", &[HIDDEN, WIDTH], 0.0);
        part("ffn_down", &[WIDTH, HIDDEN], 0.0);
        part("layer_output_norm", &[WIDTH], 1.0);
    }
    layer("cls", &[WIDTH, WIDTH], 0.0);
    layer("cls.output", &[labels, WIDTH], 0.0);
    all
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn tensor(&mut self, name: &str, shape: &[usize], centre: f32) -> Tensor {
        let count = shape.iter().product();
        let data = (0..count).map(|_| centre + self.next()).collect();
        let shape = shape.iter().map(|size| *size as u64).collect();
        Tensor { name: name.to_owned(), shape, data }
    }

    /// From -0.5 to 0.5.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f32::from(u16::try_from(self.0 >> 48).unwrap_or_default()) / 65_536.0 - 0.5
    }
}
