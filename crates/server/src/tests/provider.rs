//! A provider that does what the text of the request says, and one that relays.

use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Result,
    anthropic::{CountTokensRequest, MessagesRequest},
    models::Model,
    openai::{ChatRequest, EmbeddingRequest},
};
use chaski_provider::{
    ChatReply, Context, Deps, EmbeddingReply, Entry, EventStream, Hosts, Inference,
    InferenceProvider, Lifecycle, MessagesReply, Payload, Provider, ProviderConfig, Reply, Spec,
};
use chaski_upstream::{
    Http,
    openai::{Answer, Call, Connection, Dialect, Settings},
};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
    task::{self, Poll},
    time::Duration,
};

chaski_api::wire! {
    /// No settings.
    pub struct NoSettings {}
}

impl ProviderConfig for NoSettings {
    fn sample(_: &str) -> Value {
        json!({})
    }
}

pub(super) struct Told;

impl Provider for Told {
    type Api = dyn InferenceProvider;
    type Config = NoSettings;
    const SPEC: Spec = Spec {
        provider_data: &["told_api_key"],
        ..Spec::new(Api::Inference, "remote::vllm", "Does what it is told.")
    };

    async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn InferenceProvider>> {
        Ok(Arc::new(Self))
    }
}

pub(super) const ALL: &[Entry<dyn InferenceProvider>] =
    &[Entry::of::<Told>(), Entry::of::<Relayed>()];

static DROPPED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Whether the work of the request with this id was dropped before its end.
pub(super) fn was_dropped(request_id: &str) -> bool {
    DROPPED.lock().unwrap().contains(request_id)
}

/// Notes that the work of a request was dropped.
struct Watch(String);

impl Drop for Watch {
    fn drop(&mut self) {
        DROPPED.lock().unwrap().insert(self.0.clone());
    }
}

fn chunk(text: &str) -> Payload<chaski_api::openai::ChatChunk> {
    let delta = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
    let value = json!({ "id": "c", "object": "chat.completion.chunk", "choices": [delta] });
    Payload::Raw(value.to_string().into())
}

fn answer(text: &str) -> ChatReply {
    let message = json!({ "role": "assistant", "content": text });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    let value = json!({ "id": "c", "object": "chat.completion", "choices": [choice] });
    Reply::Full(Payload::Raw(value.to_string().into()))
}

/// Panics when it is asked for an event.
struct Panicking;

impl Stream for Panicking {
    type Item = Result<Payload<chaski_api::openai::ChatChunk>>;

    fn poll_next(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        panic!("told to")
    }
}

#[async_trait]
impl Inference for Told {
    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        let content = &request.body["messages"][0]["content"];
        let content = content.as_str().or_else(|| content[0]["text"].as_str()).unwrap_or_default();
        let (order, rest) = content.split_once(' ').unwrap_or((content, ""));
        let words = || rest.split(' ').map(chunk).map(Ok).collect::<Vec<_>>();
        let watch = Watch(cx.request_id.to_string());
        let events: EventStream<_> = match order {
            "fail" => return Err(failure(rest)),
            "panic" => panic!("told to"),
            "hang" => {
                let _watch = watch;
                return std::future::pending().await;
            }
            "who" => {
                let id = cx.principal.as_ref().map(|principal| principal.id.as_str());
                let key = cx.provider_data.text("told_api_key");
                let other = cx.provider_data.text("other_api_key");
                return Ok(answer(&json!([id, key, other]).to_string()));
            }
            // Some words, and then nothing more.
            "stall" => stream::iter(words())
                .chain(stream::once(async move {
                    let _watch = watch;
                    std::future::pending().await
                }))
                .boxed(),
            "break" => stream::iter(words()).chain(stream::iter([Err(failure("503"))])).boxed(),
            "panic-later" => stream::iter(words()).chain(Panicking).boxed(),
            "break-at-once" => stream::iter([Err(failure("503"))]).boxed(),
            // As fast as it is read, for ever.
            "flood" => stream::unfold(watch, |watch| async move {
                tokio::task::yield_now().await;
                Some((Ok(chunk(&"x".repeat(4096))), watch))
            })
            .boxed(),
            _ if request.stream() => stream::iter(words()).boxed(),
            _ => return Ok(answer(rest)),
        };
        Ok(Reply::Stream(events))
    }

    /// A text becomes how often it has each of the letters a, b and c; some become what is none.
    async fn embeddings(&self, _: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        let count = |text: &str, letter: char| text.chars().filter(|one| *one == letter).count();
        let vector = |text: &str| match text {
            "two numbers" => json!([1, 0]),
            "zero" => json!([0, 0, 0]),
            "not finite" => json!([1, 0, 1e300]),
            text => json!([count(text, 'a'), count(text, 'b'), count(text, 'c')]),
        };
        let body: Value = request.body.into();
        let texts = body["input"].as_array().cloned().unwrap_or_default();
        let data = texts.iter().enumerate().map(|(index, text)| {
            let embedding = vector(text.as_str().unwrap_or_default());
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        });
        let list = json!({ "object": "list", "data": data.collect::<Vec<_>>() });
        Ok(Payload::Raw(list.to_string().into()))
    }

    /// Answers what begins with `relay` itself: with the words after it, and what it was told.
    async fn messages(
        &self,
        cx: &Context,
        model: &str,
        request: &MessagesRequest,
    ) -> Result<Option<MessagesReply>> {
        let Some(rest) = relayed(&request.body["messages"]) else { return Ok(None) };
        if !request.stream() {
            let headers: Vec<_> = cx.api_headers.iter().collect();
            let body = json!([model, request.body, headers]).to_string();
            return Ok(Some(Reply::Full(Payload::Raw(body.into()))));
        }
        let words: Vec<_> =
            rest.split(' ').map(|word| Ok(Payload::Raw(word.to_owned().into()))).collect();
        Ok(Some(Reply::Stream(stream::iter(words).boxed())))
    }

    async fn message_tokens(
        &self,
        _: &Context,
        _: &str,
        request: &CountTokensRequest,
    ) -> Result<Option<i64>> {
        let words = relayed(&request.body["messages"]).map(|rest| rest.split(' ').count());
        Ok(words.map(|words| i64::try_from(words).unwrap()))
    }
}

/// What follows the word `relay`, if the first message begins with it.
fn relayed(messages: &Value) -> Option<&str> {
    messages[0]["content"].as_str()?.strip_prefix("relay ")
}

fn failure(how: &str) -> Error {
    match how {
        "internal" => Error::internal("the secret path /etc/secret"),
        "timeout" => Error::new(ErrorKind::Timeout, "nobody answered"),
        "limit" => {
            let wait = Duration::from_secs(7);
            Error::new(ErrorKind::RateLimited { retry_after: Some(wait) }, "slow down")
        }
        status => {
            let status = status.parse().ok();
            Error::new(ErrorKind::Upstream { status }, "the upstream says no")
        }
    }
}

#[async_trait]
impl Hosts<Model> for Told {}

#[async_trait]
impl Lifecycle for Told {}

chaski_api::wire! {
    /// Where the upstream is.
    pub struct RelayedSettings {
        /// Its address.
        pub url: String,
    }
}

impl ProviderConfig for RelayedSettings {
    fn sample(_: &str) -> Value {
        json!({ "url": "http://localhost" })
    }
}

/// Relays to an upstream that speaks OpenAI's API.
pub(super) struct Relayed(Connection);

static CLIENTS: LazyLock<Mutex<HashMap<String, Http>>> = LazyLock::new(Mutex::default);

/// The client of the provider with the upstream at `url`.
pub(super) fn client_of(url: &str) -> Http {
    CLIENTS.lock().unwrap()[url].clone()
}

impl Provider for Relayed {
    type Api = dyn InferenceProvider;
    type Config = RelayedSettings;
    const SPEC: Spec = Spec::new(Api::Inference, "remote::openai", "Relays.");

    async fn build(settings: RelayedSettings, deps: Deps) -> Result<Arc<dyn InferenceProvider>> {
        let url = settings.url;
        CLIENTS.lock().unwrap().insert(url.clone(), deps.http.clone());
        let settings = Settings { url, ..Settings::default() };
        Ok(Arc::new(Self(Connection::new(deps.http, &Dialect::OPENAI, settings)?)))
    }
}

#[async_trait]
impl Inference for Relayed {
    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        let (request_id, trace) = (&*cx.request_id, cx.spans.parent());
        let call = Call { request_id, deadline: cx.deadline, trace, ..Call::default() };
        Ok(match self.0.chat(call, request).await? {
            Answer::Full(body) => Reply::Full(Payload::Raw(body)),
            Answer::Stream(relay) => {
                Reply::Stream(relay.map(|event| event.map(Payload::Raw)).boxed())
            }
        })
    }

    async fn embeddings(&self, _: &Context, _: EmbeddingRequest) -> Result<EmbeddingReply> {
        Err(Error::unsupported("only chats are relayed"))
    }
}

#[async_trait]
impl Hosts<Model> for Relayed {}

#[async_trait]
impl Lifecycle for Relayed {}
