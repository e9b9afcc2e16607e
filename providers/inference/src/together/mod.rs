//! Together AI.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted},
    llama_models::Alias,
};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, JsonSchema, Logprobs, Rerank, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.together.xyz/v1";
const KEY: &str = "together_api_key";

const DIALECT: Dialect = Dialect {
    name: "Together",
    provider_data: Some(KEY),
    configured_key_first: true,
    renamed: &[("max_completion_tokens", "max_tokens")],
    json_schema: JsonSchema::InJsonObject,
    logprobs: Logprobs::Count,
    float_vectors: true,
    rerank: Some(Rerank::STANDARD),
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    aliases: &[
        Alias::repository("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "Llama3.1-8B-Instruct"),
        Alias::repository("meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo", "Llama3.1-70B-Instruct"),
        Alias::repository(
            "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo",
            "Llama3.1-405B-Instruct",
        ),
        Alias::repository("meta-llama/Llama-3.2-3B-Instruct-Turbo", "Llama3.2-3B-Instruct"),
        Alias::repository(
            "meta-llama/Llama-3.2-11B-Vision-Instruct-Turbo",
            "Llama3.2-11B-Vision-Instruct",
        ),
        Alias::repository(
            "meta-llama/Llama-3.2-90B-Vision-Instruct-Turbo",
            "Llama3.2-90B-Vision-Instruct",
        ),
        Alias::repository("meta-llama/Llama-3.3-70B-Instruct-Turbo", "Llama3.3-70B-Instruct"),
        Alias::repository("meta-llama/Meta-Llama-Guard-3-8B", "Llama-Guard-3-8B"),
        Alias::repository("meta-llama/Llama-Guard-3-11B-Vision-Turbo", "Llama-Guard-3-11B-Vision"),
    ],
    embedders: &[
        ("togethercomputer/m2-bert-80M-8k-retrieval", 768, 8192),
        ("togethercomputer/m2-bert-80M-32k-retrieval", 768, 32768),
    ],
    // `moderation` are the safety models, which chat.
    chat_kinds: &["chat", "language", "code", "moderation"],
    dated: true,
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [Together AI](https://docs.together.ai).

- The names of Meta's Llama models are accepted too: `meta-llama/Llama-3.1-8B-Instruct` and
  `Llama3.1-8B-Instruct` mean `meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo`.
- `api_key` of the configuration wins over a caller's own key, which is sent in the header
  `X-LlamaStack-Provider-Data` as `{\"together_api_key\": \"...\"}`.
- Without models of this provider in the run configuration, those that Together lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- A JSON schema for the answer is sent as `{\"type\": \"json_object\", \"schema\": ...}`, and the number of
  log probabilities as `logprobs`.
- A model that ranks documents is registered with the model type `rerank`; `/rerank` after the URL is asked.
";

chaski_api::wire! {
    /// The configuration of `remote::together`.
    pub struct TogetherConfig {
        /// The URL of the API.
        pub url: String = URL.to_owned(),
        /// The key; without one, callers send theirs.
        pub api_key: Option<Secret>,
        /// Whether the models that Together lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for TogetherConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": URL, "api_key": "${env.TOGETHER_API_KEY}" })
    }
}

/// The provider `remote::together`.
pub(crate) struct Together;

impl Provider for Together {
    type Api = dyn InferenceProvider;
    type Config = TogetherConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::together", "Models of Together AI.")
    };

    async fn build(config: TogetherConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings = Settings { url: config.url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
