//! The contract of shields.

use crate::{Context, Hosts, Lifecycle};
use async_trait::async_trait;
use chaski_api::{
    Result,
    inference::Message,
    openai::ModerationCategory,
    safety::{RunShieldResponse, SafetyViolation, Shield},
};
use serde_json::{Map, Value};

/// What shields look for, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judges {
    /// What is said: harm of any kind, as moderations mean it.
    Content,
    /// What is meant to take control of a model.
    Attacks,
    /// Code that is not safe.
    Code,
}

/// Shields: what they object to in messages.
#[async_trait]
pub trait Safety: Send + Sync {
    /// What a shield of this provider says about messages, the oldest first. `params` are the
    /// settings of this run.
    ///
    /// # Errors
    /// `InvalidRequest` for messages that it cannot look at, and what keeps it from looking. Whoever
    /// asks must not go on then.
    async fn run_shield(
        &self,
        cx: &Context,
        shield: &Shield,
        messages: &[Message],
        params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse>;

    /// What the shields of this provider look for.
    fn judges(&self) -> Judges {
        Judges::Content
    }

    /// The categories of OpenAI's moderations that a violation of a shield belongs to; none where
    /// the shield has no such categories.
    fn categories(
        &self,
        _shield: &Shield,
        _violation: &SafetyViolation,
    ) -> Vec<ModerationCategory> {
        Vec::new()
    }
}

/// What a provider of shields must be. Registering a shield checks that the provider has it.
pub trait SafetyProvider: Safety + Hosts<Shield> + Lifecycle {}
impl<T: Safety + Hosts<Shield> + Lifecycle> SafetyProvider for T {}

/// All shields of the stack by their ids.
#[async_trait]
pub trait Shields: Send + Sync {
    /// What a shield says about messages.
    ///
    /// # Errors
    /// `NotFound` for a shield that is not registered, and those of the provider.
    async fn run_shield(
        &self,
        cx: &Context,
        shield_id: &str,
        messages: &[Message],
        params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse>;

    /// What a shield says about messages, and the categories of OpenAI's moderations for it.
    ///
    /// # Errors
    /// As of [`Self::run_shield`].
    async fn moderate(
        &self,
        cx: &Context,
        shield_id: &str,
        messages: &[Message],
    ) -> Result<(RunShieldResponse, Vec<ModerationCategory>)> {
        Ok((self.run_shield(cx, shield_id, messages, None).await?, Vec::new()))
    }
}
