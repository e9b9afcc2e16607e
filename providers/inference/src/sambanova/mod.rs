//! SambaNova Cloud.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted},
    llama_models::Alias,
};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.sambanova.ai/v1";
const KEY: &str = "sambanova_api_key";

const DIALECT: Dialect = Dialect {
    name: "SambaNova",
    provider_data: Some(KEY),
    completions_path: None,
    completion_tokens_models: &[""],
    left_out: &["min_p", "repetition_penalty"],
    inline_images: true,
    float_vectors: true,
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    aliases: &[
        Alias::repository("Meta-Llama-3.1-8B-Instruct", "Llama3.1-8B-Instruct"),
        Alias::repository("Meta-Llama-3.1-70B-Instruct", "Llama3.1-70B-Instruct"),
        Alias::repository("Meta-Llama-3.1-405B-Instruct", "Llama3.1-405B-Instruct"),
        Alias::repository("Meta-Llama-3.2-1B-Instruct", "Llama3.2-1B-Instruct"),
        Alias::repository("Meta-Llama-3.2-3B-Instruct", "Llama3.2-3B-Instruct"),
        Alias::repository("Meta-Llama-3.3-70B-Instruct", "Llama3.3-70B-Instruct"),
        Alias::repository("Llama-3.2-11B-Vision-Instruct", "Llama3.2-11B-Vision-Instruct"),
        Alias::repository("Llama-3.2-90B-Vision-Instruct", "Llama3.2-90B-Vision-Instruct"),
        Alias::repository("Meta-Llama-Guard-3-8B", "Llama-Guard-3-8B"),
    ],
    embedders: &[("E5-Mistral-7B-Instruct", 4096, 4096)],
    others: &["Whisper"],
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [SambaNova Cloud](https://docs.sambanova.ai).

- The names of Meta's Llama models are accepted too: `meta-llama/Llama-3.1-8B-Instruct` and
  `Llama3.1-8B-Instruct` mean `Meta-Llama-3.1-8B-Instruct`.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"sambanova_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that SambaNova lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- `max_tokens` is sent as `max_completion_tokens`; `min_p` and `repetition_penalty` are left out.
- Images at addresses are fetched by this server and sent to SambaNova as data; private addresses are
  refused unless `server.egress_allow` lists them.
- There are no completions of bare texts.
";

chaski_api::wire! {
    /// The configuration of `remote::sambanova`.
    pub struct SambaNovaConfig {
        /// The URL of the API.
        pub url: String = URL.to_owned(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// Whether the models that SambaNova lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for SambaNovaConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": URL, "api_key": "${env.SAMBANOVA_API_KEY}" })
    }
}

/// The provider `remote::sambanova`.
pub(crate) struct SambaNova;

impl Provider for SambaNova {
    type Api = dyn InferenceProvider;
    type Config = SambaNovaConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::sambanova", "Models of SambaNova Cloud.")
    };

    async fn build(config: SambaNovaConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let settings = Settings { url: config.url, key: config.api_key, ..Settings::default() };
        Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)
    }
}
