//! Cerebras.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted, at_version},
    llama_models::Alias,
    raw_prompt::{PromptFormat, rendered},
};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "https://api.cerebras.ai";
const KEY: &str = "cerebras_api_key";

const DIALECT: Dialect = Dialect {
    name: "Cerebras",
    provider_data: Some(KEY),
    embeddings_path: None,
    completion_tokens_models: &[""],
    left_out: &["top_k", "min_p", "repetition_penalty"],
    ..Dialect::OPENAI
};

const CATALOGUE: Catalogue = Catalogue {
    service: URL,
    aliases: &[
        Alias::repository("llama3.1-8b", "Llama3.1-8B-Instruct"),
        Alias::repository("llama-3.3-70b", "Llama3.3-70B-Instruct"),
    ],
    ..Catalogue::EMPTY
};

const DOCS: &str = "\
Serves the models of [Cerebras](https://inference-docs.cerebras.ai).

- The names of Meta's Llama models are accepted too: `meta-llama/Llama-3.3-70B-Instruct` and
  `Llama3.3-70B-Instruct` mean `llama-3.3-70b`.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"cerebras_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that Cerebras lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- In chats `max_tokens` is sent as `max_completion_tokens`; the sampling parameters that Cerebras refuses
  (`top_k`, `min_p`, `repetition_penalty`) are left out.
- There are no embeddings.
- `prompt_format: llama` is for a server that only continues text: chats are written as prompts of Llama models,
  and the calls that the model writes are read.
";

chaski_api::wire! {
    /// The configuration of `remote::cerebras`.
    pub struct CerebrasConfig {
        /// The URL of the service; `/v1` is added unless it ends so.
        pub base_url: String = URL.to_owned(),
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// Whether the models that Cerebras lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
        /// `llama` writes chats as prompts of Llama models, for a server that only continues text.
        /// By default chats are sent as chats.
        pub prompt_format: Option<PromptFormat>,
    }
}

impl ProviderConfig for CerebrasConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "base_url": "${env.CEREBRAS_BASE_URL:https://api.cerebras.ai}",
            "api_key": "${env.CEREBRAS_API_KEY}",
        })
    }
}

/// The provider `remote::cerebras`.
pub(crate) struct Cerebras;

impl Provider for Cerebras {
    type Api = dyn InferenceProvider;
    type Config = CerebrasConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::cerebras", "Models of Cerebras.")
    };

    async fn build(config: CerebrasConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = at_version(&config.base_url, "/v1");
        let settings = Settings { url, key: config.api_key, ..Settings::default() };
        let provider =
            Hosted::provider(deps, &DIALECT, &CATALOGUE, settings, config.refresh_models)?;
        Ok(rendered(provider, config.prompt_format, None))
    }
}
