//! Fireworks AI.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted},
    llama_models::Alias,
};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, JsonSchema, Rerank, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.fireworks.ai/inference/v1";
const KEY: &str = "fireworks_api_key";

const DIALECT: Dialect = Dialect {
    name: "Fireworks",
    provider_data: Some(KEY),
    configured_key_first: true,
    renamed: &[("max_completion_tokens", "max_tokens")],
    json_schema: JsonSchema::InJsonObject,
    float_vectors: true,
    rerank: Some(Rerank::STANDARD),
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    aliases: &[
        Alias::repository(
            "accounts/fireworks/models/llama-v3p1-8b-instruct",
            "Llama3.1-8B-Instruct",
        ),
        Alias::repository(
            "accounts/fireworks/models/llama-v3p1-70b-instruct",
            "Llama3.1-70B-Instruct",
        ),
        Alias::repository(
            "accounts/fireworks/models/llama-v3p1-405b-instruct",
            "Llama3.1-405B-Instruct",
        ),
        Alias::repository(
            "accounts/fireworks/models/llama-v3p2-3b-instruct",
            "Llama3.2-3B-Instruct",
        ),
        Alias::repository(
            "accounts/fireworks/models/llama-v3p2-11b-vision-instruct",
            "Llama3.2-11B-Vision-Instruct",
        ),
        Alias::repository(
            "accounts/fireworks/models/llama-v3p2-90b-vision-instruct",
            "Llama3.2-90B-Vision-Instruct",
        ),
        Alias::repository(
            "accounts/fireworks/models/llama-v3p3-70b-instruct",
            "Llama3.3-70B-Instruct",
        ),
        Alias::repository("accounts/fireworks/models/llama-guard-3-8b", "Llama-Guard-3-8B"),
        Alias::repository(
            "accounts/fireworks/models/llama-guard-3-11b-vision",
            "Llama-Guard-3-11B-Vision",
        ),
    ],
    embedders: &[("nomic-ai/nomic-embed-text-v1.5", 768, 8192)],
    others: &["flux", "stable-diffusion", "whisper"],
    dated: true,
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [Fireworks AI](https://docs.fireworks.ai).

- The names of Meta's Llama models are accepted too: `meta-llama/Llama-3.1-8B-Instruct` and
  `Llama3.1-8B-Instruct` mean `accounts/fireworks/models/llama-v3p1-8b-instruct`.
- `api_key` of the configuration wins over a caller's own key, which is sent in the header
  `X-LlamaStack-Provider-Data` as `{\"fireworks_api_key\": \"...\"}`.
- Without models of this provider in the run configuration, those that Fireworks lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- A JSON schema for the answer is sent as `{\"type\": \"json_object\", \"schema\": ...}`.
- Requests without a limit get the limit of Fireworks.
- A model that ranks documents is registered with the model type `rerank`; `/rerank` after the URL is asked.
";

chaski_api::wire! {
    /// The configuration of `remote::fireworks`.
    pub struct FireworksConfig {
        /// The URL of the API.
        pub url: String = URL.to_owned(),
        /// The key; without one, callers send theirs.
        pub api_key: Option<Secret>,
        /// Whether the models that Fireworks lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for FireworksConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": URL, "api_key": "${env.FIREWORKS_API_KEY}" })
    }
}

/// The provider `remote::fireworks`.
pub(crate) struct Fireworks;

impl Provider for Fireworks {
    type Api = dyn InferenceProvider;
    type Config = FireworksConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::fireworks", "Models of Fireworks AI.")
    };

    async fn build(config: FireworksConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings = Settings { url: config.url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
