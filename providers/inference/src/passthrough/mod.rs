//! Another Llama Stack server, by whichever of its faces it has: OpenAI's, or Llama Stack's own.

mod face;
mod native;
#[cfg(feature = "fuzzing")]
pub(crate) use native::fuzzing;
#[cfg(test)]
mod tests;

use crate::{
    adapter::{LISTING, offered_model},
    images,
};
use async_trait::async_trait;
use chaski_api::{
    Api, Error, Result, Secret,
    models::{Model, ModelType},
    openai::{ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, Deps, EmbeddingReply, Hosts, Inference, InferenceProvider, Lifecycle,
    Payload, Provider, ProviderConfig, Reply, Spec, TextReply,
};
use chaski_upstream::{
    Http,
    openai::{Answer, Call},
};
use face::{Face, Known, Server};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The server in messages.
const NAME: &str = "the Llama Stack server";
/// What callers may pass; of two names for the same the first counts. The reference reads the
/// first names and declares the second ones.
const URL_KEYS: [&str; 2] = ["passthrough_url", "url"];
const API_KEY_KEYS: [&str; 2] = ["passthrough_api_key", "api_key"];

const DOCS: &str = "\
Passes requests on to another Llama Stack server: Chaski, OGX, or the reference.

- Its OpenAI routes are used where it has them (`/v1/chat/completions`, or `/v1/openai/v1/...`), and
  its Llama Stack routes (`/v1/inference/...`) otherwise. Which it has is looked up once, from its list
  of routes, and again when it has been unreachable.
- The Llama Stack routes have no place for all that OpenAI's have: nested schemas of tool parameters,
  `seed`, penalties, `n` and the log probabilities beyond a list per token do not reach the server.
- A caller may name the server and its key in the header `X-LlamaStack-Provider-Data`:
  `{\"passthrough_url\": \"...\", \"passthrough_api_key\": \"...\"}`. An address that a caller names must
  be public, or listed in `server.egress_allow`, unless it is that of the configuration; the key of
  the configuration is never sent to another address.
- Images at addresses are fetched by this server and sent as data; private addresses are refused unless
  `server.egress_allow` lists them.
- Without models of this provider in the run configuration, those that the server lists are
  registered; `refresh_models` switches that on or off.
";

chaski_api::wire! {
    /// The configuration of `remote::passthrough`.
    pub struct PassthroughConfig {
        /// The URL of the server, used where a caller names none.
        pub url: Option<String>,
        /// The key that the server asks for, sent as a bearer token.
        pub api_key: Option<Secret>,
        /// Whether the models that the server lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for PassthroughConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "url": "${env.PASSTHROUGH_URL}", "api_key": "${env.PASSTHROUGH_API_KEY}" })
    }
}

/// The provider `remote::passthrough`.
pub(crate) struct Passthrough {
    /// The server of the configuration.
    configured: Option<Server>,
    /// For addresses that callers name.
    public: Http,
    /// Which faces the servers have that callers named.
    known: Known,
    refresh_models: Option<bool>,
}

impl Provider for Passthrough {
    type Api = dyn InferenceProvider;
    type Config = PassthroughConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[URL_KEYS[0], API_KEY_KEYS[0], URL_KEYS[1], API_KEY_KEYS[1]],
        ..Spec::new(Api::Inference, "remote::passthrough", "Models of another Llama Stack server.")
    };

    async fn build(config: PassthroughConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let url = config.url.filter(|url| !url.trim().is_empty());
        let configured = url.map(|url| Server::new(deps.http.clone(), &url, config.api_key));
        Ok(Arc::new(Self {
            configured: configured.transpose()?,
            public: deps.http.for_addresses_of_callers(),
            known: Known::default(),
            refresh_models: config.refresh_models,
        }))
    }
}

impl Passthrough {
    /// The face of the server that the caller or the configuration names, and what accompanies the
    /// call.
    async fn upstream<'a>(&self, cx: &'a Context) -> Result<(Face, Call<'a>)> {
        let given = |keys: [&str; 2]| keys.iter().find_map(|key| cx.provider_data.text(key));
        let (key, trace) = (given(API_KEY_KEYS), cx.spans.parent());
        let (request_id, deadline, repeats) = (&cx.request_id, cx.deadline, Some(&cx.repeats));
        let call = Call { key, request_id, deadline, trace, repeats };
        match (given(URL_KEYS), &self.configured) {
            (None, Some(server)) => Ok((server.face(call).await?, call)),
            (Some(url), Some(server)) if server.is_at(url) => Ok((server.face(call).await?, call)),
            (Some(url), _) => Ok((self.known.face(&self.public, url, call).await?, call)),
            (None, None) => {
                let name = URL_KEYS[0];
                Err(Error::invalid(format!(
                    "no URL of a Llama Stack server: pass it in the header \
                     `X-LlamaStack-Provider-Data` as `{{\"{name}\": \"<the URL>\"}}`, or set `url` \
                     in the run configuration"
                )))
            }
        }
    }
}

/// The same answer with the types of the trait.
fn reply<F, E: Send + 'static>(answer: Answer) -> Reply<F, E> {
    match answer {
        Answer::Full(body) => Reply::Full(Payload::Raw(body)),
        Answer::Stream(relay) => Reply::Stream(relay.map(|event| event.map(Payload::Raw)).boxed()),
    }
}

#[async_trait]
impl Inference for Passthrough {
    async fn chat(&self, cx: &Context, mut request: ChatRequest) -> Result<ChatReply> {
        images::inline(&self.public, &mut request).await?;
        match self.upstream(cx).await? {
            (Face::OpenAi(upstream), call) => upstream.chat(call, request).await.map(reply),
            (Face::LlamaStack(upstream), call) => upstream.chat(call, &request).await,
        }
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        match self.upstream(cx).await? {
            (Face::OpenAi(upstream), call) => upstream.completion(call, request).await.map(reply),
            (Face::LlamaStack(upstream), call) => upstream.completion(call, &request).await,
        }
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        match self.upstream(cx).await? {
            (Face::OpenAi(upstream), call) => {
                upstream.embeddings(call, request).await.map(Payload::Raw)
            }
            (Face::LlamaStack(upstream), call) => {
                upstream.embeddings(call, &request).await.map(Payload::Value)
            }
        }
    }
}

/// A model as both faces list it.
#[derive(Deserialize)]
struct Listed {
    identifier: Option<String>,
    id: Option<String>,
    model_type: Option<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

impl Listed {
    fn model(self) -> Option<Model> {
        let id = self.identifier.or(self.id)?;
        let embeds = self.model_type.as_deref() == Some(ModelType::Embedding.as_str());
        let model_type = if embeds { ModelType::Embedding } else { ModelType::Llm };
        Some(offered_model(id.clone(), id, model_type, self.metadata))
    }
}

#[async_trait]
impl Hosts<Model> for Passthrough {
    /// The server knows its models, and callers may name another server: nothing is checked.
    async fn on_register(&self, model: Model) -> Result<Model> {
        Ok(model)
    }

    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        let Some(server) = self.configured.as_ref().filter(|_| self.refresh_models != Some(false))
        else {
            return Ok(None);
        };
        let listed: Vec<Listed> = server.list("/v1/models", LISTING).await?;
        Ok(Some(listed.into_iter().filter_map(Listed::model).collect()))
    }
}

#[async_trait]
impl Lifecycle for Passthrough {
    async fn check(&self) -> Result<()> {
        match &self.configured {
            Some(server) => server.look_up(Call::default()).await.map(drop),
            None => Ok(()),
        }
    }
}
