//! Embedding and rerank models in this process, with the numbers of the library Sentence
//! Transformers.

mod rerank;
#[cfg(test)]
mod tests;

use crate::{
    local::{self, failed, inputs},
    shelf::{self, Shelf},
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use chaski_api::{
    Api, Error, ErrorKind, Result,
    inspect::ProviderHealth,
    models::{Model, ModelTag, ModelType},
    openai::{
        ChatRequest, Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage, RerankRequest,
        TextCompletionRequest,
    },
    wire::{AtLeast, Between},
};
use chaski_llm::{Embedder, Input, LoadOptions, Reranker, gguf::Header};
use chaski_provider::{
    ChatReply, Context, Deps, EmbeddingReply, Hosts, Inference, InferenceProvider, Lifecycle,
    Payload, Provider, ProviderConfig, RerankReply, Spec, TextReply, TokenCounter,
};
use chaski_weights::{Catalogue, Installed, Kind, Store};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, sync::Arc};

const DOCS: &str = "\
Turns texts into vectors in the server process, without Python: `all-MiniLM-L6-v2` by default, and any GGUF
embedding model in the weights folder.

- `all-MiniLM-L6-v2` and `sentence-transformers/all-MiniLM-L6-v2` mean the same model;
  `chaski model pull all-MiniLM-L6-v2` fetches its weights.
- The vectors are those of the original: the mean of all tokens, scaled to the length 1. As there, a
  text is cut after 256 tokens (for other models, after as many as they were trained for, at most 512).
- Chunks of vector stores are measured in the tokens of the model, by the vocabulary in its file.
- BERT models with 32- or 16-bit numbers are computed on the processor by an encoder of Chaski's own, which is
  faster there; all other models, and builds that use a graphics card, leave it to llama.cpp.
- `dimensions` cuts the vectors and scales them to the length 1 again.
- GGUF files of cross-encoders (`bge-reranker-v2-m3`, `jina-reranker-v2` and others with one score) are
  registered with the model type `rerank`. No model of that kind is in the catalogue, because their makers
  publish none as GGUF; `chaski model pull hf://gpustack/bge-reranker-v2-m3-GGUF/bge-reranker-v2-m3-Q8_0.gguf`
  fetches a conversion by others. Scores go from 0 to 1 (the sigmoid of the model's output); of a query and
  a document together 512 tokens are read. The segment of a token is not told to BERT models: scores of
  those that were trained with two segments, such as MiniLM cross-encoders, are a little off.
- A model is loaded by the first request for it. Where memory is short, or `memory_limit_mb` says so,
  the models that were unused for the longest time are unloaded.
- Each thread computes texts of its own, and requests take turns: one with many texts does not hold up
  the others. When `queue_size` requests wait, further ones are refused with status 429.
";

chaski_api::wire! {
    /// The configuration of `inline::sentence-transformers`.
    pub struct SentenceTransformersConfig {
        /// The folder with GGUF files, in place of the weights folder of Chaski.
        pub models_dir: Option<String>,
        /// Threads that compute, each on texts of its own. By default as many as there are cores;
        /// they go behind the network.
        pub threads: Option<AtLeast<1>>,
        /// Requests that wait for a model at most.
        pub queue_size: AtLeast<1> = Between(256),
        /// The memory that loaded models may take together, in megabytes. By default what is free.
        pub memory_limit_mb: Option<AtLeast<1>>,
    }
}

impl ProviderConfig for SentenceTransformersConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }
}

/// The tokens that the original reads of a text: its `max_seq_length`.
const MAX_TOKENS: usize = 256;

/// The provider `inline::sentence-transformers`.
pub(crate) struct SentenceTransformers {
    shelf: Shelf<Embedder>,
    rerankers: Shelf<Reranker>,
    store: Store,
    options: LoadOptions,
}

impl Provider for SentenceTransformers {
    type Api = dyn InferenceProvider;
    type Config = SentenceTransformersConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Inference,
            "inline::sentence-transformers",
            "Embedding and rerank models in the server process, without Python.",
        )
    };

    async fn build(config: SentenceTransformersConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let dir = config.models_dir.map_or_else(|| deps.weights_dir.clone(), PathBuf::from);
        let threads = local::threads(None, config.threads.map(|threads| threads.0), &deps);
        let limit = config.memory_limit_mb.map(|limit| local::megabytes(limit.0));
        Ok(Arc::new(Self {
            store: Store::new(dir),
            options: LoadOptions {
                threads: threads.one,
                batch_threads: threads.batch,
                queue_size: usize::try_from(config.queue_size.0).unwrap_or(1).min(100_000),
                ..LoadOptions::default()
            },
            shelf: Shelf::new(deps.tasks.clone(), limit),
            rerankers: Shelf::new(deps.tasks, limit),
        }))
    }
}

impl SentenceTransformers {
    async fn model(&self, name: &str) -> Result<Embedder> {
        let path = self.store.path(name)?;
        let options = self.options.clone();
        let known = Catalogue::find(name).is_some();
        let most = if known { MAX_TOKENS } else { usize::MAX };
        let key = path.to_string_lossy().into_owned();
        let needed = || {
            let (path, options) = (path.clone(), options.clone());
            async move { Embedder::memory_needed(&path, &options).await }
        };
        let load = |progress| {
            let (path, options) = (path.clone(), options.clone());
            async move { Embedder::load(&path, most, options, progress).await }
        };
        self.shelf.get(&key, needed, load).await
    }
}

#[async_trait]
impl Inference for SentenceTransformers {
    async fn chat(&self, _cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        Err(only_embeds(request.model(), "chat completions"))
    }

    async fn completion(&self, _cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        Err(only_embeds(request.model(), "completions"))
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        let body = &request.body;
        let texts =
            inputs(body.get("input"), "input", |text| Input::Text(text.to_owned()), Input::Tokens)?;
        let base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
        let model = self.model(request.model()).await?;
        let length = length(body.get("dimensions"), model.dimensions())?;
        let found = model.embed(local::caller(cx), texts).await.map_err(failed)?;
        let data = (0..).zip(found.vectors).map(|(index, mut vector)| {
            shorten(&mut vector, length);
            let embedding = if base64 { encoded(&vector) } else { json!(vector) };
            Embedding { object: "embedding".to_owned(), index, embedding }
        });
        let tokens = i64::try_from(found.tokens).unwrap_or(i64::MAX);
        Ok(Payload::Value(EmbeddingList {
            object: "list".to_owned(),
            data: data.collect(),
            model: request.model().to_owned(),
            usage: Some(EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens }),
        }))
    }

    async fn rerank(&self, _cx: &Context, request: RerankRequest) -> Result<RerankReply> {
        self.scores(&request).await
    }

    async fn token_counter(&self, _cx: &Context, model: &str) -> Result<Option<TokenCounter>> {
        let counter = self.model(model).await?.counter().map_err(failed)?;
        Ok(Some(TokenCounter::new(move |text| counter.count(text))))
    }
}

fn offered_model(name: String, model_type: ModelType, metadata: Map<String, Value>) -> Model {
    Model {
        identifier: name.clone(),
        provider_resource_id: name,
        provider_id: String::new(),
        tag: ModelTag::Model,
        metadata,
        model_type,
    }
}

fn only_embeds(model: &str, what: &str) -> Error {
    Error::invalid(format!(
        "model `{model}` is an embedding model, and `inline::sentence-transformers` does not \
         support {what}"
    ))
    .with_param("model")
}

fn length(wanted: Option<&Value>, own: usize) -> Result<usize> {
    let wanted = wanted.and_then(Value::as_u64).and_then(|wanted| usize::try_from(wanted).ok());
    match wanted {
        Some(wanted) if wanted > own => Err(Error::invalid(format!(
            "`dimensions` is {wanted}, and the vectors of this model have {own} numbers"
        ))
        .with_param("dimensions")),
        wanted => Ok(wanted.unwrap_or(own)),
    }
}

/// Cuts a vector and scales what is left to the length 1.
fn shorten(vector: &mut Vec<f32>, length: usize) {
    if length >= vector.len() {
        return;
    }
    vector.truncate(length);
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        for x in vector {
            *x /= norm;
        }
    }
}

/// Little-endian 32-bit numbers in base64.
fn encoded(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes).into()
}

#[async_trait]
impl Hosts<Model> for SentenceTransformers {
    async fn on_register(&self, mut model: Model) -> Result<Model> {
        let id = &model.provider_resource_id;
        if model.model_type == ModelType::Rerank {
            self.check_ranks(id)?;
            return Ok(model);
        }
        match Catalogue::find(id) {
            // Models of the catalogue may be fetched later.
            Some(weights) if weights.kind == Kind::Embedding => {}
            _ => {
                let path = self.store.path(id);
                path.map_err(|error| Error::new(ErrorKind::InvalidRequest, error.message))?;
            }
        }
        if model.model_type != ModelType::Embedding {
            return Err(Error::invalid(
                "`inline::sentence-transformers` serves embedding and rerank models; \
                 register it with the model type `embedding` or `rerank`",
            ));
        }
        if model.embedding_dimension().is_none()
            && let Ok(path) = self.store.path(&model.provider_resource_id)
            && let Ok(header) = Header::read(&path)
        {
            let dimension = header.facts().embedding_length;
            model.metadata.insert("embedding_dimension".to_owned(), dimension.into());
        }
        Ok(model)
    }

    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        let store = self.store.clone();
        // Reading the headers of files waits for the disk.
        let models = tokio::task::spawn_blocking(move || offered(&store));
        models.await.map_err(Error::internal)?.map(Some)
    }
}

fn offered(store: &Store) -> Result<Vec<Model>> {
    let model = |installed: Installed| {
        let mut metadata = Map::new();
        let model_type = match installed.kind {
            Kind::Chat | Kind::Projector => return None,
            Kind::Rerank => ModelType::Rerank,
            Kind::Embedding => {
                let dimension = Header::read(&installed.path).ok()?.facts().embedding_length;
                metadata.insert("embedding_dimension".to_owned(), dimension.into());
                ModelType::Embedding
            }
        };
        Some(offered_model(installed.name, model_type, metadata))
    };
    Ok(store.list()?.into_iter().filter_map(model).collect())
}

#[async_trait]
impl Lifecycle for SentenceTransformers {
    fn health(&self) -> ProviderHealth {
        shelf::together(self.shelf.health(), self.rerankers.health())
    }

    async fn shutdown(&self) {
        self.shelf.clear();
        self.rerankers.clear();
    }
}
