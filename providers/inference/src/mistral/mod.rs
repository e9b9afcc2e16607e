//! Mistral AI.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.mistral.ai/v1";
const KEY: &str = "mistral_api_key";

const DIALECT: Dialect = Dialect {
    name: "Mistral",
    provider_data: Some(KEY),
    completions_path: None,
    renamed: &[("max_completion_tokens", "max_tokens"), ("seed", "random_seed")],
    left_out: &[
        "top_k",
        "min_p",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "user",
        // Usage comes with the last event of every stream.
        "stream_options",
    ],
    required_tool: "any",
    float_vectors: true,
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    embedders: &[("mistral-embed", 1024, 8192), ("codestral-embed", 1536, 8192)],
    others: &["embed", "moderation", "ocr", "transcribe", "voxtral"],
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [Mistral AI](https://docs.mistral.ai/api).

- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"mistral_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that Mistral lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- Names that differ are translated: `max_completion_tokens` to `max_tokens`, `seed` to `random_seed`, the
  choice of a tool `required` to `any`.
- Fields that Mistral refuses (`top_k`, `min_p`, `repetition_penalty`, `logit_bias`, `logprobs`,
  `top_logprobs`, `user`) are left out.
- There are no completions of bare texts.
";

chaski_api::wire! {
    /// The configuration of `remote::mistral`.
    pub struct MistralConfig {
        /// The URL of the API.
        pub url: String = URL.to_owned(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// Whether the models that Mistral lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for MistralConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.MISTRAL_API_KEY}" })
    }
}

/// The provider `remote::mistral`.
pub(crate) struct Mistral;

impl Provider for Mistral {
    type Api = dyn InferenceProvider;
    type Config = MistralConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::mistral", "Models of Mistral AI.")
    };

    async fn build(config: MistralConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings = Settings { url: config.url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
