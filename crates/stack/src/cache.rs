//! Answers that are given again: a decorator of inference that remembers what the same caller was
//! answered to the same request.
//!
//! A request is the same if its bytes are, apart from the order of the fields of its body, and if
//! caller, credentials for providers and the registered model are the same too. Whole answers are
//! remembered, never failed or broken ones ([`Sound`]); a stream is given again event by event.

mod sound;
#[cfg(test)]
mod tests;

use crate::{RoutingTable, config::ResponseCacheConfig, routers::Call};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Result,
    models::{Model, ModelType},
    openai::{ChatRequest, EmbeddingRequest, RerankRequest, TextCompletionRequest},
};
use chaski_provider::{
    CacheControl, ChatReply, Context, EmbeddingReply, EventStream, Inference, Payload, Remembered,
    Reply, RerankReply, Served, TextReply, Tokens, Trail,
};
use futures_util::{StreamExt, future::BoxFuture, stream};
use moka::future::Cache;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sound::Sound;
use std::{sync::Arc, time::Duration};

type Key = [u8; 32];

/// An answer that is remembered.
#[derive(Clone)]
struct Entry {
    content: Content,
    /// Who gave it, at no cost when it is given again.
    served: Option<Arc<Served>>,
    tokens: Tokens,
}

/// The JSON text of an answer, or of the events of a stream.
#[derive(Clone)]
enum Content {
    Full(Bytes),
    Events(Arc<[Bytes]>),
}

impl Content {
    fn texts(&self) -> &[Bytes] {
        match self {
            Self::Full(text) => std::slice::from_ref(text),
            Self::Events(events) => events,
        }
    }

    fn bytes(&self) -> usize {
        self.texts().iter().map(Bytes::len).sum()
    }
}

/// Inference that remembers answers.
pub(crate) struct Remembering {
    inner: Arc<dyn Inference>,
    models: Arc<RoutingTable<Model>>,
    answers: Cache<Key, Entry>,
    longest: usize,
    sampled: bool,
}

impl Remembering {
    pub(crate) fn new(
        inner: Arc<dyn Inference>,
        models: Arc<RoutingTable<Model>>,
        config: &ResponseCacheConfig,
    ) -> Self {
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let (most, entries) = (number(config.max_bytes.0), number(config.max_entries.0));
        // An answer weighs at least so much that no more of them fit than are allowed.
        let least = u32::try_from(most.div_ceil(entries)).unwrap_or(u32::MAX);
        let ttl = Duration::try_from_secs_f64(config.ttl_seconds.0).unwrap_or(Duration::MAX);
        let answers = Cache::builder()
            .max_capacity(most)
            .weigher(move |key: &Key, entry: &Entry| {
                let bytes = key.len() + entry.content.bytes();
                u32::try_from(bytes).unwrap_or(u32::MAX).max(least)
            })
            // The cache takes no times beyond a thousand years.
            .time_to_live(ttl.min(Duration::from_hours(24 * 365)))
            .build();
        let longest = usize::try_from(config.max_answer_bytes.0).unwrap_or(usize::MAX);
        Self { inner, models, answers, longest, sampled: config.sampled }
    }

    async fn answer<C: Call>(&self, cx: &Context, request: C) -> Result<C::Answer>
    where
        C::Answer: Memorable,
    {
        let Some(key) = self.key(cx, &request).await else {
            return request.send(&*self.inner, cx).await;
        };
        if cx.cache == CacheControl::Use
            && let Some(entry) = self.answers.get(&key).await
            && let Some(answer) = C::Answer::again(&entry.content)
        {
            cx.trail.remember(Remembered::Hit);
            if let Some(served) = &entry.served {
                cx.trail.lead_to(served);
            }
            cx.trail.settle();
            cx.trail.spend(entry.tokens);
            return Ok(answer);
        }
        cx.trail.remember(Remembered::Miss);
        let answer = request.send(&*self.inner, cx).await?;
        let memory = Memory {
            answers: self.answers.clone(),
            key,
            longest: self.longest,
            trail: Arc::clone(&cx.trail),
        };
        Ok(answer.remembered(memory).await)
    }

    /// What the answer to a request is remembered by; nothing if it is not to be.
    async fn key<C: Call>(&self, cx: &Context, request: &C) -> Option<Key> {
        let generates = C::WANTED == ModelType::Llm;
        if cx.cache == CacheControl::Bypass || generates && !self.sampled && !is_repeatable(request)
        {
            return None;
        }
        // The record too: a model that is registered anew is another one.
        let placed = self.models.place(request.model()).await.ok()?;
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(C::NAME.as_bytes());
        part(&[u8::from(cx.principal.is_some())]);
        part(cx.principal.as_ref().map_or("", |principal| &principal.id).as_bytes());
        cx.provider_data.each(|name, value| {
            part(name.as_bytes());
            part(value.to_string().as_bytes());
        });
        part(&[]);
        part(&serde_json::to_vec(&placed.resource).ok()?);
        let body = request.body();
        let mut names: Vec<&str> = body.names().collect();
        names.sort_unstable();
        for name in names {
            part(name.as_bytes());
            match body.text(name) {
                Some(text) => part(text),
                None => part(&serde_json::to_vec(&body.get(name)).ok()?),
            }
        }
        Some(hash.finalize().into())
    }
}

/// Whether a model gives the same answer each time, as far as the request can say.
fn is_repeatable<C: Call>(request: &C) -> bool {
    let field = |name: &str| request.body().get(name);
    field("temperature").and_then(Value::as_f64).is_some_and(|temperature| temperature <= 0.0)
        || field("seed").is_some_and(Value::is_i64)
}

/// Where one answer is remembered.
struct Memory {
    answers: Cache<Key, Entry>,
    key: Key,
    longest: usize,
    trail: Arc<Trail>,
}

impl Memory {
    /// Keeps the answer, which consists of one `S` or several, if it is worth it.
    async fn keep<S: Sound>(self, content: Content) {
        if content.bytes() > self.longest || !S::is_sound(content.texts()) {
            return;
        }
        let served = self.trail.served().map(|served| {
            let (provider, model) = (served.provider.clone(), served.model.clone());
            let streams_calls = served.streams_calls;
            Arc::new(Served { provider, model, cost: None, streams_calls })
        });
        let tokens = self.trail.tokens();
        self.answers.insert(self.key, Entry { content, served, tokens }).await;
        // Else what is too much would stay for a while.
        self.answers.run_pending_tasks().await;
    }
}

/// An answer that can be remembered and given again.
trait Memorable: Sized {
    /// The answer, remembered once it is whole.
    fn remembered(self, memory: Memory) -> BoxFuture<'static, Self>;

    /// What was remembered, if it is an answer of this kind.
    fn again(content: &Content) -> Option<Self>;
}

impl<F: Sound> Memorable for Payload<F> {
    fn remembered(self, memory: Memory) -> BoxFuture<'static, Self> {
        Box::pin(async move {
            let text = self.into_bytes();
            memory.keep::<F>(Content::Full(text.clone())).await;
            Self::Raw(text)
        })
    }

    fn again(content: &Content) -> Option<Self> {
        match content {
            Content::Full(text) => Some(Self::Raw(text.clone())),
            Content::Events(_) => None,
        }
    }
}

impl<F: Sound, E: Sound> Memorable for Reply<F, E> {
    fn remembered(self, memory: Memory) -> BoxFuture<'static, Self> {
        match self {
            Self::Full(payload) => {
                Box::pin(async move { Self::Full(payload.remembered(memory).await) })
            }
            Self::Stream(events) => {
                Box::pin(std::future::ready(Self::Stream(recorded(events, memory))))
            }
        }
    }

    fn again(content: &Content) -> Option<Self> {
        match content {
            Content::Full(_) => Payload::again(content).map(Self::Full),
            Content::Events(events) => {
                let events: Vec<Bytes> = events.to_vec();
                let events = events.into_iter().map(|event| Ok(Payload::Raw(event)));
                Some(Self::Stream(stream::iter(events).boxed()))
            }
        }
    }
}

/// A stream while it is recorded.
struct Recording<E> {
    events: EventStream<Payload<E>>,
    heard: Vec<Bytes>,
    bytes: usize,
    /// Nothing once the stream has failed, or has become too long.
    memory: Option<Memory>,
}

/// The same events, remembered when the last one has come. A listener who leaves before leaves
/// nothing behind.
fn recorded<E: Sound>(events: EventStream<Payload<E>>, memory: Memory) -> EventStream<Payload<E>> {
    let recording = Recording { events, heard: Vec::new(), bytes: 0, memory: Some(memory) };
    stream::unfold(recording, |mut this| async move {
        match this.events.next().await {
            Some(Ok(event)) => {
                let Some(memory) = &this.memory else { return Some((Ok(event), this)) };
                let text = event.into_bytes();
                this.bytes += text.len();
                if this.bytes > memory.longest {
                    this.memory = None;
                    this.heard = Vec::new();
                } else {
                    this.heard.push(text.clone());
                }
                Some((Ok(Payload::Raw(text)), this))
            }
            Some(Err(error)) => {
                this.memory = None;
                Some((Err(error), this))
            }
            None => {
                let memory = this.memory.take()?;
                memory.keep::<E>(Content::Events(this.heard.into())).await;
                None
            }
        }
    })
    .boxed()
}

/// What an upstream answers in Anthropic's own form is not remembered; the chats that the other
/// requests in this form become are.
#[async_trait]
impl Inference for Remembering {
    fn inner(&self) -> Option<&dyn Inference> {
        Some(&*self.inner)
    }

    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        self.answer(cx, request).await
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        self.answer(cx, request).await
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        self.answer(cx, request).await
    }

    async fn rerank(&self, cx: &Context, request: RerankRequest) -> Result<RerankReply> {
        self.answer(cx, request).await
    }
}
