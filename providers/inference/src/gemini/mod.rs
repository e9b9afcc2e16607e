//! Google Gemini, through its OpenAI-compatible API.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://generativelanguage.googleapis.com/v1beta/openai";
const KEY: &str = "gemini_api_key";

const DIALECT: Dialect = Dialect {
    name: "Gemini",
    provider_data: Some(KEY),
    completions_path: None,
    model_prefix: Some("gemini/"),
    left_out: &["top_k", "min_p", "repetition_penalty", "logit_bias"],
    // Gemini refuses addresses outside of its own file service.
    inline_images: true,
    float_vectors: true,
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    prefix: "gemini/",
    listed_prefix: "models/",
    embedders: &[("text-embedding-004", 768, 2048), ("gemini-embedding-001", 3072, 2048)],
    others: &["embedding", "imagen", "veo", "aqa", "tts", "audio", "-live-"],
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [Google Gemini](https://ai.google.dev/gemini-api/docs/openai) through its
OpenAI-compatible API.

- Models are named with or without `gemini/` in front: `gemini/gemini-2.0-flash`.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"gemini_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that Gemini lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- Parameters that Gemini refuses (`top_k`, `min_p`, `repetition_penalty`, `logit_bias`) are left out.
- Images at addresses are fetched by this server and sent as data, which Gemini wants; private
  addresses are refused unless `server.egress_allow` lists them.
- There are no completions of bare texts.
";

chaski_api::wire! {
    /// The configuration of `remote::gemini`.
    pub struct GeminiConfig {
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// The URL of the API.
        pub base_url: String = URL.to_owned(),
        /// Whether the models that Gemini lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for GeminiConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.GEMINI_API_KEY}" })
    }
}

/// The provider `remote::gemini`.
pub(crate) struct Gemini;

impl Provider for Gemini {
    type Api = dyn InferenceProvider;
    type Config = GeminiConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::gemini", "Models of Google Gemini.")
    };

    async fn build(config: GeminiConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings =
            Settings { url: config.base_url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
