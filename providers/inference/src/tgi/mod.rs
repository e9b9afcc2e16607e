//! Hugging Face's Text Generation Inference.

#[cfg(test)]
mod tests;

use crate::{
    adapter::Adapter,
    raw_prompt::{PromptFormat, rendered},
    text_generation::{DIALECT, TextGeneration},
};
use chaski_api::{Api, Error, Result};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::Settings;
use serde_json::{Value, json};
use std::sync::Arc;

const DOCS: &str = "\
Serves the model of a [Text Generation Inference](https://huggingface.co/docs/text-generation-inference) server.

- A model must be the one that the server runs to be registered. The names of Meta's Llama models are
  accepted in their short form too (`Llama3.1-8B-Instruct`).
- Without models of this provider in the run configuration, the model of the server is registered;
  `refresh_models` switches that on or off.
- The limit of an answer is fitted into what the server can hold beside the prompt. To know the length of the
  prompt, the server is asked to count its tokens when that is not clear.
- A temperature of 0 is sent as 0.001, the lowest that the server takes, and a JSON schema for the answer as
  a grammar.
- Images at addresses are fetched by this server and sent as data; private addresses are refused unless
  `server.egress_allow` lists them.
- There are no embeddings; see `remote::text-embeddings-inference`.
- `prompt_format: llama` is for a server that only continues text: chats are written as prompts of Llama models,
  and the calls that the model writes are read.
";

chaski_api::wire! {
    /// The configuration of `remote::tgi`.
    pub struct TgiConfig {
        /// The URL of the server.
        pub url: String = String::new(),
        /// Whether the model of the server is registered. By default it is if the run configuration
        /// declares no model of this provider.
        pub refresh_models: Option<bool>,
        /// `llama` writes chats as prompts of Llama models, for a server that only continues text.
        /// By default chats are sent as chats.
        pub prompt_format: Option<PromptFormat>,
    }
}

impl ProviderConfig for TgiConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.TGI_URL}" })
    }
}

/// The provider `remote::tgi`.
pub(crate) struct Tgi;

impl Provider for Tgi {
    type Api = dyn InferenceProvider;
    type Config = TgiConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Inference,
            "remote::tgi",
            "The model of a Text Generation Inference server.",
        )
    };

    async fn build(config: TgiConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = config.url.trim().trim_end_matches('/');
        let url = url.strip_suffix("/v1").unwrap_or(url);
        if url.is_empty() {
            return Err(Error::unavailable(
                "Text Generation Inference has no `url` in the run configuration; \
                 set one such as `http://localhost:8080`",
            ));
        }
        let settings = Settings { url: url.to_owned(), ..Settings::default() };
        let vendor = TextGeneration::new(config.refresh_models);
        let provider = Arc::new(Adapter::new(deps.http, &DIALECT, settings, vendor)?);
        Ok(rendered(provider, config.prompt_format, None))
    }
}
