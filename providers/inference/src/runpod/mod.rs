//! RunPod serverless endpoints with vLLM workers.

#[cfg(test)]
mod tests;

use crate::{
    hosted::{Catalogue, Hosted, at_version},
    raw_prompt::{PromptFormat, rendered},
};
use chaski_api::{Api, Result, Secret};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Dialect, Settings};
use serde_json::{Value, json};
use std::sync::Arc;

const KEY: &str = "runpod_api_token";

const DIALECT: Dialect = Dialect { name: "RunPod", provider_data: Some(KEY), ..Dialect::OPENAI };

const DOCS: &str = "\
Serves the models of a [RunPod](https://docs.runpod.io) serverless endpoint with a vLLM worker.

- `url` is that of the endpoint: `https://api.runpod.ai/v2/<endpoint>`. Its OpenAI-compatible API is used.
- The names of Meta's Llama models are accepted in their short form too (`Llama3.1-8B-Instruct`).
- A caller's own token is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"runpod_api_token\": \"...\"}` and wins over `api_token` of the configuration.
- Without models of this provider in the run configuration, those that the endpoint lists are registered;
  `refresh_models` switches that on or off.
- Images at addresses are fetched by this server and sent as data; private addresses are refused unless
  `server.egress_allow` lists them.
- A worker that sleeps takes its time to wake up: the first request waits for it.
- `prompt_format: llama` is for a server that only continues text: chats are written as prompts of Llama models,
  and the calls that the model writes are read.
";

chaski_api::wire! {
    /// The configuration of `remote::runpod`.
    pub struct RunPodConfig {
        /// The URL of the endpoint; `/openai/v1` is added unless it ends with `/v1`.
        pub url: Option<String>,
        /// The token, used where a caller sends none of its own.
        pub api_token: Option<Secret>,
        /// Whether the models that the endpoint lists are registered. By default they are if the
        /// run configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
        /// `llama` writes chats as prompts of Llama models, for a server that only continues text.
        /// By default chats are sent as chats.
        pub prompt_format: Option<PromptFormat>,
    }
}

impl ProviderConfig for RunPodConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.RUNPOD_URL:}", "api_token": "${env.RUNPOD_API_TOKEN:}" })
    }
}

/// The provider `remote::runpod`.
pub(crate) struct RunPod;

impl Provider for RunPod {
    type Api = dyn InferenceProvider;
    type Config = RunPodConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::runpod", "Models of a RunPod serverless endpoint.")
    };

    async fn build(config: RunPodConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = at_version(&config.url.unwrap_or_default(), "/openai/v1");
        let settings = Settings { url, key: config.api_token, ..Settings::default() };
        let provider =
            Hosted::provider(deps, &DIALECT, &Catalogue::EMPTY, settings, config.refresh_models)?;
        Ok(rendered(provider, config.prompt_format, None))
    }
}
