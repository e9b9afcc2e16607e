//! OpenAI.

#[cfg(test)]
mod tests;

use crate::hosted::{Catalogue, Hosted};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const PREFIX: &str = "openai/";
const URL: &str = "https://api.openai.com/v1";
/// Where OpenAI's own clients look for another address.
const BASE_URL: &str = "OPENAI_BASE_URL";
const KEY: &str = "openai_api_key";

const DIALECT: Dialect = Dialect {
    name: "OpenAI",
    provider_data: Some(KEY),
    model_prefix: Some(PREFIX),
    // The reasoning models refuse the older name.
    completion_tokens_models: &["o1", "o3", "o4", "gpt-5"],
    left_out: &["top_k", "min_p", "repetition_penalty"],
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    prefix: PREFIX,
    embedders: &[
        ("text-embedding-3-small", 1536, 8192),
        ("text-embedding-3-large", 3072, 8192),
        ("text-embedding-ada-002", 1536, 8192),
    ],
    others: &[
        "audio",
        "babbage",
        "dall-e",
        "davinci",
        "image",
        "moderation",
        "realtime",
        "sora",
        "transcribe",
        "tts",
        "whisper",
    ],
    dated: true,
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [OpenAI](https://platform.openai.com/docs).

- Models are named with or without `openai/` in front: `openai/gpt-4o`, `gpt-4o`.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"openai_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that OpenAI lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- `max_tokens` is sent as `max_completion_tokens` to the models that take only that name, and the
  sampling parameters that OpenAI refuses (`top_k`, `min_p`, `repetition_penalty`) are left out.
- `base_url`, or the environment variable `OPENAI_BASE_URL`, leads to another server that speaks OpenAI's API; a key is optional there.
- Images at addresses are fetched by OpenAI. For another server this server fetches them and sends them as data;
  private addresses are refused unless `server.egress_allow` lists them.
";

chaski_api::wire! {
    /// The configuration of `remote::openai`.
    pub struct OpenAiConfig {
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// Another server that speaks OpenAI's API. The default is `https://api.openai.com/v1`.
        pub base_url: Option<String>,
        /// Whether the models that OpenAI lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for OpenAiConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.OPENAI_API_KEY}" })
    }
}

/// The provider `remote::openai`.
pub(crate) struct OpenAi;

impl Provider for OpenAi {
    type Api = dyn InferenceProvider;
    type Config = OpenAiConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        environment: &[BASE_URL],
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::openai", "Models of OpenAI.")
    };

    async fn build(config: OpenAiConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let base_url = config.base_url.filter(|url| !url.trim().is_empty());
        let base_url = base_url.or_else(|| deps.environment.get(BASE_URL).map(str::to_owned));
        let url = base_url.unwrap_or_else(|| URL.to_owned());
        let settings = Settings { url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
