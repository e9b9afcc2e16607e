//! OpenAI.

#[cfg(test)]
mod tests;

use crate::openai_compatible::{Adapter, LISTING, Vendor, offered_model};
use async_trait::async_trait;
use chaski_api::{
    Api, Result, Secret,
    models::{Model, ModelType},
};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::{
    Tls,
    openai::{Call, Connection, Dialect, Listed, Settings},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const PREFIX: &str = "openai/";
const BASE_URL: &str = "https://api.openai.com/v1";
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

/// The lengths of the vectors of the embedding models.
const EMBEDDINGS: &[(&str, i64)] = &[
    ("text-embedding-3-small", 1536),
    ("text-embedding-3-large", 3072),
    ("text-embedding-ada-002", 1536),
];

/// What the ids of listed models contain that neither chat nor embed.
const OTHER_MODELS: &[&str] = &[
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
];

const DOCS: &str = "\
Serves the models of [OpenAI](https://platform.openai.com/docs).

- Models are named with or without `openai/` in front: `openai/gpt-4o`, `gpt-4o`.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"openai_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that OpenAI lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- `max_tokens` is sent as `max_completion_tokens` to the models that take only that name, and the
  sampling parameters that OpenAI refuses (`top_k`, `min_p`, `repetition_penalty`) are left out.
- `base_url` leads to another server that speaks OpenAI's API; a key is optional there.
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
pub(crate) struct OpenAi {
    refresh_models: Option<bool>,
    /// Whether the server is OpenAI's own.
    original: bool,
}

impl Provider for OpenAi {
    type Api = dyn InferenceProvider;
    type Config = OpenAiConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        ..Spec::new(Api::Inference, "remote::openai", "Models of OpenAI.")
    };

    async fn build(config: OpenAiConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let base_url = config.base_url.filter(|url| !url.trim().is_empty());
        let vendor = Self { refresh_models: config.refresh_models, original: base_url.is_none() };
        let settings = Settings {
            url: base_url.unwrap_or_else(|| BASE_URL.to_owned()),
            tls: Tls::Verified,
            key: config.api_key,
            max_tokens: None,
        };
        Ok(Arc::new(Adapter::new(deps.http, &DIALECT, settings, vendor)?))
    }
}

#[async_trait]
impl Vendor for OpenAi {
    /// OpenAI serves models that it does not list, and lists only with a key: nothing is checked.
    async fn on_register(&self, _upstream: &Connection, model: Model) -> Result<Model> {
        Ok(model)
    }

    async fn offered(&self, upstream: &Connection) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) || (self.original && !upstream.has_key()) {
            return Ok(None);
        }
        let listed = upstream.models(Call::default(), LISTING).await?;
        Ok(Some(listed.into_iter().filter_map(model).collect()))
    }

    async fn check(&self, upstream: &Connection) -> Result<()> {
        if self.original && !upstream.has_key() {
            // Callers bring their own keys.
            return Ok(());
        }
        upstream.models(Call::default(), LISTING).await.map(drop)
    }

    fn needs_key(&self) -> bool {
        self.original
    }
}

fn model(listed: Listed) -> Option<Model> {
    if OTHER_MODELS.iter().any(|part| listed.id.contains(part)) {
        return None;
    }
    let mut metadata = Map::new();
    if let Some(created) = listed.created {
        metadata.insert("created".to_owned(), created.into());
    }
    let embedding = EMBEDDINGS.iter().find(|(id, _)| *id == listed.id);
    let model_type = match embedding {
        Some((_, dimension)) => {
            metadata.insert("embedding_dimension".to_owned(), (*dimension).into());
            ModelType::Embedding
        }
        None => ModelType::Llm,
    };
    let identifier = format!("{PREFIX}{}", listed.id);
    Some(offered_model(identifier, listed.id, model_type, metadata))
}
