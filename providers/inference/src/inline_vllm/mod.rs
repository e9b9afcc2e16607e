//! vLLM in the server process, as the reference has it, mapped to the engine of this process.

use crate::{
    embedded::{Embedded, Mapping},
    local,
};
use chaski_api::{
    Api, Result,
    wire::{AtLeast, Between},
};
use chaski_llm::LoadOptions;
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use serde_json::{Value, json};
use std::sync::Arc;

const DOCS: &str = "\
The reference runs vLLM in its own process here. Chaski runs GGUF files with llama.cpp, as `inline::llama-cpp`
does, so that a run configuration with this entry starts as it is; `remote::vllm` serves a vLLM server.
What differs:

- The weights are GGUF files in the weights folder. `meta-llama/Llama-3.2-1B-Instruct` and
  `Llama3.2-1B-Instruct` both mean the file `Llama-3.2-1B-Instruct.gguf`, or one with the kind of numbers
  behind the name (`-Q4_K_M.gguf`). Several models can be registered.
- `max_model_len` is the most tokens of a prompt and its answer, `max_tokens` the most tokens of answers
  to requests that do not say, and `max_num_seqs` the number of requests that are answered side by side.
- `tensor_parallel_size`, `enforce_eager` and `gpu_memory_utilization` are accepted and have no effect.
";

chaski_api::wire! {
    /// The configuration of `inline::vllm`.
    pub struct InlineVllmConfig {
        /// Without effect.
        pub tensor_parallel_size: i64 = 1,
        /// The most tokens of answers to requests that do not say.
        pub max_tokens: AtLeast<1> = Between(4096),
        /// The most tokens of a prompt and its answer together.
        pub max_model_len: AtLeast<16> = Between(4096),
        /// Requests that are answered side by side.
        pub max_num_seqs: AtLeast<1> = Between(4),
        /// Without effect.
        pub enforce_eager: bool = false,
        /// Without effect.
        pub gpu_memory_utilization: f64 = 0.3,
    }
}

impl ProviderConfig for InlineVllmConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "tensor_parallel_size": "${env.TENSOR_PARALLEL_SIZE:1}",
            "max_tokens": "${env.MAX_TOKENS:4096}",
            "max_model_len": "${env.MAX_MODEL_LEN:4096}",
            "max_num_seqs": "${env.MAX_NUM_SEQS:4}",
            "enforce_eager": "${env.ENFORCE_EAGER:False}",
            "gpu_memory_utilization": "${env.GPU_MEMORY_UTILIZATION:0.3}",
        })
    }
}

/// The provider `inline::vllm`.
pub(crate) struct InlineVllm;

impl Provider for InlineVllm {
    type Api = dyn InferenceProvider;
    type Config = InlineVllmConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        streams_calls: true,
        ..Spec::new(
            Api::Inference,
            "inline::vllm",
            "Language models in the server process, from GGUF files in place of vLLM.",
        )
    };

    async fn build(config: InlineVllmConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let threads = local::threads(None, None, &deps);
        let options = LoadOptions {
            context_length: Some(number(config.max_model_len.0)),
            parallel: number(config.max_num_seqs.0),
            threads: threads.one,
            batch_threads: threads.batch,
            ..LoadOptions::default()
        };
        let mapping = Mapping {
            provider_type: Self::SPEC.provider_type,
            model: None,
            files: None,
            seed: None,
            max_tokens: Some(config.max_tokens.0),
            options,
        };
        Ok(Arc::new(Embedded::new(mapping, &deps)))
    }
}
