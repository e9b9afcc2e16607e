//! Providers for the tests: what they do is scripted under the `url` of their settings.

use crate::{Catalog, Stack, StackOptions, config::RunConfig};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result, Secret, Wire,
    models::Model,
    openai::{ChatRequest, EmbeddingList, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, Deps, EmbeddingReply, Entry, Hosts, Inference, InferenceProvider,
    Lifecycle, Payload, Provider, ProviderConfig, Reply, Spec, Tasks, TextReply,
};
use chaski_store::{KvStore, Memory};
pub(crate) use chaski_testkit::eventually;
use futures_util::{StreamExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

chaski_api::wire! {
    /// Settings.
    pub struct FakeConfig {
        /// The script.
        pub url: Option<String>,
        /// A number.
        pub max_tokens: Option<i64>,
        /// A secret.
        pub api_token: Option<Secret>,
        /// A secret.
        pub api_key: Option<Secret>,
        /// A truth value.
        pub tls_verify: bool = true,
        /// Whether to list offers.
        pub refresh_models: bool = false,
    }
}

impl ProviderConfig for FakeConfig {
    fn sample(_: &str) -> Value {
        json!({ "url": "${env.VLLM_URL}" })
    }

    fn validate(&self, reader: &mut Reader) {
        if self.url.as_deref() == Some("bad") {
            reader.key("url", |reader| reader.issue::<()>("url", "must be an address"));
        }
    }
}

/// Whether one thing that a fake does fails or hangs.
#[derive(Default)]
pub(crate) struct Fail(Mutex<(Option<String>, bool)>, AtomicUsize);

impl Fail {
    pub(crate) fn fails(&self, why: &str) {
        *self.0.lock().unwrap() = (Some(why.to_owned()), false);
    }

    pub(crate) fn works(&self) {
        *self.0.lock().unwrap() = (None, false);
    }

    pub(crate) fn hangs(&self) {
        *self.0.lock().unwrap() = (None, true);
    }

    /// How often it was done.
    pub(crate) fn count(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }

    async fn outcome(&self) -> Result<()> {
        let (failure, hangs) = self.0.lock().unwrap().clone();
        self.1.fetch_add(1, Ordering::SeqCst);
        if hangs {
            std::future::pending::<()>().await;
        }
        failure.map_or(Ok(()), |why| Err(Error::unavailable(why)))
    }
}

/// Answers chats in place of the fake, given what is asked.
pub(crate) type Chats =
    Arc<dyn Fn(&ChatRequest) -> BoxFuture<'static, Result<ChatReply>> + Send + Sync>;

/// What a fake does, and what it saw.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) build: Fail,
    pub(crate) check: Fail,
    pub(crate) register: Fail,
    /// Put in front of the provider's id of registered models.
    pub(crate) prefix: Mutex<String>,
    pub(crate) offered: Mutex<Option<Vec<Model>>>,
    pub(crate) registered: Mutex<Vec<String>>,
    pub(crate) unregistered: Mutex<Vec<String>>,
    pub(crate) bodies: Mutex<Vec<Value>>,
    pub(crate) keys: Mutex<Vec<(Option<String>, Option<String>)>>,
    pub(crate) stopped: AtomicUsize,
    pub(crate) chats: Mutex<Option<Chats>>,
    /// What everything but a chat fails with.
    pub(crate) refusal: Mutex<Option<ErrorKind>>,
}

impl Script {
    /// Answers chats so from now on.
    pub(crate) fn chats(
        &self,
        answer: impl Fn(&ChatRequest) -> BoxFuture<'static, Result<ChatReply>> + Send + Sync + 'static,
    ) {
        *self.chats.lock().unwrap() = Some(Arc::new(answer));
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }

    fn refused(&self) -> Result<()> {
        let refusal = self.refusal.lock().unwrap().clone();
        refusal.map_or(Ok(()), |kind| Err(Error::new(kind, "told to")))
    }
}

static SCRIPTS: LazyLock<Mutex<HashMap<String, Arc<Script>>>> = LazyLock::new(Mutex::default);

/// The script of the providers with this `url`.
pub(crate) fn script(url: &str) -> Arc<Script> {
    Arc::clone(SCRIPTS.lock().unwrap().entry(url.to_owned()).or_default())
}

struct Fake(Arc<Script>);

impl Fake {
    fn seen(&self, cx: &Context, body: &chaski_api::openai::Body) {
        let text = |key: &str| cx.provider_data.text(key).map(str::to_owned);
        self.0.keys.lock().unwrap().push((text("fake_api_key"), text("other_api_key")));
        self.0.bodies.lock().unwrap().push(body.clone().into());
    }
}

#[async_trait]
impl Inference for Fake {
    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        self.seen(cx, &request.body);
        let told = self.0.chats.lock().unwrap().clone();
        if let Some(told) = told {
            return told(&request).await;
        }
        let event = || Ok(Payload::Raw("{}".into()));
        let events = vec![event(), Err(Error::internal("first")), event(), event()];
        Ok(Reply::Stream(futures_util::stream::iter(events).boxed()))
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        self.seen(cx, &request.body);
        self.0.refused()?;
        let said = json!({ "choices": [{ "text": "said" }] });
        Ok(Reply::Full(Payload::Raw(said.to_string().into())))
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        self.seen(cx, &request.body);
        self.0.refused()?;
        let list = json!({ "data": [] });
        Ok(Payload::Value(EmbeddingList::from_json(list).unwrap()))
    }
}

#[async_trait]
impl Hosts<Model> for Fake {
    async fn on_register(&self, mut model: Model) -> Result<Model> {
        self.0.register.outcome().await?;
        self.0.registered.lock().unwrap().push(model.identifier.clone());
        let prefix = self.0.prefix.lock().unwrap();
        if !model.provider_resource_id.starts_with(&*prefix) {
            model.provider_resource_id = format!("{prefix}{}", model.provider_resource_id);
        }
        Ok(model)
    }

    async fn on_unregister(&self, model: &Model) -> Result<()> {
        self.0.unregistered.lock().unwrap().push(model.identifier.clone());
        Ok(())
    }

    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        Ok(self.0.offered.lock().unwrap().clone())
    }
}

#[async_trait]
impl Lifecycle for Fake {
    async fn check(&self) -> Result<()> {
        self.0.check.outcome().await
    }

    async fn shutdown(&self) {
        self.0.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

async fn build(config: FakeConfig) -> Result<Arc<dyn InferenceProvider>> {
    let script = script(config.url.as_deref().unwrap_or_default());
    script.build.outcome().await?;
    Ok(Arc::new(Fake(script)))
}

macro_rules! fakes {
    ($($name:ident = $provider_type:literal),*) => {
        $(struct $name;
        impl Provider for $name {
            type Api = dyn InferenceProvider;
            type Config = FakeConfig;
            const SPEC: Spec = Spec {
                provider_data: &["fake_api_key"],
                ..Spec::new(Api::Inference, $provider_type, "A fake.")
            };
            async fn build(config: FakeConfig, _: Deps) -> Result<Arc<dyn InferenceProvider>> {
                build(config).await
            }
        })*
        const FAKES: &[Entry<dyn InferenceProvider>] = &[$(Entry::of::<$name>()),*];
    };
}

fakes! {
    LlamaCpp = "inline::llama-cpp",
    SentenceTransformers = "inline::sentence-transformers",
    Ollama = "remote::ollama",
    Vllm = "remote::vllm",
    OpenAi = "remote::openai"
}

pub(crate) fn catalog() -> Catalog {
    Catalog { inference: FAKES, ..Catalog::default() }
}

/// The services of a stack in a test.
pub(crate) fn deps() -> Deps {
    Deps {
        http: chaski_upstream::Http::new(chaski_upstream::HttpOptions::default()).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: chaski_provider::Cpu::new(1),
        documents: chaski_provider::Documents::in_process(),
        environment: chaski_provider::Environment::default(),
        tasks: Tasks::default(),
        routers: chaski_provider::Routers::default(),
    }
}

/// Where callers' data goes in a test.
pub(crate) fn data() -> crate::Data {
    crate::Data::in_memory(&std::env::temp_dir().join("chaski-stack-tests")).unwrap()
}

/// A run configuration with these `providers.inference` and `models`.
#[expect(clippy::needless_pass_by_value, reason = "so that the tests can write literals")]
pub(crate) fn config(inference: Value, models: Value) -> RunConfig {
    RunConfig::from_json(json!({
        "version": "2", "image_name": "t",
        "providers": { "inference": inference }, "models": models,
    }))
    .unwrap()
}

/// A provider entry of a type that the catalogue has, following the script at `url`.
pub(crate) fn entry(id: &str, url: &str) -> Value {
    json!({ "provider_id": id, "provider_type": "remote::vllm", "config": { "url": url } })
}

pub(crate) async fn start_on(config: RunConfig, store: Arc<dyn KvStore>) -> Arc<Stack> {
    let raw = Value::Null;
    Stack::start(StackOptions {
        config,
        raw,
        catalog: catalog(),
        deps: deps(),
        store,
        data: data(),
    })
    .await
    .unwrap()
}

pub(crate) async fn start(config: RunConfig) -> Arc<Stack> {
    start_on(config, Arc::new(Memory::default())).await
}
