//! DeepSeek.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.deepseek.com";
const KEY: &str = "deepseek_api_key";

const DIALECT: Dialect = Dialect {
    name: "DeepSeek",
    provider_data: Some(KEY),
    completions_path: None,
    embeddings_path: None,
    renamed: &[("max_completion_tokens", "max_tokens")],
    left_out: &["top_k", "min_p", "repetition_penalty"],
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue { service: URL, ..Catalogue::EMPTY };

const DOCS: &str = "\
Serves the models of [DeepSeek](https://api-docs.deepseek.com).

- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"deepseek_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that DeepSeek lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- What a reasoning model thinks comes in `reasoning_content`, apart from the answer.
- The sampling parameters that DeepSeek does not know (`top_k`, `min_p`, `repetition_penalty`) are left out.
- There are chats only. JSON answers are asked for with `json_object`; DeepSeek refuses JSON schemas.
";

chaski_api::wire! {
    /// The configuration of `remote::deepseek`.
    pub struct DeepSeekConfig {
        /// The URL of the API.
        pub url: String = URL.to_owned(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// Whether the models that DeepSeek lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for DeepSeekConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.DEEPSEEK_API_KEY}" })
    }
}

/// The provider `remote::deepseek`.
pub(crate) struct DeepSeek;

impl Provider for DeepSeek {
    type Api = dyn InferenceProvider;
    type Config = DeepSeekConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::deepseek", "Models of DeepSeek.")
    };

    async fn build(config: DeepSeekConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings = Settings { url: config.url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
