//! Chat models in this process, from GGUF files, by the engine llama.cpp.

mod chat;
mod completion;
mod projector;
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
use chaski_llm::{Error as Failure, LoadOptions, TextModel};
use chaski_provider::{
    ChatReply, Context, Deps, Hosts, Inference, InferenceProvider, Lifecycle, Provider,
    ProviderConfig, Spec, TextReply,
};
use chaski_upstream::Http;
use chaski_weights::{Catalogue, Kind, Store};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

const DOCS: &str = "\
Runs language models in the server process with [llama.cpp](https://github.com/ggml-org/llama.cpp), from GGUF files.

- The GGUF files in the weights folder are offered under their names without `.gguf`;
  `chaski model pull NAME` puts files there, `chaski model list` shows them.
- A model is loaded by the first request for it, in the background; `GET /v1/providers` shows how far
  it is, and what loaded models do, in `health.models` in numbers. Where memory is short, or
  `memory_limit_mb` says so, the models that were unused for the longest time are unloaded; one that is in
  use stays. One that does not fit is refused.
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
- What a model thinks before its answer, between `<think>` and `</think>`, comes in `reasoning_content`, where
  the template or the vocabulary in its file has these tags; also if the template begins the thoughts. Their
  tokens count as those of the answer, `stop` and `max_tokens` end them too, and they have no log
  probabilities. Answers with `response_format` and forced tool calls have no thoughts.
- An answer that a text of `stop` ended names it in `stop_reason` of the choice, as vLLM does.
- A forced tool call that `max_tokens` cuts is left out.
- `response_format` and forced tool calls are kept to by construction: no token is chosen that the
  schema does not allow. Near the limit (`max_tokens`, or the end of the context) the answer is brought to
  a valid end, and `finish_reason` is `length`. Limits that are too small for the schema still cut it.
- Without `temperature` it is 0.7, and without any of `top_p`, `top_k` and `min_p`, `min_p` is 0.05.
- The same `seed` gives the same answer to the same request, on the same machine with the same settings,
  while no other request is served. Answers that are computed side by side differ in the last digits, which
  can decide between two tokens that are about equally likely. `parallel: 1` rules that out.
- A model sees images when it has a projector, a second GGUF file: `mmproj-NAME.gguf` beside `NAME.gguf`, the only
  `mmproj*.gguf` in a folder with one model, or the one that `projectors` names. Images for other models are
  refused with status 400.
- Projectors of the kinds `mlp` (LLaVA 1.5), `idefics3` (SmolVLM) and `gemma3` are run. The engine would end the
  process for a projector that is broken, so that the shape of every array in the file is checked first, and
  files of other kinds are refused. No projector of a real model is small enough for the tests of this
  provider: they use projectors of random numbers, which show that images are computed, counted, kept apart
  and limited, and not that answers about them are good.
- Images are PNG, JPEG, GIF or WebP files in `data:` URLs, or behind `https:` and `http:` addresses, which are fetched
  unless they are private. A request may have 16 of them, each of 20 MB and 24 million pixels at most, and
  their tokens count as tokens of the prompt. Other answers pause while one image is encoded, and go on
  before the next. An image that was seen before in the same place of a prompt is not encoded again.
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
        /// The projectors of models that see images, by the names of the models: names of files in the
        /// folder, or paths of GGUF files.
        pub projectors: Option<BTreeMap<String, String>>,
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
    projectors: BTreeMap<String, String>,
    options: LoadOptions,
    http: Http,
}

impl Provider for LlamaCpp {
    type Api = dyn InferenceProvider;
    type Config = LlamaCppConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        streams_calls: true,
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
            projectors: config.projectors.unwrap_or_default(),
            options,
            http: deps.http.clone(),
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
        let projectors = BTreeMap::new();
        Self { shelf, store, models: None, projectors, options, http: deps.http.clone() }
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
        // The folder is looked at when the model is loaded, not for each request.
        let options = || -> chaski_llm::Result<LoadOptions> {
            let projector = self.projector(&path);
            let projector =
                projector.map_err(|error| Failure::Broken { message: error.message })?;
            Ok(LoadOptions { projector, ..self.options.clone() })
        };
        let key = path.to_string_lossy().into_owned();
        let needed = || {
            let (path, options) = (path.clone(), options());
            async move { TextModel::memory_needed(&path, &options?).await }
        };
        let load = |progress| {
            let (path, options) = (path.clone(), options());
            async move { TextModel::load(&path, options?, progress).await }
        };
        self.shelf.get(&key, needed, load).await
    }

    /// Answers a chat with the model of the file at `path`.
    pub(crate) async fn chat_with(
        &self,
        path: PathBuf,
        cx: &Context,
        mut request: ChatRequest,
    ) -> Result<ChatReply> {
        self.fetch_images(&path, &mut request).await?;
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
        let path = self.path(request.model())?;
        let mut request = request.clone();
        self.fetch_images(&path, &mut request).await?;
        let request = request::Chat::read(local::caller(cx), request)?;
        let model = self.load(path).await?;
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
        Ok(names.into_iter().filter_map(|name| self.offer(name)).collect())
    }

    /// The model called `name`, if it has a file.
    fn offer(&self, name: String) -> Option<Model> {
        let path = self.path(&name).ok()?;
        let mut metadata = Map::new();
        if matches!(self.projector(&path), Ok(Some(_))) {
            metadata.insert("capabilities".to_owned(), json!(["vision"]));
        }
        Some(offer(name, metadata))
    }
}

fn offer(name: String, metadata: Map<String, Value>) -> Model {
    Model {
        identifier: name.clone(),
        provider_resource_id: name,
        provider_id: String::new(),
        tag: ModelTag::Model,
        metadata,
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
