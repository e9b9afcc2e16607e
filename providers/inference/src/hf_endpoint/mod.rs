//! Dedicated inference endpoints of Hugging Face.

#[cfg(test)]
mod tests;

use crate::{
    adapter::{Adapter, LISTING},
    text_generation::{DIALECT, TextGeneration},
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Result, Secret,
    models::Model,
    openai::{ChatRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, Deps, Hosts, Inference, InferenceProvider, Lifecycle, Provider,
    ProviderConfig, Spec, TextReply,
};
use chaski_upstream::{Http, Request, Url, openai::Settings};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::RwLock;

/// Where Hugging Face tells who a token belongs to.
const HUB: &str = "https://huggingface.co";
/// Where Hugging Face tells about endpoints.
const ENDPOINTS: &str = "https://api.endpoints.huggingface.cloud";
const NAME: &str = "Hugging Face";
const ANSWER_BYTES: usize = 1024 * 1024;

const DOCS: &str = "\
Serves the model of a dedicated [inference endpoint](https://huggingface.co/docs/inference-endpoints) of
Hugging Face that runs Text Generation Inference.

- `endpoint_name` is the name of the endpoint, with its namespace if that is not the one of the token's
  owner: `my-organisation/my-endpoint`. Its address is asked of Hugging Face with the token.
- An endpoint that is not running counts as unavailable until it is. One that was scaled to zero is woken up
  by the first request.
- For the rest it is `remote::tgi`: only the model of the endpoint can be registered, and the limit of an
  answer is fitted into what the endpoint can hold.
";

chaski_api::wire! {
    /// The configuration of `remote::hf::endpoint`.
    pub struct HfEndpointConfig {
        /// The name of the endpoint, with or without its namespace.
        pub endpoint_name: String = String::new(),
        /// A token that may read the endpoint and use it.
        pub api_token: Option<Secret>,
        /// Where Hugging Face tells who a token belongs to.
        pub hub_url: String = HUB.to_owned(),
        /// Where Hugging Face tells about endpoints.
        pub endpoints_url: String = ENDPOINTS.to_owned(),
        /// Whether the model of the endpoint is registered. By default it is if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for HfEndpointConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "endpoint_name": "${env.INFERENCE_ENDPOINT_NAME}",
            "api_token": "${env.HF_API_TOKEN}",
        })
    }
}

/// The provider `remote::hf::endpoint`.
pub(crate) struct HfEndpoint {
    http: Http,
    config: HfEndpointConfig,
    /// The server behind the endpoint, once its address is known.
    server: RwLock<Option<Server>>,
}

#[derive(Clone)]
struct Server {
    url: String,
    adapter: Arc<Adapter<TextGeneration>>,
}

impl Provider for HfEndpoint {
    type Api = dyn InferenceProvider;
    type Config = HfEndpointConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Inference,
            "remote::hf::endpoint",
            "The model of a dedicated inference endpoint of Hugging Face.",
        )
    };

    async fn build(config: HfEndpointConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        if config.endpoint_name.trim().is_empty() {
            return Err(Error::unavailable(
                "Hugging Face has no `endpoint_name` in the run configuration; \
                 set the name of an inference endpoint",
            ));
        }
        Ok(Arc::new(Self { http: deps.http, config, server: RwLock::new(None) }))
    }
}

impl HfEndpoint {
    /// The server behind the endpoint; its address is asked for once.
    async fn server(&self) -> Result<Arc<Adapter<TextGeneration>>> {
        let known = self.server.read().await.as_ref().map(|server| server.adapter.clone());
        match known {
            Some(adapter) => Ok(adapter),
            None => self.look_up().await,
        }
    }

    /// Asks Hugging Face for the state and the address of the endpoint.
    async fn look_up(&self) -> Result<Arc<Adapter<TextGeneration>>> {
        let name = self.config.endpoint_name.trim();
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (namespace.to_owned(), name),
            None => (self.owner().await?, name),
        };
        let steps = ["v2", "endpoint", namespace.as_str(), name];
        let endpoint = self.ask(&self.config.endpoints_url, &steps).await?;
        let at = |path: &str| endpoint.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let state = at("/status/state");
        if !matches!(state, "running" | "scaledToZero") {
            return Err(Error::unavailable(format!(
                "the endpoint `{name}` of Hugging Face is in the state `{state}`; \
                 it must be running"
            )));
        }
        let url = at("/status/url").trim_end_matches('/');
        let mut server = self.server.write().await;
        if let Some(known) = server.as_ref().filter(|server| server.url == url) {
            return Ok(known.adapter.clone());
        }
        let settings = Settings {
            url: url.to_owned(),
            key: self.config.api_token.clone(),
            ..Settings::default()
        };
        let vendor = TextGeneration::new(self.config.refresh_models);
        let adapter = Arc::new(Adapter::new(self.http.clone(), &DIALECT, settings, vendor)?);
        *server = Some(Server { url: url.to_owned(), adapter: adapter.clone() });
        Ok(adapter)
    }

    /// The name of the user or organisation that the token belongs to.
    async fn owner(&self) -> Result<String> {
        let owner = self.ask(&self.config.hub_url, &["api", "whoami-v2"]).await?;
        owner.get("name").and_then(Value::as_str).map(str::to_owned).ok_or_else(unclear)
    }

    async fn ask(&self, base: &str, steps: &[&str]) -> Result<Value> {
        let mut url = Url::parse(base).map_err(|_| {
            Error::invalid(format!("the URL of {NAME} is not a web address; leave it out"))
        })?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(steps);
        }
        let mut request = Request::get(NAME, url).first_byte_timeout(LISTING).read_timeout(LISTING);
        if let Some(token) = self.config.api_token.as_ref().filter(|token| !token.is_empty()) {
            request = request.bearer(token)?;
        }
        let answer = self.http.send(request).await?.success().await?;
        let body = answer.bytes(ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| unclear().caused_by(error))
    }
}

fn unclear() -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("{NAME} sent an answer that cannot be understood"))
}

#[async_trait]
impl Inference for HfEndpoint {
    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        self.server().await?.chat(cx, request).await
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        self.server().await?.completion(cx, request).await
    }
}

#[async_trait]
impl Hosts<Model> for HfEndpoint {
    async fn on_register(&self, model: Model) -> Result<Model> {
        self.server().await?.on_register(model).await
    }

    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        self.server().await?.offered().await
    }
}

#[async_trait]
impl Lifecycle for HfEndpoint {
    /// Asks Hugging Face and not the endpoint, which a question would wake up or keep awake.
    async fn check(&self) -> Result<()> {
        self.look_up().await.map(drop)
    }
}
