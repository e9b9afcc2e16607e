//! Inference: the registered model says which provider generates, or which of several.

use super::{
    call::{Call, Message},
    choose::{Dice, Set, choose},
    metered::{self, Answer, Meter},
    rerank::{self, Wish},
    retry,
};
use crate::{
    RoutingTable,
    table::{Place, Placed},
};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    anthropic::{CountTokensRequest, MessagesRequest},
    models::{Model, ModelType},
    openai::{ChatRequest, EmbeddingRequest, RerankRequest, TextCompletionRequest},
    routing::Strategy,
};
use chaski_provider::{
    ChatReply, Context, EmbeddingReply, Inference, InferenceProvider, MessagesReply, RerankReply,
    TextReply, TokenCounter,
};
use std::{sync::Arc, time::Instant};
use tokio::time::timeout_at;

/// Hands each request to the provider of its model, under the provider's name for it.
///
/// A model with several targets is tried at one after the other, until one has begun to answer:
/// a stream has begun with its first event.
pub(crate) struct InferenceRouter {
    models: Arc<RoutingTable<Model>>,
    dice: Arc<Dice>,
}

impl InferenceRouter {
    pub(crate) fn new(models: Arc<RoutingTable<Model>>, dice: Dice) -> Self {
        Self { models, dice: Arc::new(dice) }
    }

    async fn place(&self, id: &str, wanted: ModelType) -> Result<Arc<Placed<Model>>> {
        let placed = self.models.place(id).await?;
        let model_type = placed.resource.model_type;
        if model_type == wanted {
            return Ok(placed);
        }
        let is = match model_type {
            ModelType::Llm => "an LLM model",
            ModelType::Embedding => "an embedding model",
            ModelType::Rerank => "a rerank model",
        };
        let lacks = match wanted {
            ModelType::Llm => "chat completions",
            ModelType::Embedding => "embeddings",
            ModelType::Rerank => "rerank; register it with the model type `rerank` if it ranks",
        };
        let message = format!("Model '{id}' is {is} and does not support {lacks}");
        Err(Error::invalid(message).with_param("model"))
    }

    async fn answer<C: Call>(&self, cx: &Context, request: C) -> Result<C::Answer> {
        let placed = self.place(request.model(), C::WANTED).await?;
        if let [only] = placed.places.as_slice() {
            cx.trail.lead_to(&only.served);
            cx.trail.settle();
            let provider = only.ready().await?;
            return attempt(&placed, Turn::ONLY, &*provider, cx, request).await;
        }
        let streams = request.streams();
        let (cx, dice) = (cx.clone(), Arc::clone(&self.dice));
        let trial = async move {
            let all = Set::first(placed.places.len());
            let outcome = one_after_the_other(&placed, all, &dice, &cx, request).await;
            cx.trail.settle();
            outcome?.ok_or_else(|| Error::internal("a model has no targets"))
        };
        C::Answer::later(Box::pin(trial), streams).await
    }
}

/// A place whose turn it is.
#[derive(Clone, Copy)]
struct Turn {
    /// Which one it is.
    index: usize,
    /// Whether there is no other one any more.
    is_last: bool,
    /// Whether the provider may ask its upstream again where that fails. Nobody waits for that as
    /// long as another place is likely to answer.
    repeats: bool,
}

impl Turn {
    /// That of the only place.
    const ONLY: Self = Self { index: 0, is_last: true, repeats: true };
}

/// Gives the request to `provider`, that of the place whose turn it is.
async fn attempt<C: Call>(
    placed: &Arc<Placed<Model>>,
    turn: Turn,
    provider: &dyn InferenceProvider,
    cx: &Context,
    mut request: C,
) -> Result<C::Answer> {
    let place = &placed.places[turn.index];
    request.set_model(&place.resource_id);
    let meter = Meter::new(placed, turn.index, cx, C::SPAN);
    let mut narrowed = cx.for_provider(place.provider_data_keys());
    meter.enter(&mut narrowed);
    if !turn.repeats {
        narrowed.repeats = narrowed.repeats.off();
    }
    match request.send(provider, &narrowed).await {
        Ok(answer) => Ok(answer.metered(meter)),
        Err(error) => {
            meter.failed(&error);
            Err(error)
        }
    }
}

/// Tries `these` places of a model until one has begun to answer. Those that failed a while ago come
/// last. Where these are not all, the answer is nothing if the others are to be asked now.
async fn one_after_the_other<C: Call>(
    placed: &Arc<Placed<Model>>,
    these: Set,
    dice: &Dice,
    cx: &Context,
    request: C,
) -> Result<Option<C::Answer>> {
    let others = Set::first(placed.places.len()).without(these);
    let (mut open, mut resting) = (these, Set::EMPTY);
    let mut request = Some(request);
    let mut failure = None;
    loop {
        let first_round = !open.is_empty();
        if !first_round && !others.is_empty() && !is_over(cx) {
            return Ok(None);
        }
        let set = if first_round { &mut open } else { &mut resting };
        if set.is_empty() || failure.is_some() && is_over(cx) {
            break;
        }
        let index = choose(placed, *set, dice);
        set.remove(index);
        let place = &placed.places[index];
        if first_round && !place.load.admits(placed.cooldown) {
            resting.insert(index);
            continue;
        }
        cx.trail.lead_to(&place.served);
        let is_last = open.is_empty() && resting.is_empty() && others.is_empty();
        // Those that rest are no better than this one, as long as it does not rest itself.
        let mut left = open.iter().chain(others.iter());
        let promising = left.any(|other| placed.places[other].is_promising());
        let repeats = is_last || first_round && !promising;
        let turn = Turn { index, is_last, repeats };
        let copy = if is_last { request.take() } else { request.clone() };
        let Some(copy) = copy else { break };
        let error = match begin(placed, turn, cx, copy).await {
            Ok(answer) => {
                place.load.works();
                return Ok(Some(answer));
            }
            Err(Failed { error, elsewhere: true }) => error,
            Err(Failed { error, elsewhere: false }) => {
                // It has answered, although not as the caller would like.
                place.load.works();
                return Err(error);
            }
        };
        tracing::debug!(
            target: "router",
            model = %placed.resource.identifier,
            provider = %place.provider_id,
            provider_model = %place.resource_id,
            more = !is_last,
            "a target did not answer: {}",
            error.chain()
        );
        failure = Some(error);
    }
    failure.map_or(Ok(None), Err)
}

/// The places that are asked in the form of Anthropic's API. Those that do not speak it are asked in
/// another way, and so are the ones after them where the order counts; where it is drawn, shares
/// are only kept if all are asked in the same way.
fn speakers(placed: &Placed<Model>) -> Set {
    let mut speakers = Set::EMPTY;
    for (index, place) in placed.places.iter().enumerate() {
        match place.provider() {
            Ok(provider) if provider.speaks_messages() => speakers.insert(index),
            Ok(_) if placed.strategy == Strategy::Fallback => break,
            Ok(_) => return Set::EMPTY,
            // It could not answer in any form.
            Err(_) => {}
        }
    }
    speakers
}

/// A failure, and whether another target may make it good.
struct Failed {
    error: Error,
    elsewhere: bool,
}

/// Gives the request to the place whose turn it is, and waits until the answer has begun.
async fn begin<C: Call>(
    placed: &Arc<Placed<Model>>,
    turn: Turn,
    cx: &Context,
    request: C,
) -> Result<C::Answer, Failed> {
    let place = &placed.places[turn.index];
    // Where there is another one, nobody waits for a provider that starts.
    let provider = if turn.is_last { place.ready().await } else { place.provider() };
    let provider = provider.map_err(|error| Failed { error, elsewhere: true })?;
    let work = async {
        let answer = attempt(placed, turn, &*provider, cx, request).await?;
        answer.begun().await
    };
    let outcome = match cx.deadline {
        Some(deadline) => timeout_at(deadline.into(), work).await.unwrap_or_else(|_| {
            let message = "there was no answer within the time that the request has";
            place.usage.failed();
            place.load.failed(placed.cooldown);
            Err(Error::new(ErrorKind::Timeout, message))
        }),
        None => work.await,
    };
    let as_caller = place.is_asked_as_caller(cx);
    outcome.map_err(|error| Failed { elsewhere: retry::helps(&error, as_caller), error })
}

/// The provider of a place, and what it may see of the context.
async fn ready(
    place: &Place<Model>,
    cx: &Context,
) -> Result<(Arc<dyn InferenceProvider>, Context)> {
    Ok((place.ready().await?, cx.for_provider(place.provider_data_keys())))
}

fn is_over(cx: &Context) -> bool {
    cx.deadline.is_some_and(|deadline| deadline <= Instant::now())
}

#[async_trait]
impl Inference for InferenceRouter {
    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        self.answer(cx, request).await
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        self.answer(cx, request).await
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        self.answer(cx, request).await
    }

    async fn rerank(&self, cx: &Context, mut request: RerankRequest) -> Result<RerankReply> {
        let wish = Wish::take(&mut request)?;
        let model = self.models.get(request.model()).await?;
        let reply = if model.model_type == ModelType::Embedding {
            rerank::by_embeddings(self, cx, &request).await?
        } else {
            self.answer(cx, request).await?
        };
        wish.complete(reply)
    }

    async fn messages(
        &self,
        cx: &Context,
        model: &str,
        request: &MessagesRequest,
    ) -> Result<Option<MessagesReply>> {
        let placed = self.place(model, ModelType::Llm).await?;
        let [only] = placed.places.as_slice() else {
            let speakers = speakers(&placed);
            if speakers.is_empty() {
                return Ok(None);
            }
            let request = Message { model: model.to_owned(), request: request.clone() };
            let answer = one_after_the_other(&placed, speakers, &self.dice, cx, request).await;
            if !matches!(answer, Ok(None)) {
                cx.trail.settle();
            }
            return answer;
        };
        let (provider, mut narrowed) = ready(only, cx).await?;
        let span = cx.spans.start(Message::SPAN);
        narrowed.spans = span.context(&cx.spans);
        narrowed.repeats = metered::counted(only, cx);
        let outcome = provider.messages(&narrowed, &only.resource_id, request).await;
        if matches!(outcome, Ok(None)) {
            // The face asks in another way, whose span is the one that counts.
            span.forget();
            return outcome;
        }
        cx.trail.lead_to(&only.served);
        cx.trail.settle();
        let meter = Meter::with_span(&placed, 0, cx, span);
        if let Err(error) = &outcome {
            meter.failed(error);
            return outcome;
        }
        outcome.map(|reply| reply.map(|reply| reply.metered(meter)))
    }

    async fn message_tokens(
        &self,
        cx: &Context,
        model: &str,
        request: &CountTokensRequest,
    ) -> Result<Option<i64>> {
        let placed = self.place(model, ModelType::Llm).await?;
        let Some(first) = placed.places.first() else { return Ok(None) };
        let (provider, cx) = ready(first, cx).await?;
        provider.message_tokens(&cx, &first.resource_id, request).await
    }

    async fn chat_tokens(&self, cx: &Context, request: &ChatRequest) -> Result<Option<i64>> {
        let placed = self.place(request.model(), ModelType::Llm).await?;
        let Some(first) = placed.places.first() else { return Ok(None) };
        let (provider, cx) = ready(first, cx).await?;
        let mut request = request.clone();
        request.set_model(&first.resource_id);
        provider.chat_tokens(&cx, &request).await
    }

    async fn token_counter(&self, cx: &Context, model: &str) -> Result<Option<TokenCounter>> {
        let placed = self.place(model, ModelType::Embedding).await?;
        let Some(first) = placed.places.first() else { return Ok(None) };
        let (provider, cx) = ready(first, cx).await?;
        provider.token_counter(&cx, &first.resource_id).await
    }
}
