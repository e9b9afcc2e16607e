//! Chat models in this process, from GGUF files, by the engine llama.cpp.

mod chat;
mod completion;
mod request;
#[cfg(test)]
mod tests;

use crate::{
    local::{self, stem},
    shelf::Shelf,
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Result,
    inspect::ProviderHealth,
    models::{Model, ModelTag, ModelType},
    openai::{ChatRequest, TextCompletionRequest},
    wire::{AtLeast, Between},
};
use chaski_llm::{LoadOptions, TextModel};
use chaski_provider::{
    ChatReply, Context, Deps, Hosts, Inference, InferenceProvider, Lifecycle, Provider,
    ProviderConfig, Spec, TextReply,
};
use chaski_weights::{Catalogue, Kind, Store};
use serde_json::{Map, Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

const DOCS: &str = "\
Runs language models in the server process with [llama.cpp](https://github.com/ggml-org/llama.cpp), from GGUF files.

- The GGUF files in the weights folder are offered under their names without `.gguf`;
  `chaski model pull NAME` puts files there, `chaski model list` shows them.
- A model is loaded by the first request for it, in the background; `GET /v1/providers` shows how far
  it is, and what loaded models do. Where memory is short, or `memory_limit_mb` says so, the models that
  were unused for the longest time are unloaded; one that is in use stays. One that does not fit is refused.
- `parallel` requests are answered side by side, one token of each at a time; long prompts are read in
  pieces meanwhile. `queue_size` more of them wait, and callers take turns; further ones are refused with
  status 429, and `Retry-After` says when the queue will be served. A caller who goes away frees the
  model within one step.
- Requests share a memory of `cache_length` tokens. When it is full, the youngest request waits until
  there is room again. What prompts have in common, such as a system message or the turns of a chat so
  far, is computed once while there is room, for all callers; that it was there shows in the time to the
  first token.
- Chats are rendered with the template in the model file. Where that does not know tools, they are
  described in a system message. Tool calls are found in `<tool_call>` tags, as bare JSON and in fenced blocks.
- `response_format` and forced tool calls are kept to by construction: no token is chosen that the
  schema does not allow. Near the limit (`max_tokens`, or the end of the context) the answer is brought to
  a valid end, and `finish_reason` is `length`. Limits that are too small for the schema still cut it.
- Without `temperature` it is 0.7, and without any of `top_p`, `top_k` and `min_p`, `min_p` is 0.05.
- The same `seed` gives the same answer to the same request, on the same machine with the same settings,
  while no other request is served. Answers that are computed side by side differ in the last digits, which
  can decide between two tokens that are about equally likely. `parallel: 1` rules that out.
- Images are refused with status 400: projector files (`mmproj-*.gguf`) are not read by this build. The part
  of llama.cpp that reads them adds minutes to each build, and no weights that are small enough to
  test it with are at hand. For images, put vLLM, Ollama or llama.cpp's own server behind this one.
";

chaski_api::wire! {
    /// The configuration of `inline::llama-cpp`.
    pub struct LlamaCppConfig {
        /// The models to offer: names of files in the folder, or paths of GGUF files. By default all
        /// chat models of the folder are offered.
        pub models: Option<Vec<String>>,
        /// The folder with GGUF files, in place of the weights folder of Chaski.
        pub models_dir: Option<String>,
        /// The most tokens of a prompt and its answer together. By default what the model was trained
        /// for, but at most 8192. Memory grows with it.
        pub context_length: Option<AtLeast<16>>,
        /// The most tokens of all requests together that are kept in memory. By default as many as one
        /// request may have. Memory grows with it.
        pub cache_length: Option<AtLeast<16>>,
        /// Requests that are answered at the same time.
        pub parallel: AtLeast<1> = Between(8),
        /// Threads that compute. By default all cores but one, which is left for the network.
        pub threads: Option<AtLeast<1>>,
        /// Threads that compute prompts, and answers side by side. By default `threads`; if that is not
        /// given either, as many as there are cores.
        pub batch_threads: Option<AtLeast<1>>,
        /// Layers on the graphics card, in builds that can use one.
        pub gpu_layers: AtLeast<0> = Between(999),
        /// Requests that wait for a model at most.
        pub queue_size: AtLeast<1> = Between(64),
        /// The memory that loaded models may take together, in megabytes. By default what is free.
        pub memory_limit_mb: Option<AtLeast<1>>,
        /// Models to load when the server starts.
        pub preload: Option<Vec<String>>,
    }
}

/// The engine tells this many requests apart, with room for texts that it remembers.
const MOST_PARALLEL: u32 = 240;

impl ProviderConfig for LlamaCppConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }
}

/// The provider `inline::llama-cpp`.
#[derive(Clone)]
pub(crate) struct LlamaCpp {
    shelf: Arc<Shelf<TextModel>>,
    store: Store,
    /// The files outside the folder, and the names that alone are offered.
    models: Option<Vec<String>>,
    options: LoadOptions,
}

impl Provider for LlamaCpp {
    type Api = dyn InferenceProvider;
    type Config = LlamaCppConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Inference,
            "inline::llama-cpp",
            "Language models in the server process, from GGUF files.",
        )
    };

    async fn build(config: LlamaCppConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        Ok(Arc::new(Self::new(config, &deps)))
    }
}

impl LlamaCpp {
    fn new(config: LlamaCppConfig, deps: &Deps) -> Self {
        let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let given = |threads: Option<AtLeast<1>>| threads.map(|threads| threads.0);
        let threads = local::threads(given(config.threads), given(config.batch_threads), deps);
        let limit = config.memory_limit_mb.map(|limit| local::megabytes(limit.0));
        let options = LoadOptions {
            context_length: config.context_length.map(|length| number(length.0)),
            cache_length: config.cache_length.map(|length| number(length.0)),
            parallel: number(config.parallel.0).min(MOST_PARALLEL),
            threads: threads.one,
            batch_threads: threads.batch,
            gpu_layers: number(config.gpu_layers.0),
            queue_size: usize::try_from(config.queue_size.0).unwrap_or(1).min(100_000),
            ..LoadOptions::default()
        };
        let dir = config.models_dir.map_or_else(|| deps.weights_dir.clone(), PathBuf::from);
        let provider = Self {
            shelf: Arc::new(Shelf::new(deps.tasks.clone(), limit)),
            store: Store::new(dir),
            models: config.models,
            options,
        };
        for name in config.preload.unwrap_or_default() {
            let provider = provider.clone();
            deps.tasks.spawn(async move {
                if let Err(error) = provider.model(&name).await {
                    let why = error.chain();
                    tracing::warn!(target: "inference", "`{name}` was not loaded: {why}");
                }
            });
        }
        provider
    }

    /// A provider of the files in `store`, for other types of providers.
    pub(crate) fn with_options(store: Store, options: LoadOptions, deps: &Deps) -> Self {
        let shelf = Arc::new(Shelf::new(deps.tasks.clone(), None));
        Self { shelf, store, models: None, options }
    }

    /// The file of the model called `name`.
    fn path(&self, name: &str) -> Result<PathBuf> {
        let configured = self.models.iter().flatten().filter(|model| is_path(model));
        match configured.map(Path::new).find(|path| stem(path) == name) {
            Some(path) => Ok(path.to_owned()),
            None => self.store.path(name),
        }
    }

    /// The loaded model called `name`.
    async fn model(&self, name: &str) -> Result<TextModel> {
        self.load(self.path(name)?).await
    }

    /// The loaded model of the file at `path`.
    async fn load(&self, path: PathBuf) -> Result<TextModel> {
        let options = self.options.clone();
        let key = path.to_string_lossy().into_owned();
        let needed = || {
            let (path, options) = (path.clone(), options.clone());
            async move { TextModel::memory_needed(&path, &options).await }
        };
        let load = |progress| {
            let (path, options) = (path.clone(), options.clone());
            async move { TextModel::load(&path, options, progress).await }
        };
        self.shelf.get(&key, needed, load).await
    }

    /// Answers a chat with the model of the file at `path`.
    pub(crate) async fn chat_with(
        &self,
        path: PathBuf,
        cx: &Context,
        request: ChatRequest,
    ) -> Result<ChatReply> {
        let request = request::Chat::read(local::caller(cx), request)?;
        chat::reply(&self.load(path).await?, request).await
    }

    /// Completes texts with the model of the file at `path`.
    pub(crate) async fn completion_with(
        &self,
        path: PathBuf,
        cx: &Context,
        request: TextCompletionRequest,
    ) -> Result<TextReply> {
        let request = request::Completion::read(&local::caller(cx), request)?;
        completion::reply(&self.load(path).await?, request).await
    }
}

fn is_path(model: &str) -> bool {
    model.contains(std::path::MAIN_SEPARATOR)
}

#[async_trait]
impl Inference for LlamaCpp {
    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        self.chat_with(self.path(request.model())?, cx, request).await
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        self.completion_with(self.path(request.model())?, cx, request).await
    }

    async fn chat_tokens(&self, cx: &Context, request: &ChatRequest) -> Result<Option<i64>> {
        let request = request::Chat::read(local::caller(cx), request.clone())?;
        let model = self.model(&request.model).await?;
        let count = model.count(request.request.prompt).await.map_err(local::failed)?;
        Ok(Some(i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

#[async_trait]
impl Hosts<Model> for LlamaCpp {
    async fn on_register(&self, model: Model) -> Result<Model> {
        if model.model_type != ModelType::Llm {
            return Err(Error::invalid(
                "`inline::llama-cpp` serves models that generate text; \
                 register others with `inline::sentence-transformers`",
            ));
        }
        let id = &model.provider_resource_id;
        // Models of the catalogue may be fetched later.
        if Catalogue::find(id).is_none_or(|weights| weights.kind != Kind::Chat) {
            self.path(id).map_err(|error| Error::new(ErrorKind::InvalidRequest, error.message))?;
        }
        Ok(model)
    }

    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        let provider = self.clone();
        // Reading the headers of files waits for the disk.
        let models = tokio::task::spawn_blocking(move || provider.files());
        models.await.map_err(Error::internal)?.map(Some)
    }
}

impl LlamaCpp {
    fn files(&self) -> Result<Vec<Model>> {
        let installed = self.store.list()?;
        let chat = installed.into_iter().filter(|installed| installed.kind == Kind::Chat);
        let names: Vec<String> = match &self.models {
            None => chat.map(|installed| installed.name).collect(),
            Some(models) => models
                .iter()
                .map(|model| if is_path(model) { stem(Path::new(model)) } else { model.clone() })
                .collect(),
        };
        Ok(names.into_iter().filter(|name| self.path(name).is_ok()).map(offer).collect())
    }
}

fn offer(name: String) -> Model {
    Model {
        identifier: name.clone(),
        provider_resource_id: name,
        provider_id: String::new(),
        tag: ModelTag::Model,
        metadata: Map::new(),
        model_type: ModelType::Llm,
    }
}

#[async_trait]
impl Lifecycle for LlamaCpp {
    fn health(&self) -> ProviderHealth {
        self.shelf.health()
    }

    async fn shutdown(&self) {
        self.shelf.clear();
    }
}
