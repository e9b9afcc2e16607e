//! The reference's engine for Llama models with few bits, mapped to the engine of this process.

use crate::meta_reference::{DOCS, MetaReferenceConfig, mapped};
use chaski_api::{
    Api, Result,
    wire::{AtLeast, Between},
};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use serde_json::{Value, json};
use std::sync::Arc;

chaski_api::wire! {
    /// How the reference stores the numbers of a model.
    pub struct Quantization {
        /// `bf16`, `fp8` or `int4`.
        pub kind as "type": QuantizationType,
        /// The scheme of `int4`.
        pub scheme: Option<String>,
    }

    /// The kinds of numbers of the reference.
    pub enum QuantizationType {
        /// 16 bits.
        Bf16 = "bf16",
        /// 8 bits.
        Fp8 = "fp8",
        /// 4 bits.
        Int4 = "int4",
    }

    /// The configuration of `inline::meta-reference-quantized`.
    pub struct MetaReferenceQuantizedConfig {
        /// The model that must be there, by its short name or its repository.
        pub model: Option<String>,
        /// The seed of requests that bring none.
        pub torch_seed: Option<i64>,
        /// The most tokens of a prompt and its answer together.
        pub max_seq_len: AtLeast<16> = Between(4096),
        /// Requests that are answered side by side; 1 means 8.
        pub max_batch_size: AtLeast<1> = Between(1),
        /// Without effect.
        pub model_parallel_size: Option<i64>,
        /// Without effect.
        pub create_distributed_process_group: bool = true,
        /// A GGUF file, or a folder with GGUF files, in place of the weights folder of Chaski.
        pub checkpoint_dir: Option<String>,
        /// Without effect: the GGUF file says how its numbers are stored.
        pub quantization: Option<Quantization>,
    }
}

impl ProviderConfig for MetaReferenceQuantizedConfig {
    fn sample(dir: &str) -> Value {
        let mut sample = MetaReferenceConfig::sample(dir);
        sample["quantization"] = json!({ "type": "fp8" });
        sample
    }
}

impl From<MetaReferenceQuantizedConfig> for MetaReferenceConfig {
    fn from(config: MetaReferenceQuantizedConfig) -> Self {
        Self {
            model: config.model,
            torch_seed: config.torch_seed,
            max_seq_len: config.max_seq_len,
            max_batch_size: config.max_batch_size,
            model_parallel_size: config.model_parallel_size,
            create_distributed_process_group: config.create_distributed_process_group,
            checkpoint_dir: config.checkpoint_dir,
        }
    }
}

/// The provider `inline::meta-reference-quantized`.
pub(crate) struct MetaReferenceQuantized;

impl Provider for MetaReferenceQuantized {
    type Api = dyn InferenceProvider;
    type Config = MetaReferenceQuantizedConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        streams_calls: true,
        ..Spec::new(
            Api::Inference,
            "inline::meta-reference-quantized",
            "Quantised Llama models in the server process, from GGUF files.",
        )
    };

    async fn build(config: MetaReferenceQuantizedConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        Ok(Arc::new(mapped(Self::SPEC.provider_type, config.into(), &deps)))
    }
}
