//! Models with shields: a decorator of inference that has judged what models are asked and what they
//! say.
//!
//! Inside there is one form for all APIs, so the shields of a model count on all of them. A model
//! without shields is passed on to without a look at request or answer.

mod conversation;
mod spoken;
mod stream;
#[cfg(test)]
mod tests;

use crate::config::{ModelShields, OnShieldFailure, RunConfig};
use async_trait::async_trait;
use chaski_api::{
    Error, ErrorKind, Result,
    anthropic::MessagesRequest,
    inference::Message,
    models::ModelType,
    openai::{ChatRequest, TextCompletionRequest},
    safety::ViolationLevel,
};
use chaski_provider::{
    ApiHeaders, ChatReply, Context, Inference, MessagesReply, Payload, Reply, Shields, TextReply,
};
use conversation::{Asked, Question};
use futures_util::{StreamExt, TryStreamExt, stream as futures};
use spoken::{Answered, Spoken};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// What a user is told where a shield does not say it.
const REFUSAL: &str = "I can't answer that. Can I help with something else?";
/// How many shields are asked at once about one request.
const AT_ONCE: usize = 4;

/// Inference with shields before and after it.
pub(crate) struct Guarding {
    inner: Arc<dyn Inference>,
    safety: Arc<dyn Shields>,
    of_models: HashMap<String, Arc<ModelShields>>,
    of_others: Option<Arc<ModelShields>>,
}

/// Whether a configuration puts shields before models.
pub(crate) fn is_wanted(config: &RunConfig) -> bool {
    config.safety.as_ref().is_some_and(|safety| safety.shields.is_some())
        || config.models.iter().any(|model| model.shields.is_some())
}

/// The models with shields, where models without their own have none.
pub(crate) fn alone_shielded(config: &RunConfig) -> HashSet<String> {
    let of_others = config.safety.as_ref().and_then(|safety| safety.shields.as_ref());
    if of_others.is_some_and(judges) {
        return HashSet::new();
    }
    let shielded = config.models.iter().filter(|model| model.shields.as_ref().is_some_and(judges));
    shielded.map(|model| model.model_id.clone()).collect()
}

/// Whether there are any among these.
fn judges(shields: &ModelShields) -> bool {
    !shields.input.is_empty() || !shields.output.is_empty()
}

impl Guarding {
    /// `inner` with the shields of the configuration; nothing if no model has any.
    pub(crate) fn new(
        inner: &Arc<dyn Inference>,
        safety: &Arc<dyn Shields>,
        config: &RunConfig,
    ) -> Option<Self> {
        let generate = config.models.iter().filter(|model| model.model_type == ModelType::Llm);
        let of_models: HashMap<_, _> = generate
            .filter_map(|model| Some((model.model_id.clone(), Arc::new(model.shields.clone()?))))
            .collect();
        let of_others = config.safety.as_ref().and_then(|safety| safety.shields.clone());
        let of_others = of_others.map(Arc::new);
        (of_others.is_some() || !of_models.is_empty()).then(|| Self {
            inner: Arc::clone(inner),
            safety: Arc::clone(safety),
            of_models,
            of_others,
        })
    }

    /// The shields of a model; nothing if it has none.
    fn of(&self, model: &str) -> Option<&Arc<ModelShields>> {
        let shields = self.of_models.get(model).or(self.of_others.as_ref())?;
        judges(shields).then_some(shields)
    }

    /// The answer to a request, with everything judged that `shields` say.
    async fn answer<Q, F, E>(
        &self,
        cx: &Context,
        request: Q,
        shields: &Arc<ModelShields>,
    ) -> Result<Reply<F, E>>
    where
        Q: Question<Answer = Reply<F, E>>,
        F: Answered,
        E: Spoken,
    {
        let guard = Guard::new(self, cx, request.model(), Arc::clone(shields));
        let lenient = shields.on_failure == OnShieldFailure::Allow;
        let asked: Arc<[Asked]> = request.asked(lenient)?.into();
        let choices = asked.len().saturating_mul(request.answers());
        if let Some(text) = guard.objection_to(&asked).await? {
            cx.trail.settle();
            if !request.streams() {
                return Ok(Reply::Full(Payload::Value(F::refused(
                    request.model(),
                    choices,
                    &text,
                ))));
            }
            let events = E::refused(request.model(), choices, &text, request.wants_usage());
            let events = events.into_iter().map(|event| Ok(Payload::Value(event)));
            return Ok(Reply::Stream(futures::iter(events.collect::<Vec<_>>()).boxed()));
        }
        let reply = request.send(&*self.inner, cx).await?;
        if shields.output.is_empty() {
            return Ok(reply);
        }
        match reply {
            Reply::Full(payload) => {
                spoken::judged(payload, &guard, &asked, choices).await.map(Reply::Full)
            }
            Reply::Stream(events) => Ok(Reply::Stream(stream::held(events, guard, asked, choices))),
        }
    }
}

/// The shields of one request.
struct Guard {
    safety: Arc<dyn Shields>,
    shields: Arc<ModelShields>,
    cx: Context,
    model: String,
}

impl Guard {
    fn new(of: &Guarding, cx: &Context, model: &str, shields: Arc<ModelShields>) -> Self {
        // What shields take is not what the request takes, and the headers are for the model.
        let cx =
            Context { trail: Arc::default(), api_headers: ApiHeaders::default(), ..cx.clone() };
        Self { safety: Arc::clone(&of.safety), shields, cx, model: model.to_owned() }
    }

    /// What the user is told if an input shield objects to something that is asked.
    async fn objection_to(&self, asked: &[Asked]) -> Result<Option<String>> {
        if self.shields.input.is_empty() {
            return Ok(None);
        }
        let questions: Vec<Vec<Message>> = asked.iter().flat_map(Asked::questions).collect();
        let verdicts: Vec<_> = questions
            .iter()
            .map(|messages| self.objection(&self.shields.input, messages))
            .collect();
        let mut verdicts = futures::iter(verdicts).buffered(AT_ONCE);
        while let Some(verdict) = verdicts.try_next().await? {
            if verdict.is_some() {
                return Ok(verdict);
            }
        }
        Ok(None)
    }

    /// What the user is told if an output shield objects to `text` as the answer to `asked`.
    async fn objection_to_answer(&self, asked: &Asked, text: String) -> Result<Option<String>> {
        self.objection(&self.shields.output, &asked.answered(text)).await
    }

    /// What the user is told if one of the shields objects to the last of the messages.
    async fn objection(&self, ids: &[String], messages: &[Message]) -> Result<Option<String>> {
        let verdicts: Vec<_> = ids.iter().map(|id| self.ask(id, messages)).collect();
        let mut verdicts = futures::iter(verdicts).buffered(AT_ONCE);
        while let Some(verdict) = verdicts.try_next().await? {
            if verdict.is_some() {
                return Ok(verdict);
            }
        }
        Ok(None)
    }

    async fn ask(&self, id: &str, messages: &[Message]) -> Result<Option<String>> {
        let violation = match self.safety.run_shield(&self.cx, id, messages, None).await {
            Ok(answer) => answer.violation,
            Err(error) if self.shields.on_failure == OnShieldFailure::Allow => {
                let (model, cause) = (&self.model, error.chain());
                tracing::warn!(
                    target: "safety",
                    model,
                    shield = id,
                    "a shield could not be asked, and the request goes on: {cause}"
                );
                return Ok(None);
            }
            Err(error) => return Err(self.unasked(id, error)),
        };
        let Some(violation) = violation else { return Ok(None) };
        if violation.violation_level != ViolationLevel::Error {
            return Ok(None);
        }
        tracing::info!(target: "safety", model = %self.model, shield = id, "a shield objected");
        let said = violation.user_message.filter(|text| !text.is_empty());
        Ok(Some(said.unwrap_or_else(|| REFUSAL.to_owned())))
    }

    /// The error of a request whose shield could not be asked. What the caller can mend is said; all
    /// else is for the log.
    fn unasked(&self, id: &str, error: Error) -> Error {
        let model = &self.model;
        let (kind, why) = match &error.kind {
            ErrorKind::InvalidRequest
            | ErrorKind::TooLarge
            | ErrorKind::RateLimited { .. }
            | ErrorKind::Timeout => (error.kind.clone(), format!(": {}", error.message)),
            ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Unsupported
            | ErrorKind::Upstream { .. }
            | ErrorKind::Unavailable { .. }
            | ErrorKind::Internal => {
                (ErrorKind::Unavailable { retry_after: None }, "; try again later".to_owned())
            }
        };
        let message = format!(
            "the shield `{id}` of the model `{model}` could not be asked, so there is no answer{why}"
        );
        Error::new(kind, message).with_code("shield_failed").caused_by(error)
    }
}

#[async_trait]
impl Inference for Guarding {
    fn inner(&self) -> Option<&dyn Inference> {
        Some(&*self.inner)
    }

    async fn chat(&self, cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        match self.of(request.model()) {
            None => self.inner.chat(cx, request).await,
            Some(shields) => self.answer(cx, request, shields).await,
        }
    }

    async fn completion(&self, cx: &Context, request: TextCompletionRequest) -> Result<TextReply> {
        match self.of(request.model()) {
            None => self.inner.completion(cx, request).await,
            Some(shields) => self.answer(cx, request, shields).await,
        }
    }

    async fn messages(
        &self,
        cx: &Context,
        model: &str,
        request: &MessagesRequest,
    ) -> Result<Option<MessagesReply>> {
        // The face then asks in the form that is judged.
        if self.of(model).is_some() {
            return Ok(None);
        }
        self.inner.messages(cx, model, request).await
    }
}
