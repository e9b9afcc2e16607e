//! Ollama: its OpenAI-compatible API for answers, its own API for models.

mod models;
mod native;
#[cfg(feature = "fuzzing")]
pub(crate) use native::fuzzing;
#[cfg(test)]
mod tests;

use crate::{
    adapter::{Adapter, Vendor},
    llama_models::{self, Alias},
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Result,
    models::{Model, ModelType},
    openai::ChatRequest,
};
use chaski_provider::{
    ChatReply, Context, Deps, InferenceProvider, Provider, ProviderConfig, Spec,
};
use chaski_upstream::{
    Http, Url,
    openai::{Connection, Dialect, Settings},
};
use models::{Library, NAME};
use serde_json::{Value, json};
use std::sync::Arc;

const URL: &str = "http://localhost:11434";

const DIALECT: Dialect = Dialect { name: NAME, float_vectors: true, ..Dialect::OPENAI };

/// Ollama's names of the Llama models. Of several for one model the last is taken.
const ALIASES: &[Alias] = &[
    Alias::llama("llama3.1:8b-instruct-fp16", "Llama3.1-8B-Instruct")
        .or(&["meta-llama/Llama-3.1-8B-Instruct"]),
    Alias::llama("llama3.1:8b", "Llama3.1-8B-Instruct"),
    Alias::llama("llama3.1:70b-instruct-fp16", "Llama3.1-70B-Instruct")
        .or(&["meta-llama/Llama-3.1-70B-Instruct"]),
    Alias::llama("llama3.1:70b", "Llama3.1-70B-Instruct"),
    Alias::llama("llama3.1:405b-instruct-fp16", "Llama3.1-405B-Instruct")
        .or(&["meta-llama/Llama-3.1-405B-Instruct-FP8"]),
    Alias::llama("llama3.1:405b", "Llama3.1-405B-Instruct"),
    Alias::llama("llama3.2:1b-instruct-fp16", "Llama3.2-1B-Instruct")
        .or(&["meta-llama/Llama-3.2-1B-Instruct"]),
    Alias::llama("llama3.2:1b", "Llama3.2-1B-Instruct"),
    Alias::llama("llama3.2:3b-instruct-fp16", "Llama3.2-3B-Instruct")
        .or(&["meta-llama/Llama-3.2-3B-Instruct"]),
    Alias::llama("llama3.2:3b", "Llama3.2-3B-Instruct"),
    Alias::llama("llama3.2-vision:11b-instruct-fp16", "Llama3.2-11B-Vision-Instruct")
        .or(&["meta-llama/Llama-3.2-11B-Vision-Instruct"]),
    Alias::llama("llama3.2-vision:latest", "Llama3.2-11B-Vision-Instruct"),
    Alias::llama("llama3.2-vision:90b-instruct-fp16", "Llama3.2-90B-Vision-Instruct")
        .or(&["meta-llama/Llama-3.2-90B-Vision-Instruct"]),
    Alias::llama("llama3.2-vision:90b", "Llama3.2-90B-Vision-Instruct"),
    Alias::llama("llama3.3:70b", "Llama3.3-70B-Instruct")
        .or(&["meta-llama/Llama-3.3-70B-Instruct"]),
    Alias::llama("llama-guard3:8b", "Llama-Guard-3-8B").or(&["meta-llama/Llama-Guard-3-8B"]),
    Alias::llama("llama-guard3:1b", "Llama-Guard-3-1B").or(&["meta-llama/Llama-Guard-3-1B"]),
];

const DOCS: &str = "\
Serves the models of an [Ollama](https://ollama.com) server.

- A model must have been pulled to be registered; embedding models are pulled by the registration.
  It need not be loaded: Ollama does that with the first request.
- The names of Meta's Llama models are accepted too: `meta-llama/Llama-3.2-3B-Instruct` means
  `llama3.2:3b-instruct-fp16`, and `Llama3.2-3B-Instruct` means `llama3.2:3b`.
- Without models of this provider in the run configuration, those that were pulled are registered;
  `refresh_models` switches that on or off.
- Answers come from Ollama's OpenAI-compatible API. A chat with `top_k`, `min_p`, `repetition_penalty`
  or `num_ctx`, which that API does not have, is put to Ollama's own; in completions Ollama ignores
  them.
- Images at addresses are fetched by this server and sent to Ollama as data; private addresses are
  refused unless `server.egress_allow` lists them. What is no image, or has more than 20 MiB, is refused too.
";

chaski_api::wire! {
    /// The configuration of `remote::ollama`.
    pub struct OllamaConfig {
        /// The URL of the server.
        pub url: String = URL.to_owned(),
        /// Whether the models that were pulled are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for OllamaConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.OLLAMA_URL:http://localhost:11434}" })
    }
}

/// The provider `remote::ollama`.
pub(crate) struct Ollama {
    http: Http,
    /// Where Ollama's own API chats.
    chat: Url,
    library: Library,
    refresh_models: Option<bool>,
}

impl Provider for Ollama {
    type Api = dyn InferenceProvider;
    type Config = OllamaConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(Api::Inference, "remote::ollama", "Models of an Ollama server.")
    };

    async fn build(config: OllamaConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = config.url.trim().trim_end_matches('/');
        let url = url.strip_suffix("/v1").unwrap_or(url);
        let url = if url.is_empty() { URL } else { url };
        let settings = Settings { url: format!("{url}/v1"), ..Settings::default() };
        let library = Library::new(deps.http.clone(), url)?;
        let chat = library.at("/api/chat")?;
        let vendor =
            Self { http: deps.http.clone(), chat, library, refresh_models: config.refresh_models };
        Ok(Arc::new(Adapter::new(deps.http, &DIALECT, settings, vendor)?))
    }
}

#[async_trait]
impl Vendor for Ollama {
    async fn on_register(&self, _upstream: &Connection, model: Model) -> Result<Model> {
        let given = model.provider_resource_id.clone();
        let mut model = llama_models::resolve(model, ALIASES)?;
        let mut pulled = self.library.names().await?;
        let has = |pulled: &[String], name: &str| {
            pulled.iter().any(|other| other == name || other.strip_suffix(":latest") == Some(name))
        };
        if has(&pulled, &given) {
            model.provider_resource_id = given;
            return Ok(model);
        }
        let name = model.provider_resource_id.clone();
        if model.model_type == ModelType::Embedding {
            self.library.pull(&name).await?;
            pulled = self.library.names().await?;
        }
        if has(&pulled, &name) {
            return Ok(model);
        }
        Err(Error::invalid(format!(
            "Model '{name}' is not available in Ollama. Available models: {}",
            pulled.join(", ")
        )))
    }

    async fn offered(&self, _upstream: &Connection) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) {
            return Ok(None);
        }
        self.library.models().await.map(Some)
    }

    async fn own_chat(&self, cx: &Context, request: &ChatRequest) -> Result<Option<ChatReply>> {
        if !native::is_needed(request) {
            return Ok(None);
        }
        native::chat(&self.http, &self.chat, cx, request).await.map(Some)
    }

    async fn check(&self, _upstream: &Connection) -> Result<()> {
        self.library.check().await
    }
}
