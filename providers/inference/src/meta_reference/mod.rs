//! The reference's own engine for Llama models, mapped to the engine of this process.

#[cfg(test)]
mod tests;

use crate::{
    embedded::{Embedded, Mapping},
    local,
};
use chaski_api::{
    Api, Result,
    wire::{AtLeast, Between},
};
use chaski_llm::{DEFAULT_PARALLEL, LoadOptions};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};

pub(crate) const DOCS: &str = "\
The reference runs Llama models with PyTorch on graphics cards here. Chaski runs GGUF files with llama.cpp, as
`inline::llama-cpp` does, so that a run configuration with this entry starts as it is. What differs:

- The weights are one GGUF file, in `checkpoint_dir` (a GGUF file, or a folder with some) or in the weights
  folder. `meta-llama/Llama-3.2-1B-Instruct` and `Llama3.2-1B-Instruct` both mean the file
  `Llama-3.2-1B-Instruct.gguf`, or one with the kind of numbers behind the name (`-Q4_K_M.gguf`).
  PyTorch checkpoints are not read.
- Several models of such files can be registered; `model` is the one that must be there for the provider
  to be up.
- `max_seq_len` is the most tokens of a prompt and its answer. `torch_seed` is the seed of requests that
  bring none. `max_batch_size` above 1 is the number of requests that are answered side by side; 1, the
  reference's default, means 8 here.
- `create_distributed_process_group`, `model_parallel_size` and `quantization` are accepted and have no
  effect: how the numbers are stored is up to the GGUF file.
- Answers are those of `inline::llama-cpp`: `top_k`, more than one log probability, and several
  requests at the same time work, which the reference refuses.
";

chaski_api::wire! {
    /// The configuration of `inline::meta-reference`.
    pub struct MetaReferenceConfig {
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
    }
}

impl ProviderConfig for MetaReferenceConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "model": "Llama3.2-3B-Instruct",
            "max_seq_len": 4096,
            "checkpoint_dir": "${env.CHECKPOINT_DIR:null}",
        })
    }
}

/// The engine as the configuration says.
pub(crate) fn mapped(
    provider_type: &'static str,
    config: MetaReferenceConfig,
    deps: &Deps,
) -> Embedded {
    let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    // What a variable without a value leaves in a run configuration.
    let given = |text: &String| !matches!(text.as_str(), "" | "null" | "None");
    let parallel = number(config.max_batch_size.0);
    let threads = local::threads(None, None, deps);
    let options = LoadOptions {
        context_length: Some(number(config.max_seq_len.0)),
        parallel: if parallel > 1 { parallel } else { DEFAULT_PARALLEL },
        threads: threads.one,
        batch_threads: threads.batch,
        ..LoadOptions::default()
    };
    let mapping = Mapping {
        provider_type,
        model: config.model.filter(given),
        files: config.checkpoint_dir.filter(given).map(PathBuf::from),
        seed: config.torch_seed,
        max_tokens: None,
        options,
    };
    Embedded::new(mapping, deps)
}

/// The provider `inline::meta-reference`.
pub(crate) struct MetaReference;

impl Provider for MetaReference {
    type Api = dyn InferenceProvider;
    type Config = MetaReferenceConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        streams_calls: true,
        ..Spec::new(
            Api::Inference,
            "inline::meta-reference",
            "Llama models in the server process, from GGUF files in place of PyTorch checkpoints.",
        )
    };

    async fn build(config: MetaReferenceConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        Ok(Arc::new(mapped(Self::SPEC.provider_type, config, &deps)))
    }
}
