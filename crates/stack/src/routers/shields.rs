//! Shields: each run goes to the provider of its shield.

use super::declared::{Declared, only};
use crate::{RoutingTable, config::RunConfig, resolver::is_disabled, table::Placed};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    endpoints::shields::RegisterShieldRequest,
    inference::Message,
    openai::ModerationCategory,
    safety::{RunShieldResponse, Shield, ShieldTag},
};
use chaski_provider::{Context, Judges, Shields};
use serde_json::{Map, Value};
use std::{borrow::Cow, sync::Arc};

/// Hands each run to the provider of its shield.
pub(crate) struct ShieldRouter {
    shields: Arc<RoutingTable<Shield>>,
}

impl ShieldRouter {
    pub(crate) fn new(shields: Arc<RoutingTable<Shield>>) -> Self {
        Self { shields }
    }
}

#[async_trait]
impl Shields for ShieldRouter {
    async fn run_shield(
        &self,
        cx: &Context,
        shield_id: &str,
        messages: &[Message],
        params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let mut span = cx.spans.start("SafetyRouter.run_shield");
        span.set_with("shield_id", || shield_id.to_owned());
        let cx = &cx.within(&span);
        let answer = async {
            let routed = self.shields.route(shield_id).await?;
            let (shield, cx) = (&routed.resource, &routed.context(cx));
            routed.provider.run_shield(cx, shield, messages, params).await
        };
        let answer = answer.await;
        span.note(&answer);
        if let Ok(RunShieldResponse { violation: Some(violation) }) = &answer {
            span.set("violation_level", violation.violation_level.as_str());
        }
        answer
    }

    async fn moderate(
        &self,
        cx: &Context,
        shield_id: &str,
        messages: &[Message],
    ) -> Result<(RunShieldResponse, Vec<ModerationCategory>)> {
        let answer = self.run_shield(cx, shield_id, messages, None).await?;
        let Some(violation) = &answer.violation else { return Ok((answer, Vec::new())) };
        let routed = self.shields.route(shield_id).await?;
        let categories = routed.provider.categories(&routed.resource, violation);
        Ok((answer, categories))
    }
}

/// What the names of OpenAI's own moderation models begin with.
const OF_OPENAI: &[&str] = &["omni-moderation", "text-moderation"];

impl RoutingTable<Shield> {
    /// The id of the shield that a moderation means: the one that it names, else `default`, else the
    /// first that judges what is said, else the first against attacks, else the first of all. One whose
    /// provider is not there counts as if it judged what is said, so that no other one takes its place.
    ///
    /// # Errors
    /// `InvalidRequest` if there is none.
    pub fn meant<'a>(
        &self,
        named: Option<&'a str>,
        default: Option<&'a str>,
    ) -> Result<Cow<'a, str>> {
        let shields = self.placed();
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            let registered = shields.iter().any(|shield| shield.resource.identifier == named);
            if registered || !OF_OPENAI.iter().any(|start| named.starts_with(start)) {
                return Ok(named.into());
            }
        }
        if let Some(default) = default {
            return Ok(default.into());
        }
        let judges = |shield: &&Arc<Placed<Shield>>| {
            let provider = shield.places.first().and_then(|place| place.provider().ok());
            provider.map_or(Judges::Content, |provider| provider.judges())
        };
        let first = shields.iter().min_by_key(judges).ok_or_else(|| {
            let message = "there is no shield; add one to `shields` in the configuration, or \
                           register it with `POST /v1/shields`";
            Error::invalid(message).with_param("model")
        })?;
        Ok(first.resource.identifier.clone().into())
    }

    /// Registers the shield that a request describes, or updates it; answers what is stored.
    ///
    /// # Errors
    /// The provider is not there, or does not have such a shield.
    pub async fn register_shield(&self, request: RegisterShieldRequest) -> Result<Shield> {
        if request.shield_id.is_empty() {
            return Err(Error::invalid("`shield_id` is empty; give the shield a name"));
        }
        let given = request.provider_id.as_deref().filter(|id| !id.is_empty());
        let provider_id = self.choose_provider(given)?;
        let provider_resource_id = request.provider_shield_id.filter(|id| !id.is_empty());
        self.register(Shield {
            provider_resource_id: provider_resource_id.unwrap_or_else(|| request.shield_id.clone()),
            identifier: request.shield_id,
            provider_id,
            tag: ShieldTag::Shield,
            params: Some(request.params.unwrap_or_default()),
        })
        .await
    }
}

impl Declared for Shield {
    const RELIED_ON: bool = true;

    /// A shield that names no provider is that of the only one.
    fn declared(config: &RunConfig, hosts: &[&str]) -> Vec<Self> {
        let only = only(hosts);
        let wanted = config.shields.iter().filter(|entry| {
            !entry.shield_id.is_empty()
                && entry.provider_id.as_deref().is_none_or(|id| !is_disabled(id))
        });
        wanted
            .filter_map(|entry| {
                Some(Self {
                    identifier: entry.shield_id.clone(),
                    provider_resource_id: entry
                        .provider_shield_id
                        .clone()
                        .unwrap_or_else(|| entry.shield_id.clone()),
                    provider_id: entry.provider_id.as_deref().or(only)?.to_owned(),
                    tag: ShieldTag::Shield,
                    params: Some(entry.params.clone().unwrap_or_default()),
                })
            })
            .collect()
    }
}
