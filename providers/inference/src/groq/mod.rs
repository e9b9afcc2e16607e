//! Groq.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted, at_version},
    llama_models::Alias,
};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.groq.com";
const KEY: &str = "groq_api_key";

const DIALECT: Dialect = Dialect {
    name: "Groq",
    provider_data: Some(KEY),
    completions_path: None,
    embeddings_path: None,
    model_prefix: Some("groq/"),
    left_out: &["top_k", "min_p", "repetition_penalty", "logit_bias"],
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    prefix: "groq/",
    aliases: &[
        Alias::repository("groq/llama3-8b-8192", "Llama-3-8B-Instruct"),
        Alias::repository("groq/llama-3.1-8b-instant", "Llama3.1-8B-Instruct"),
        Alias::repository("groq/llama3-70b-8192", "Llama-3-70B-Instruct"),
        Alias::repository("groq/llama-3.3-70b-versatile", "Llama3.3-70B-Instruct"),
        Alias::repository("groq/llama-3.2-3b-preview", "Llama3.2-3B-Instruct"),
    ],
    others: &["whisper", "tts", "orpheus"],
    dated: true,
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [Groq](https://console.groq.com/docs).

- Models are named with or without `groq/` in front: `groq/llama-3.1-8b-instant`. The names of Meta's Llama
  models are accepted too: `meta-llama/Llama-3.1-8B-Instruct`.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"groq_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that Groq lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- Parameters that Groq refuses (`top_k`, `min_p`, `repetition_penalty`, `logit_bias`) are left out.
- Groq has chats only.
";

chaski_api::wire! {
    /// The configuration of `remote::groq`.
    pub struct GroqConfig {
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// The URL of the service; `/openai/v1` is added unless it ends with `/v1`.
        pub url: String = URL.to_owned(),
        /// Whether the models that Groq lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for GroqConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": URL, "api_key": "${env.GROQ_API_KEY}" })
    }
}

/// The provider `remote::groq`.
pub(crate) struct Groq;

impl Provider for Groq {
    type Api = dyn InferenceProvider;
    type Config = GroqConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(Api::Inference, "remote::groq", "Models of Groq.")
    };

    async fn build(config: GroqConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = at_version(&config.url, "/openai/v1");
        let settings = Settings { url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
