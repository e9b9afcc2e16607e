//! Hugging Face's Text Embeddings Inference.

#[cfg(test)]
mod tests;

use crate::adapter::{Adapter, LISTING, Vendor, offered_model};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Result, Secret,
    models::{Model, ModelType},
    openai::{Body, EmbeddingRequest},
};
use chaski_provider::{Deps, InferenceProvider, Provider, ProviderConfig, Spec};
use chaski_upstream::openai::{Call, Connection, Dialect, Rerank, Settings};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const URL: &str = "http://localhost:8080";

const DIALECT: Dialect = Dialect {
    name: "Text Embeddings Inference",
    chat_path: None,
    completions_path: None,
    embeddings_path: Some("/v1/embeddings"),
    models_path: None,
    rerank: Some(Rerank::TEXT_EMBEDDINGS_INFERENCE),
    ..Dialect::OPENAI
};

const DOCS: &str = "\
Serves the model of a [Text Embeddings Inference](https://huggingface.co/docs/text-embeddings-inference) server.

- A model must be the one that the server runs to be registered. The length of its vectors is found out by
  embedding a word, and stands in the record.
- Without models of this provider in the run configuration, the model of the server is registered;
  `refresh_models` switches that on or off.
- Texts that are too long are refused, unless the server was started with `--auto-truncate`.
- A rerank model is registered with the model type `rerank`. Documents are sent in parts of 32, as many as the
  server takes at once unless told otherwise, and cut where they are too long.
- There are no chats and no completions.
";

chaski_api::wire! {
    /// The configuration of `remote::text-embeddings-inference`.
    pub struct TextEmbeddingsInferenceConfig {
        /// The URL of the server.
        pub url: String = URL.to_owned(),
        /// The key that the server was started with, if it was.
        pub api_key: Option<Secret>,
        /// Whether the model of the server is registered. By default it is if the run configuration
        /// declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for TextEmbeddingsInferenceConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.TEI_URL:http://localhost:8080}" })
    }
}

/// The provider `remote::text-embeddings-inference`.
pub(crate) struct TextEmbeddingsInference {
    refresh_models: Option<bool>,
}

/// What the server says about its model.
#[derive(Deserialize)]
struct Info {
    model_id: String,
    max_input_length: Option<i64>,
    /// An object whose key says what the model does: `embedding`, `reranker` or `classifier`.
    model_type: Option<Map<String, Value>>,
}

impl Info {
    fn kind(&self) -> ModelType {
        let ranks = self.model_type.as_ref().is_some_and(|kind| kind.contains_key("reranker"));
        if ranks { ModelType::Rerank } else { ModelType::Embedding }
    }
}

impl Provider for TextEmbeddingsInference {
    type Api = dyn InferenceProvider;
    type Config = TextEmbeddingsInferenceConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Inference,
            "remote::text-embeddings-inference",
            "The embedding or rerank model of a Text Embeddings Inference server.",
        )
    };

    async fn build(config: TextEmbeddingsInferenceConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = config.url.trim().trim_end_matches('/');
        let url = url.strip_suffix("/v1").unwrap_or(url).to_owned();
        let settings = Settings { url, key: config.api_key, ..Settings::default() };
        let vendor = Self { refresh_models: config.refresh_models };
        Ok(Arc::new(Adapter::new(deps.http, &DIALECT, settings, vendor)?))
    }
}

async fn info(upstream: &Connection) -> Result<Info> {
    let text = upstream.ask(Call::default(), "/info", LISTING).await?;
    serde_json::from_slice(&text).map_err(|error| unclear(DIALECT.name).caused_by(error))
}

fn unclear(name: &str) -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("{name} sent an answer that cannot be understood"))
}

/// The length of the vectors of the server's model.
async fn dimension(upstream: &Connection) -> Result<usize> {
    let mut body = Body::default();
    body.insert("input".to_owned(), json!(["length"]));
    body.insert("encoding_format".to_owned(), "float".into());
    let text = upstream.embeddings(Call::default(), EmbeddingRequest { body }).await?;
    let list: Value =
        serde_json::from_slice(&text).map_err(|error| unclear(DIALECT.name).caused_by(error))?;
    let vector = list.pointer("/data/0/embedding").and_then(Value::as_array);
    vector.map(Vec::len).ok_or_else(|| unclear(DIALECT.name))
}

#[async_trait]
impl Vendor for TextEmbeddingsInference {
    async fn on_register(&self, upstream: &Connection, mut model: Model) -> Result<Model> {
        if model.model_type == ModelType::Llm {
            let message = format!(
                "{} serves models of the types `embedding` and `rerank` only",
                DIALECT.name
            );
            return Err(Error::invalid(message));
        }
        let info = info(upstream).await?;
        let (kind, served) = (info.kind(), info.model_id);
        if model.provider_resource_id != served {
            return Err(Error::invalid(format!(
                "Model {} is not being served by {}. Available models: {served}",
                model.provider_resource_id, DIALECT.name
            )));
        }
        if model.model_type != kind {
            return Err(Error::invalid(format!(
                "{} serves {served} as a model of the type `{kind}`; register it so",
                DIALECT.name
            )));
        }
        if kind == ModelType::Embedding && !model.metadata.contains_key("embedding_dimension") {
            let dimension = dimension(upstream).await?;
            model.metadata.insert("embedding_dimension".to_owned(), dimension.into());
        }
        Ok(model)
    }

    async fn offered(&self, upstream: &Connection) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) {
            return Ok(None);
        }
        let info = info(upstream).await?;
        let mut metadata = Map::new();
        let kind = info.kind();
        if kind == ModelType::Embedding {
            metadata.insert("embedding_dimension".to_owned(), dimension(upstream).await?.into());
        }
        if let Some(length) = info.max_input_length {
            metadata.insert("context_length".to_owned(), length.into());
        }
        let id = info.model_id;
        Ok(Some(vec![offered_model(id.clone(), id, kind, metadata)]))
    }

    async fn check(&self, upstream: &Connection) -> Result<()> {
        upstream.ask(Call::default(), "/health", LISTING).await.map(drop)
    }
}
