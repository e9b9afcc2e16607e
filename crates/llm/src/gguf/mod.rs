//! The GGUF file format: reading the facts of a model without loading it, and writing files.
//!
//! Knows nothing of the engine. Source of the format: the GGUF specification of the ggml project.

mod bert;
mod numbers;
mod projector;
mod read;
pub mod tiny;
mod widen;
mod write;

pub use bert::{BertFiles, BertShape, convert_bert};
pub(crate) use numbers::Numbers;
pub(crate) use projector::MOST_RATIO;
pub use projector::Projector;
pub use read::Header;
pub use widen::widen;
pub use write::{Tensor, Value, write};

use serde::Serialize;

/// What a GGUF file says about itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// The name of the model, as its makers wrote it.
    pub name: Option<String>,
    /// The licence named in the file.
    pub licence: Option<String>,
    /// The kind of network: `llama`, `qwen2`, `bert`, ...
    pub architecture: String,
    /// How many numbers the model has learned.
    pub parameters: u64,
    /// How the numbers are stored: `Q4_K_M`, `F16`, ...
    pub quantisation: String,
    /// The most tokens that the model was trained to keep in view.
    pub context_length: u32,
    /// The length of the vectors inside, and of the answer for an embedding model.
    pub embedding_length: u32,
    /// The number of layers.
    pub layers: u32,
    /// The number of different tokens.
    pub vocabulary: u64,
    /// Whether the model turns texts into vectors, and does not generate.
    pub embeds: bool,
    /// Whether the model tells how well a text fits another one, and does not generate.
    pub ranks: bool,
    /// Whether the file brings a chat template.
    pub chat_template: bool,
    /// The size of the learned numbers, in bytes.
    pub weight_bytes: u64,
}

impl Header {
    /// The facts in this header.
    pub fn facts(&self) -> Facts {
        let number = |key: &str| self.arch_number(key).unwrap_or_default();
        Facts {
            name: self.text("general.name").map(str::to_owned),
            licence: self.text("general.license").map(str::to_owned),
            architecture: self.architecture().to_owned(),
            parameters: self.parameters,
            quantisation: self.quantisation(),
            context_length: clamp(number("context_length")),
            embedding_length: clamp(number("embedding_length")),
            layers: clamp(number("block_count")),
            vocabulary: self.array_length("tokenizer.ggml.tokens").unwrap_or_default(),
            embeds: self.embeds(),
            ranks: self.ranks(),
            chat_template: self.text("tokenizer.chat_template").is_some(),
            weight_bytes: self.weight_bytes,
        }
    }

    /// Whether the file holds an embedding model: one that pools its outputs to one vector.
    pub fn embeds(&self) -> bool {
        !self.ranks() && self.arch_number("pooling_type").is_some_and(|pooling| pooling > 0)
    }

    /// Whether the file holds a rerank model: one with a head that scores a pair of texts.
    pub fn ranks(&self) -> bool {
        self.head
    }

    /// Whether the file holds a model that generates text.
    pub fn generates(&self) -> bool {
        !self.embeds() && !self.ranks() && !self.projects()
    }

    /// Whether the file holds no model of its own, but what turns images or sounds into vectors for
    /// a language model.
    pub fn projects(&self) -> bool {
        self.architecture() == "clip"
    }

    /// The memory, in bytes, that a loaded model takes with a context of so many tokens, when it
    /// computes `batch` tokens at a time.
    ///
    /// The sum of the weights, the keys and values of the context in 16 bits, and the buffers for
    /// one batch. Rounded up rather than down: the engine takes a little less.
    pub fn memory_needed(&self, context: u32, batch: u32) -> u64 {
        let number = |key: &str| self.arch_number(key);
        let embedding = number("embedding_length").unwrap_or_default();
        let heads = number("attention.head_count").unwrap_or(1).max(1);
        let kv_heads = number("attention.head_count_kv").unwrap_or(heads);
        let head_length = embedding / heads;
        let per_token = kv_heads
            .saturating_mul(
                number("attention.key_length").unwrap_or(head_length)
                    + number("attention.value_length").unwrap_or(head_length),
            )
            .saturating_mul(number("block_count").unwrap_or_default())
            .saturating_mul(2);
        let cache = if self.generates() { per_token.saturating_mul(u64::from(context)) } else { 0 };
        let vocabulary = self.array_length("tokenizer.ggml.tokens").unwrap_or_default();
        let hidden = number("feed_forward_length").unwrap_or(4 * embedding);
        let outputs = if self.generates() { vocabulary } else { 0 };
        let buffers =
            u64::from(batch).saturating_mul(outputs + 2 * hidden + 8 * embedding).saturating_mul(4);
        // Encoders are computed in 32 bits, also those that are stored in 16.
        let plain = self.embeds() && matches!(self.number("general.file_type"), Some(0 | 1));
        let numbers = if plain { self.parameters.saturating_mul(4) } else { 0 };
        self.weight_bytes.max(numbers).saturating_add(cache).saturating_add(buffers)
    }

    fn quantisation(&self) -> String {
        let Some(kind) = self.number("general.file_type") else { return "unknown".to_owned() };
        // The numbering of `llama_ftype` in llama.h.
        let name = match kind {
            0 => "F32",
            1 => "F16",
            2 => "Q4_0",
            3 => "Q4_1",
            7 => "Q8_0",
            8 => "Q5_0",
            9 => "Q5_1",
            10 => "Q2_K",
            11 => "Q3_K_S",
            12 => "Q3_K_M",
            13 => "Q3_K_L",
            14 => "Q4_K_S",
            15 => "Q4_K_M",
            16 => "Q5_K_S",
            17 => "Q5_K_M",
            18 => "Q6_K",
            19 => "IQ2_XXS",
            20 => "IQ2_XS",
            21 => "Q2_K_S",
            22 => "IQ3_XS",
            23 => "IQ3_XXS",
            24 => "IQ1_S",
            25 => "IQ4_NL",
            26 => "IQ3_S",
            27 => "IQ3_M",
            28 => "IQ2_S",
            29 => "IQ2_M",
            30 => "IQ4_XS",
            31 => "IQ1_M",
            32 => "BF16",
            36 => "TQ1_0",
            37 => "TQ2_0",
            38 => "MXFP4",
            other => return format!("type {other}"),
        };
        name.to_owned()
    }
}

fn clamp(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
