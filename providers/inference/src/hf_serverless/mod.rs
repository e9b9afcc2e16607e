//! Hugging Face's serverless inference.

#[cfg(test)]
mod tests;

use crate::{
    adapter::{Adapter, Vendor, offered_model},
    llama_models,
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Result, Secret,
    models::{Model, ModelType},
};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Connection, Dialect, Settings};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const URL: &str = "https://router.huggingface.co/v1";

const DIALECT: Dialect = Dialect {
    name: "Hugging Face",
    completions_path: None,
    embeddings_path: None,
    renamed: &[("max_completion_tokens", "max_tokens")],
    ..Dialect::OPENAI
};

const DOCS: &str = "\
Serves one model by the [inference providers of Hugging Face](https://huggingface.co/docs/inference-providers).

- `huggingface_repo` names the model. `:groq` or the like after it chooses who runs it, `:cheapest` and
  `:fastest` by what; by default Hugging Face chooses.
- Only that model can be registered. The names of Meta's Llama models are accepted in their short form too
  (`Llama3.1-8B-Instruct`).
- Without models of this provider in the run configuration, it is registered; `refresh_models` switches that
  on or off.
- There are chats only.
";

chaski_api::wire! {
    /// The configuration of `remote::hf::serverless`.
    pub struct HfServerlessConfig {
        /// The repository of the model, such as `meta-llama/Llama-3.1-8B-Instruct`.
        pub huggingface_repo: String = String::new(),
        /// The token of a user of Hugging Face.
        pub api_token: Option<Secret>,
        /// The URL of the API.
        pub url: String = URL.to_owned(),
        /// Whether the model is registered. By default it is if the run configuration declares no
        /// model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for HfServerlessConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "huggingface_repo": "${env.INFERENCE_MODEL}",
            "api_token": "${env.HF_API_TOKEN}",
        })
    }
}

/// The provider `remote::hf::serverless`.
pub(crate) struct HfServerless {
    repository: String,
    refresh_models: Option<bool>,
    /// Whether this is Hugging Face's own service.
    original: bool,
}

impl Provider for HfServerless {
    type Api = dyn InferenceProvider;
    type Config = HfServerlessConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Inference,
            "remote::hf::serverless",
            "A model by the inference providers of Hugging Face.",
        )
    };

    async fn build(config: HfServerlessConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let given = config.huggingface_repo.trim();
        if given.is_empty() {
            return Err(Error::unavailable(
                "Hugging Face has no `huggingface_repo` in the run configuration; \
                 set one such as `meta-llama/Llama-3.1-8B-Instruct`",
            ));
        }
        let repository = llama_models::repository(given).unwrap_or(given).to_owned();
        let original = config.url.starts_with(URL);
        let settings = Settings { url: config.url, key: config.api_token, ..Settings::default() };
        let vendor = Self { repository, refresh_models: config.refresh_models, original };
        Ok(Arc::new(Adapter::new(deps.http, &DIALECT, settings, vendor)?))
    }
}

#[async_trait]
impl Vendor for HfServerless {
    async fn on_register(&self, _upstream: &Connection, model: Model) -> Result<Model> {
        let mut model = llama_models::resolve(model, &[])?;
        let id = &model.provider_resource_id;
        let bare = self.repository.split(':').next().unwrap_or_default();
        let means_it = *id == self.repository || id == bare;
        if !means_it && llama_models::repository(id) != Some(bare) {
            return Err(Error::invalid(format!(
                "Model {id} is not being served by {}. Available models: {}",
                DIALECT.name, self.repository
            )));
        }
        model.provider_resource_id.clone_from(&self.repository);
        Ok(model)
    }

    async fn offered(&self, _upstream: &Connection) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) {
            return Ok(None);
        }
        let id = self.repository.clone();
        Ok(Some(vec![offered_model(id.clone(), id, ModelType::Llm, Map::new())]))
    }

    fn is_original(&self) -> bool {
        self.original
    }
}
