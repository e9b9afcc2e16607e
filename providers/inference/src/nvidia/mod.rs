//! NVIDIA NIM, hosted or in one's own data centre.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted, at_version},
    llama_models::Alias,
};
use chaski_api::{
    Api, Result, Secret,
    wire::{AtLeast, Between},
};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, JsonSchema, Settings, Translated};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const URL: &str = "https://integrate.api.nvidia.com";
const KEY: &str = "nvidia_api_key";
/// How long an answer may take in seconds.
const TIMEOUT: i64 = 60;

const DIALECT: Dialect = Dialect {
    name: "NVIDIA",
    provider_data: Some(KEY),
    renamed: &[("max_completion_tokens", "max_tokens")],
    left_out: &["min_p"],
    json_schema: JsonSchema::Field("guided_json"),
    extension: Some(("nvext", &["guided_json", "top_k", "repetition_penalty"])),
    embedding_task: Some(Translated {
        field: "input_type",
        values: &[("query", "query"), ("document", "passage")],
    }),
    embedding_truncation: Some(Translated {
        field: "truncate",
        values: &[("none", "NONE"), ("start", "START"), ("end", "END")],
    }),
    float_vectors: true,
    ..Dialect::OPENAI
};

/// The hosted service has the vision models of Llama 3.2 elsewhere.
const HOSTED: Dialect = Dialect {
    model_urls: &[
        (
            "meta/llama-3.2-11b-vision-instruct",
            "https://ai.api.nvidia.com/v1/gr/meta/llama-3.2-11b-vision-instruct/chat/completions",
        ),
        (
            "meta/llama-3.2-90b-vision-instruct",
            "https://ai.api.nvidia.com/v1/gr/meta/llama-3.2-90b-vision-instruct/chat/completions",
        ),
    ],
    ..DIALECT
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    aliases: &[
        Alias::repository("meta/llama3-8b-instruct", "Llama-3-8B-Instruct"),
        Alias::repository("meta/llama3-70b-instruct", "Llama-3-70B-Instruct"),
        Alias::repository("meta/llama-3.1-8b-instruct", "Llama3.1-8B-Instruct"),
        Alias::repository("meta/llama-3.1-70b-instruct", "Llama3.1-70B-Instruct"),
        Alias::repository("meta/llama-3.1-405b-instruct", "Llama3.1-405B-Instruct"),
        Alias::repository("meta/llama-3.2-1b-instruct", "Llama3.2-1B-Instruct"),
        Alias::repository("meta/llama-3.2-3b-instruct", "Llama3.2-3B-Instruct"),
        Alias::repository("meta/llama-3.2-11b-vision-instruct", "Llama3.2-11B-Vision-Instruct"),
        Alias::repository("meta/llama-3.2-90b-vision-instruct", "Llama3.2-90B-Vision-Instruct"),
    ],
    embedders: &[
        ("nvidia/llama-3.2-nv-embedqa-1b-v2", 2048, 8192),
        ("nvidia/nv-embedqa-e5-v5", 1024, 512),
        ("nvidia/nv-embedqa-mistral-7b-v2", 4096, 512),
        ("snowflake/arctic-embed-l", 1024, 512),
    ],
    others: &["embed", "rerank", "reward", "parakeet", "clip", "vila", "parse"],
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [NVIDIA NIM](https://docs.api.nvidia.com/nim/reference/llm-apis), hosted or self-hosted.

- The names of Meta's Llama models are accepted too: `meta-llama/Llama-3.1-8B-Instruct` and
  `Llama3.1-8B-Instruct` mean `meta/llama-3.1-8b-instruct`.
- The hosted service needs a key. A caller's own is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"nvidia_api_key\": \"...\"}` and wins over `api_key` of the configuration. A NIM of one's own needs none.
- Without models of this provider in the run configuration, those that NVIDIA lists are registered;
  `refresh_models` switches that on or off.
- `top_k`, `repetition_penalty` and a JSON schema for the answer are sent in `nvext`; `min_p` is left out.
- Images at addresses are fetched by the hosted service. For a NIM of one's own this server fetches them and sends
  them as data; private addresses are refused unless `server.egress_allow` lists them.
- For embeddings, `task_type` is sent as `input_type` (`query` or `passage`), which models for retrieval
  require, and `text_truncation` as `truncate`.
";

chaski_api::wire! {
    /// The configuration of `remote::nvidia`.
    pub struct NvidiaConfig {
        /// The URL of the service; `/v1` is added unless it ends so.
        pub url: String = URL.to_owned(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// How many seconds the beginning of an answer is waited for.
        pub timeout: AtLeast<1> = Between(TIMEOUT),
        /// Whether the models that NVIDIA lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for NvidiaConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "url": "${env.NVIDIA_BASE_URL:https://integrate.api.nvidia.com}",
            "api_key": "${env.NVIDIA_API_KEY:}",
        })
    }
}

/// The provider `remote::nvidia`.
pub(crate) struct Nvidia;

impl Provider for Nvidia {
    type Api = dyn InferenceProvider;
    type Config = NvidiaConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::nvidia", "Models of NVIDIA NIM.")
    };

    async fn build(config: NvidiaConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = at_version(&config.url, "/v1");
        let dialect = if url.starts_with(URL) { &HOSTED } else { &DIALECT };
        let settings = Settings {
            url,
            key: config.api_key,
            first_byte_timeout: Some(Duration::from_secs(config.timeout.0.unsigned_abs())),
            ..Settings::default()
        };
        Hosted::provider(deps, dialect, &CATALOGUE, settings, config.refresh_models)
    }
}
