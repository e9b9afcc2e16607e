//! One adapter for all upstreams that speak OpenAI's API. What vendors do about the registration of
//! models is theirs; the rest differs by the data of the dialect.

use crate::images;
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Reader, Result, Schemas, Wire,
    models::{Model, ModelTag, ModelType},
    openai::{Body, ChatRequest, EmbeddingRequest, RerankRequest, TextCompletionRequest},
};
use chaski_provider::{
    ChatReply, Context, EmbeddingReply, Hosts, Inference, Lifecycle, Payload, Reply, RerankReply,
    TextReply,
};
use chaski_upstream::{
    Http, Tls,
    openai::{Answer, Call, Connection, Settings},
};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long an upstream may take to list its models or to say that it is there.
pub(crate) const LISTING: Duration = Duration::from_secs(5);

/// What a vendor does for the models that it hosts.
#[async_trait]
pub(crate) trait Vendor: Send + Sync + 'static {
    /// Checks a model before it is stored, and replaces other names for it by the vendor's.
    async fn on_register(&self, upstream: &Connection, model: Model) -> Result<Model>;

    /// The models that the upstream offers by itself; nothing if they are not to be registered.
    async fn offered(&self, upstream: &Connection) -> Result<Option<Vec<Model>>>;

    /// Whether the upstream answers.
    async fn check(&self, upstream: &Connection) -> Result<()> {
        upstream.models(Call::default(), LISTING).await.map(drop)
    }

    /// Completes the body of a chat or a completion before it is sent.
    async fn prepare(
        &self,
        _upstream: &Connection,
        _call: Call<'_>,
        _body: &mut Body,
    ) -> Result<()> {
        Ok(())
    }

    /// The answer of an API of the vendor's own, for chats that lose something in OpenAI's.
    async fn own_chat(&self, _cx: &Context, _request: &ChatRequest) -> Result<Option<ChatReply>> {
        Ok(None)
    }

    /// Whether calls without a key make no sense.
    fn needs_key(&self) -> bool {
        false
    }

    /// Whether the upstream is the vendor's own service. It fetches images at addresses itself, unless
    /// its dialect says that it takes none.
    fn is_original(&self) -> bool {
        false
    }
}

/// An inference provider over an upstream that speaks OpenAI's API.
pub(crate) struct Adapter<V> {
    http: Http,
    upstream: Connection,
    vendor: V,
}

impl<V: Vendor> Adapter<V> {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidRequest` if the settings cannot be used.
    pub(crate) fn new(
        http: Http,
        dialect: &'static chaski_upstream::openai::Dialect,
        settings: Settings,
        vendor: V,
    ) -> Result<Self> {
        let upstream = Connection::new(http.clone(), dialect, settings)?;
        Ok(Self { http, upstream, vendor })
    }

    fn call<'a>(&self, cx: &'a Context) -> Result<Call<'a>> {
        let dialect = self.upstream.dialect();
        let key = dialect
            .provider_data
            .filter(|_| !(dialect.configured_key_first && self.upstream.has_key()))
            .and_then(|name| cx.provider_data.text(name));
        if key.is_none() && !self.upstream.has_key() && self.vendor.needs_key() {
            let (vendor, name) = (dialect.name, dialect.provider_data.unwrap_or_default());
            let message = format!(
                "no key for {vendor}: pass it in the header `X-LlamaStack-Provider-Data` as \
                 `{{\"{name}\": \"<your API key>\"}}`, or set `api_key` in the run configuration"
            );
            return Err(Error::new(ErrorKind::Unauthenticated, message));
        }
        let (trace, repeats) = (cx.spans.parent(), Some(&cx.repeats));
        Ok(Call { key, request_id: &cx.request_id, deadline: cx.deadline, trace, repeats })
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
impl<V: Vendor> Inference for Adapter<V> {
    async fn chat(&self, cx: &Context, mut request: ChatRequest) -> Result<ChatReply> {
        let call = self.call(cx)?;
        if self.vendor.is_original() && !self.upstream.dialect().inline_images {
            images::check(&request)?;
        } else {
            images::inline(&self.http, &mut request).await?;
        }
        if let Some(answer) = self.vendor.own_chat(cx, &request).await? {
            return Ok(answer);
        }
        self.vendor.prepare(&self.upstream, call, &mut request.body).await?;
        self.upstream.chat(call, request).await.map(reply)
    }

    async fn completion(
        &self,
        cx: &Context,
        mut request: TextCompletionRequest,
    ) -> Result<TextReply> {
        let call = self.call(cx)?;
        self.vendor.prepare(&self.upstream, call, &mut request.body).await?;
        self.upstream.completion(call, request).await.map(reply)
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        self.upstream.embeddings(self.call(cx)?, request).await.map(Payload::Raw)
    }

    async fn rerank(&self, cx: &Context, request: RerankRequest) -> Result<RerankReply> {
        self.upstream.rerank(self.call(cx)?, request).await.map(Payload::Value)
    }
}

#[async_trait]
impl<V: Vendor> Hosts<Model> for Adapter<V> {
    async fn on_register(&self, model: Model) -> Result<Model> {
        self.vendor.on_register(&self.upstream, model).await
    }

    async fn offered(&self) -> Result<Option<Vec<Model>>> {
        self.vendor.offered(&self.upstream).await
    }
}

#[async_trait]
impl<V: Vendor> Lifecycle for Adapter<V> {
    async fn check(&self) -> Result<()> {
        self.vendor.check(&self.upstream).await
    }
}

/// A model that an upstream offers. Who serves it is filled in where it is registered.
pub(crate) fn offered_model(
    identifier: String,
    id: String,
    model_type: ModelType,
    metadata: Map<String, Value>,
) -> Model {
    Model {
        identifier,
        provider_resource_id: id,
        provider_id: String::new(),
        tag: ModelTag::Model,
        metadata,
        model_type,
    }
}

/// `true`, `false`, or the path of a PEM file with certificate authorities.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum TlsVerify {
    Switch(bool),
    File(String),
}

impl TlsVerify {
    /// Whom to trust.
    pub(crate) fn tls(&self) -> Tls {
        match self {
            Self::Switch(true) => Tls::Verified,
            Self::Switch(false) => Tls::Unverified,
            Self::File(path) => Tls::Authorities(path.into()),
        }
    }
}

impl Wire for TlsVerify {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        if let Some(text) = value.as_str() {
            let switch = bool::from_json(value.clone()).ok();
            return Some(match switch {
                Some(on) => Self::Switch(on),
                None if text.is_empty() => Self::Switch(true),
                None => Self::File(text.to_owned()),
            });
        }
        bool::read(value, reader).map(Self::Switch)
    }

    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": ["boolean", "string"] })
    }
}
