//! The shapes of the models, as their `params.json` state them.

use serde::Serialize;

/// The parts of `params.json` that say how a model is built.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Architecture {
    /// The width of the hidden state.
    pub dim: u32,
    pub n_layers: u32,
    /// The attention heads.
    pub n_heads: u32,
    /// The heads for keys and values.
    pub n_kv_heads: u32,
    pub vocab_size: u32,
    /// The width of the feed-forward layers, as a multiple of the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffn_dim_multiplier: Option<f64>,
    /// The width of the feed-forward layers is rounded up to a multiple of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_of: Option<u32>,
    /// The width of the feed-forward layers, where it is stated outright.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_dim: Option<u32>,
    pub norm_eps: f64,
    pub rope_theta: f64,
    pub use_scaled_rope: bool,
    /// How images are read, where they are.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub vision: Option<Vision>,
}

/// How a model reads images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Vision {
    /// The edge of a tile, in pixels.
    #[serde(rename = "vision_chunk_size")]
    pub chunk_size: u32,
    /// The most tiles of an image.
    #[serde(rename = "vision_max_num_chunks")]
    pub max_num_chunks: u32,
    #[serde(rename = "vision_num_cross_attention_layers")]
    pub num_cross_attention_layers: u32,
}

/// The vocabulary of Llama 2.
const WORDS_2: u32 = 32_000;
/// The vocabulary of Llama 3 and later.
const WORDS_3: u32 = 128_256;

const LLAMA2: Architecture = Architecture {
    dim: 4096,
    n_layers: 32,
    n_heads: 32,
    n_kv_heads: 32,
    vocab_size: WORDS_2,
    ffn_dim_multiplier: None,
    multiple_of: Some(256),
    hidden_dim: None,
    norm_eps: 1e-5,
    rope_theta: 10_000.0,
    use_scaled_rope: false,
    vision: None,
};

pub(crate) const LLAMA2_7B: Architecture = LLAMA2;
pub(crate) const LLAMA2_13B: Architecture =
    Architecture { dim: 5120, n_layers: 40, n_heads: 40, n_kv_heads: 40, ..LLAMA2 };
pub(crate) const LLAMA2_70B: Architecture = Architecture {
    dim: 8192,
    n_layers: 80,
    n_heads: 64,
    n_kv_heads: 8,
    ffn_dim_multiplier: Some(1.3),
    multiple_of: Some(4096),
    ..LLAMA2
};

pub(crate) const LLAMA3_8B: Architecture = Architecture {
    dim: 4096,
    n_layers: 32,
    n_heads: 32,
    n_kv_heads: 8,
    vocab_size: WORDS_3,
    ffn_dim_multiplier: Some(1.3),
    multiple_of: Some(1024),
    hidden_dim: None,
    norm_eps: 1e-5,
    rope_theta: 500_000.0,
    use_scaled_rope: false,
    vision: None,
};
pub(crate) const LLAMA3_70B: Architecture =
    Architecture { dim: 8192, n_layers: 80, n_heads: 64, multiple_of: Some(4096), ..LLAMA3_8B };

pub(crate) const LLAMA31_8B: Architecture = Architecture { use_scaled_rope: true, ..LLAMA3_8B };
pub(crate) const LLAMA31_70B: Architecture = Architecture { use_scaled_rope: true, ..LLAMA3_70B };
pub(crate) const LLAMA31_405B: Architecture = Architecture {
    dim: 16_384,
    n_layers: 126,
    n_heads: 128,
    ffn_dim_multiplier: Some(1.2),
    ..LLAMA31_70B
};
/// Split over 16 machines, each head for keys and values is there twice.
pub(crate) const LLAMA31_405B_MP16: Architecture = Architecture { n_kv_heads: 16, ..LLAMA31_405B };

pub(crate) const LLAMA32_1B: Architecture = Architecture {
    dim: 2048,
    n_layers: 16,
    ffn_dim_multiplier: Some(1.5),
    multiple_of: Some(256),
    ..LLAMA31_8B
};
pub(crate) const LLAMA32_3B: Architecture = Architecture {
    dim: 3072,
    n_layers: 28,
    n_heads: 24,
    ffn_dim_multiplier: Some(1.0),
    multiple_of: Some(256),
    ..LLAMA31_8B
};
pub(crate) const LLAMA32_11B_VISION: Architecture = Architecture {
    vision: Some(Vision { chunk_size: 560, max_num_chunks: 4, num_cross_attention_layers: 8 }),
    ..LLAMA31_8B
};
pub(crate) const LLAMA32_11B_VISION_BASE: Architecture = Architecture {
    vision: Some(Vision { chunk_size: 448, max_num_chunks: 4, num_cross_attention_layers: 8 }),
    ..LLAMA31_8B
};
pub(crate) const LLAMA32_90B_VISION: Architecture = Architecture {
    vision: Some(Vision { chunk_size: 560, max_num_chunks: 4, num_cross_attention_layers: 20 }),
    ..LLAMA31_70B
};
pub(crate) const GUARD3_1B_PRUNED: Architecture = Architecture {
    n_layers: 12,
    ffn_dim_multiplier: None,
    multiple_of: None,
    hidden_dim: Some(6400),
    ..LLAMA32_1B
};
