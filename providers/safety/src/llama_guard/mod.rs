//! Llama Guard: a model that judges messages.

mod categories;
mod prompt;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use categories::{Category, Guard, allowed};
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result,
    inference::Message,
    openai::{Body, ChatRequest, ModerationCategory},
    safety::{RunShieldResponse, SafetyViolation, Shield, ViolationLevel},
};
use chaski_provider::{
    Context, Deps, Hosts, Lifecycle, Provider, ProviderConfig, Reply, Safety, SafetyProvider, Spec,
};
use prompt::Verdict;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a user is told in place of an answer.
const REFUSAL: &str = "I can't answer that. Can I help with something else?";

const DOCS: &str = "\
Asks a model of the Llama Guard family whether the last message of a conversation is safe.

- The id that a shield has at this provider names the model: `Llama-Guard-3-8B`, `Llama-Guard-3-1B`,
  `Llama-Guard-3-11B-Vision` or `Meta-Llama-Guard-2-8B`, with or without `meta-llama/`. The model is asked through the
  registry under its name with `meta-llama/`, so any provider of inference may serve it; `params.model` of the shield
  names another registered model.
- `excluded_categories` lists codes that are not objected to, such as `S6`.
- In `POST /v1/moderations` the categories are those of OpenAI that fit. Specialized advice, privacy, intellectual
  property and elections have none there: such content is flagged, and `metadata` says why.
- Images are shown to the vision model. The other models see the texts alone.
- An answer that is neither `safe` nor `unsafe` with codes is an error, and so is a model that cannot be asked: whoever
  runs the shield does not go on then.
";

chaski_api::wire! {
    /// The configuration of `inline::llama-guard`.
    pub struct LlamaGuardConfig {
        /// The codes of categories that are not objected to.
        pub excluded_categories: Vec<String> = Vec::new(),
    }
}

impl ProviderConfig for LlamaGuardConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "excluded_categories": [] })
    }

    fn validate(&self, reader: &mut Reader) {
        let known = |code: &String| categories::OF_3.iter().any(|(known, _)| known == code);
        for (index, code) in self.excluded_categories.iter().enumerate() {
            if !known(code) {
                reader.key("excluded_categories", |reader| {
                    reader.index(index, |reader| {
                        let text = format!("`{code}` is no category; they are `S1` to `S14`");
                        reader.issue::<()>("category", text)
                    })
                });
            }
        }
    }
}

/// Shields of the family.
pub(crate) struct LlamaGuard {
    excluded: Vec<String>,
    deps: Deps,
}

impl Provider for LlamaGuard {
    type Api = dyn SafetyProvider;
    type Config = LlamaGuardConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Safety,
            "inline::llama-guard",
            "Asks a Llama Guard model whether messages are safe.",
        )
    };

    async fn build(config: LlamaGuardConfig, deps: Deps) -> Result<Arc<dyn SafetyProvider>> {
        Ok(Arc::new(Self { excluded: config.excluded_categories, deps }))
    }
}

fn guard(id: &str) -> Result<Guard> {
    Guard::named(id).ok_or_else(|| {
        Error::invalid(format!("Unsupported Llama Guard type: {id}. Allowed types: {}", allowed()))
    })
}

impl LlamaGuard {
    fn is_excluded(&self, code: &str) -> bool {
        self.excluded.iter().any(|excluded| excluded == code)
    }

    /// The categories that are asked for. With none left all are, as in the reference.
    fn categories(&self, guard: Guard) -> Vec<Category> {
        let all = guard.categories.iter().copied();
        let kept: Vec<Category> = all.filter(|(code, _)| !self.is_excluded(code)).collect();
        if kept.is_empty() { guard.categories.to_vec() } else { kept }
    }

    async fn ask(&self, cx: &Context, model: String, content: Value) -> Result<String> {
        let mut body = Body::default();
        body.insert("model".to_owned(), model.as_str().into());
        body.insert("messages".to_owned(), json!([{ "role": "user", "content": content }]));
        body.insert("temperature".to_owned(), json!(0));
        let inference = self.deps.routers.inference()?;
        let Reply::Full(answer) = inference.chat(cx, ChatRequest { body }).await? else {
            let kind = ErrorKind::Upstream { status: None };
            return Err(Error::new(kind, format!("the model `{model}` answered with a stream")));
        };
        let answer = serde_json::to_value(answer.into_value()?).unwrap_or_default();
        let text = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
        Ok(text.unwrap_or_default().to_owned())
    }
}

#[async_trait]
impl Safety for LlamaGuard {
    async fn run_shield(
        &self,
        cx: &Context,
        shield: &Shield,
        messages: &[Message],
        _params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let guard = guard(&shield.provider_resource_id)?;
        let turns = prompt::looked_at(messages)?;
        let content = prompt::asked(&turns, &self.categories(guard), guard.sees_images);
        let named = shield.params.as_ref().and_then(|params| params.get("model"));
        let model = named.and_then(Value::as_str).map_or_else(|| guard.model(), str::to_owned);
        let answer = self.ask(cx, model, content).await?;
        let violation = match prompt::read(&answer)? {
            Verdict::Safe => None,
            Verdict::Unsafe(codes)
                if codes.split(',').all(|code| self.is_excluded(code.trim())) =>
            {
                None
            }
            Verdict::Unsafe(codes) => Some(SafetyViolation {
                violation_level: ViolationLevel::Error,
                user_message: Some(REFUSAL.to_owned()),
                metadata: Map::from_iter([("violation_type".to_owned(), codes.into())]),
            }),
        };
        Ok(RunShieldResponse { violation })
    }

    fn categories(&self, shield: &Shield, violation: &SafetyViolation) -> Vec<ModerationCategory> {
        let Some(guard) = Guard::named(&shield.provider_resource_id) else { return Vec::new() };
        let codes = violation.metadata.get("violation_type").and_then(Value::as_str);
        let codes = codes.unwrap_or_default().split(',').map(str::trim);
        let mut found: Vec<ModerationCategory> = codes
            .filter(|code| !self.is_excluded(code))
            .filter_map(|code| guard.categories.iter().find(|(known, _)| *known == code))
            .flat_map(|(_, name)| categories::of_openai(name))
            .copied()
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[async_trait]
impl Hosts<Shield> for LlamaGuard {
    async fn on_register(&self, shield: Shield) -> Result<Shield> {
        guard(&shield.provider_resource_id)?;
        Ok(shield)
    }
}

#[async_trait]
impl Lifecycle for LlamaGuard {}
