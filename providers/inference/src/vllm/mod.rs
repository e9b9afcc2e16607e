//! vLLM, and other servers that speak OpenAI's API with vLLM's additions.

#[cfg(test)]
mod tests;

use crate::{
    adapter::{Adapter, LISTING, TlsVerify, Vendor, offered_model},
    llama_models,
    raw_prompt::{PromptFormat, rendered},
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Result, Secret,
    models::{Model, ModelType},
    wire::{AtLeast, Between},
};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Call, Connection, Dialect, Rerank, Settings};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const DIALECT: Dialect = Dialect {
    name: "vLLM",
    rerank: Some(Rerank::STANDARD),
    request_id: Some("x-request-id"),
    ..Dialect::OPENAI
};

const DOCS: &str = "\
Serves the models of a [vLLM](https://docs.vllm.ai) server, or of any server that speaks OpenAI's API.

- A model must be served by vLLM to be registered. The names of Meta's Llama models are accepted in
  their short form too (`Llama3.1-8B-Instruct`).
- Without models of this provider in the run configuration, those that the server lists are
  registered; `refresh_models` switches that on or off.
- Requests without a limit get `max_tokens` of the configuration.
- A model that ranks documents is registered with the model type `rerank`; vLLM's `/v1/rerank` is asked.
- Images at addresses are fetched by this server and sent to vLLM as data; private addresses are
  refused unless `server.egress_allow` lists them. What is no image, or has more than 20 MiB, is refused too.
- `tls_verify: false` accepts any certificate; a path names a PEM file with the authorities to trust.
- `prompt_format: llama` is for a server that only continues text: chats are written as prompts of Llama models,
  and the calls that the model writes are read.
";

chaski_api::wire! {
    /// The configuration of `remote::vllm`.
    pub struct VllmConfig {
        /// The URL of the server with `/v1` at the end.
        pub url: Option<String>,
        /// The most tokens to generate where a request does not say.
        pub max_tokens: AtLeast<1> = Between(4096),
        /// What is sent as the bearer token; `fake` by default.
        pub api_token: Option<Secret> = Some(Secret::new("fake")),
        /// `true`, `false`, or the path of a PEM file with certificate authorities.
        pub tls_verify: TlsVerify = TlsVerify::Switch(true),
        /// Whether the models that the server lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
        /// `llama` writes chats as prompts of Llama models, for a server that only continues text.
        /// By default chats are sent as chats.
        pub prompt_format: Option<PromptFormat>,
    }
}

impl ProviderConfig for VllmConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "url": "${env.VLLM_URL}",
            "max_tokens": "${env.VLLM_MAX_TOKENS:4096}",
            "api_token": "${env.VLLM_API_TOKEN:fake}",
            "tls_verify": "${env.VLLM_TLS_VERIFY:true}",
        })
    }
}

/// The provider `remote::vllm`.
pub(crate) struct Vllm {
    refresh_models: Option<bool>,
}

impl Provider for Vllm {
    type Api = dyn InferenceProvider;
    type Config = VllmConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Inference,
            "remote::vllm",
            "Models of a vLLM server, or of any server that speaks OpenAI's API.",
        )
    };

    async fn build(config: VllmConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = config.url.filter(|url| !url.trim().is_empty()).ok_or_else(|| {
            Error::unavailable(
                "vLLM has no `url` in the run configuration; \
                 set one such as `http://localhost:8000/v1`",
            )
        })?;
        let settings = Settings {
            url,
            tls: config.tls_verify.tls(),
            key: config.api_token,
            max_tokens: Some(config.max_tokens.0),
            ..Settings::default()
        };
        let vendor = Self { refresh_models: config.refresh_models };
        let max_tokens = settings.max_tokens;
        let provider = Arc::new(Adapter::new(deps.http, &DIALECT, settings, vendor)?);
        Ok(rendered(provider, config.prompt_format, max_tokens))
    }
}

#[async_trait]
impl Vendor for Vllm {
    async fn on_register(&self, upstream: &Connection, model: Model) -> Result<Model> {
        let mut model = llama_models::resolve(model, &[])?;
        let listed = upstream.models(Call::default(), LISTING).await?;
        let id = &model.provider_resource_id;
        if listed.iter().any(|listed| listed.id == *id) {
            return Ok(model);
        }
        if let Some(repository) = llama_models::repository(id)
            && listed.iter().any(|listed| listed.id == repository)
        {
            repository.clone_into(&mut model.provider_resource_id);
            return Ok(model);
        }
        let available: Vec<String> = listed.into_iter().map(|listed| listed.id).collect();
        Err(Error::invalid(format!(
            "Model {id} is not being served by vLLM. Available models: {}",
            available.join(", ")
        )))
    }

    async fn offered(&self, upstream: &Connection) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) {
            return Ok(None);
        }
        let listed = upstream.models(Call::default(), LISTING).await?;
        let model = |listed: chaski_upstream::openai::Listed| {
            let mut metadata = Map::new();
            // `created` is when the list was made: with it the model would change each time.
            if let Some(length) = listed.context_length {
                metadata.insert("context_length".to_owned(), length.into());
            }
            offered_model(listed.id.clone(), listed.id, ModelType::Llm, metadata)
        };
        Ok(Some(listed.into_iter().map(model).collect()))
    }
}
