//! Anthropic: its Messages API, with a translation from OpenAI's form and back, and passed through
//! for callers who speak it themselves.

mod answer;
mod api;
mod events;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod generation;
mod messages;
mod relay;
mod request;
mod schema;
mod sources;
#[cfg(test)]
mod tests;
mod tools;

use crate::{adapter::offered_model, images};
use api::{Api, Listed};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Api as StackApi, Error, ErrorKind, Result, Secret,
    anthropic::{CountTokensRequest, MessagesRequest},
    models::{Model, ModelType},
    openai::{Body, ChatRequest},
    wire::{AtLeast, Between},
};
use chaski_provider::{
    ChatReply, Context, Deps, Hosts, Inference, InferenceProvider, Lifecycle, MessagesReply,
    Payload, Provider, ProviderConfig, Reply, Spec,
};
use chaski_upstream::Http;
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The name in messages.
const NAME: &str = "Anthropic";
/// What ids of models begin with in this stack but not at the upstream.
const PREFIX: &str = "anthropic/";
/// The key of the provider-data header that carries the caller's own key.
const KEY: &str = "anthropic_api_key";

const DOCS: &str = "\
Serves the models of [Anthropic](https://docs.anthropic.com) by its Messages API.

- Models are named with or without `anthropic/` in front.
- A caller's own key is sent in the header `X-LlamaStack-Provider-Data` as
  `{\"anthropic_api_key\": \"...\"}` and wins over `api_key` of the configuration.
- Without models of this provider in the run configuration, those that Anthropic lists for `api_key` are
  registered; `refresh_models` switches that on or off.
- Requests to `/v1/messages` and `/v1/messages/count_tokens` are passed through with `anthropic-version` and
  `anthropic-beta`, and the answers as they come. All others are translated.
- Anthropic demands a limit for each answer: `max_tokens` is that of requests without one.
- `temperature` above 1 counts as 1. `seed`, `logprobs`, penalties and `logit_bias` have no effect, and `n` must be 1.
- `response_format` is asked for as Anthropic's output format where the model knows it, otherwise by a tool
  that the model must call. With such a model, a schema and `tools` exclude each other.
- `reasoning_effort` switches thinking on, and the thoughts come as `reasoning_content`. It has no effect
  together with a forced tool call. A field `thinking` is passed on as it is.
- Models want their thoughts back after calls of tools: send the message of the model with its
  `thinking_blocks`, as it came. In a stream a block comes as a whole, at its end.
- `base_url` leads to another server that speaks the Messages API; a key is optional there. Images at addresses are
  fetched by this server then and sent as data; private addresses are refused unless `server.egress_allow` lists them.
  Documents must be in the request itself.
";

chaski_api::wire! {
    /// The configuration of `remote::anthropic`.
    pub struct AnthropicConfig {
        /// The key, used where a caller sends none of its own.
        pub api_key: Option<Secret>,
        /// Another server that speaks the Messages API. The default is `https://api.anthropic.com`.
        pub base_url: Option<String>,
        /// The most tokens of an answer, for requests that do not say.
        pub max_tokens: AtLeast<1> = Between(4096),
        /// Whether the models that Anthropic lists are registered. By default they are if the run
        /// configuration declares no model of this provider.
        pub refresh_models: Option<bool>,
    }
}

impl ProviderConfig for AnthropicConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "api_key": "${env.ANTHROPIC_API_KEY}" })
    }
}

/// The provider `remote::anthropic`.
pub(crate) struct Anthropic {
    http: Http,
    api: Api,
    max_tokens: i64,
    refresh_models: Option<bool>,
}

impl Provider for Anthropic {
    type Api = dyn InferenceProvider;
    type Config = AnthropicConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        provider_data: &[KEY],
        streams_calls: true,
        ..Spec::new(StackApi::Inference, "remote::anthropic", "Models of Anthropic.")
    };

    async fn build(config: AnthropicConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let base_url = config.base_url.filter(|url| !url.trim().is_empty());
        Ok(Arc::new(Self {
            http: deps.http.clone(),
            api: Api::new(deps.http, base_url.as_deref(), config.api_key)?,
            max_tokens: config.max_tokens.0,
            refresh_models: config.refresh_models,
        }))
    }
}

/// The upstream's name of a model.
fn upstream_name(model: &str) -> &str {
    model.strip_prefix(PREFIX).unwrap_or(model)
}

impl Anthropic {
    /// The text of a request in Anthropic's form, with the upstream's name of its model, and for
    /// another server with its images as data.
    async fn text(&self, body: &Body, model: &str) -> Result<Bytes> {
        let mut body = body.clone();
        body.insert("model".to_owned(), upstream_name(model).into());
        if !self.api.is_original() {
            sources::inline(&self.http, &mut body).await?;
        }
        Ok(body.to_bytes())
    }
}

#[async_trait]
impl Inference for Anthropic {
    async fn chat(&self, cx: &Context, mut request: ChatRequest) -> Result<ChatReply> {
        if !self.api.is_original() {
            images::inline(&self.http, &mut request).await?;
        }
        let stream = request.stream();
        let request::Asked { body, form } = request::translate(request, self.max_tokens)?;
        let body = Bytes::from(Value::Object(body).to_string());
        if !stream {
            let answer = self.api.message(cx, body).await?;
            return Ok(Reply::Full(Payload::Raw(answer::completion(&answer, form)?)));
        }
        let events = self.api.events(cx, body).await?;
        let chunks = events::translated(events, form);
        Ok(Reply::Stream(chunks.map(|chunk| chunk.map(Payload::Raw)).boxed()))
    }

    fn speaks_messages(&self) -> bool {
        true
    }

    async fn messages(
        &self,
        cx: &Context,
        model: &str,
        request: &MessagesRequest,
    ) -> Result<Option<MessagesReply>> {
        let body = self.text(&request.body, model).await?;
        if !request.stream() {
            return Ok(Some(Reply::Full(Payload::Raw(self.api.message(cx, body).await?))));
        }
        let events = self.api.events(cx, body).await?;
        Ok(Some(Reply::Stream(events.map(|event| event.map(Payload::Raw)).boxed())))
    }

    async fn message_tokens(
        &self,
        cx: &Context,
        model: &str,
        request: &CountTokensRequest,
    ) -> Result<Option<i64>> {
        match self.api.count(cx, self.text(&request.body, model).await?).await {
            Ok(count) => Ok(Some(count)),
            // Other servers that speak the API may not count.
            Err(Error { kind: ErrorKind::Upstream { status: Some(404 | 405 | 501) }, .. })
                if !self.api.is_original() =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Hosts<Model> for Anthropic {
    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        if self.refresh_models == Some(false) || !self.api.can_list() {
            return Ok(None);
        }
        Ok(Some(self.api.models().await?.into_iter().map(model).collect()))
    }
}

#[async_trait]
impl Lifecycle for Anthropic {
    async fn check(&self) -> Result<()> {
        if !self.api.can_list() {
            // Callers bring their own keys.
            return Ok(());
        }
        self.api.models().await.map(drop)
    }
}

fn model(listed: Listed) -> Model {
    let mut metadata = Map::new();
    if let Some(name) = listed.display_name {
        metadata.insert("display_name".to_owned(), name.into());
    }
    if let Some(length) = listed.max_input_tokens {
        metadata.insert("context_length".to_owned(), length.into());
    }
    let identifier = format!("{PREFIX}{}", listed.id);
    offered_model(identifier, listed.id, ModelType::Llm, metadata)
}
