//! What accompanies a request: who asks, and with which credentials.

use crate::{SpanContext, Trail};
use chaski_store::Owner;
use chaski_upstream::Repeats;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Instant};

/// Who asks: what the authentication service said about the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The caller's name, unique among callers.
    pub id: String,
    /// Facts for access policies, such as `roles` and `teams`.
    pub attributes: Map<String, Value>,
}

/// Credentials of the caller for providers, from the provider-data header of the request.
///
/// They are never logged (there is no `Debug` of the values) and reach a provider only for the
/// keys that its [`crate::Spec`] declares.
#[derive(Clone, Default)]
pub struct ProviderData(Arc<Map<String, Value>>);

impl ProviderData {
    pub fn new(values: Map<String, Value>) -> Self {
        Self(Arc::new(values))
    }

    /// The text given for `key`; an empty one counts as not given.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls `visit` with every name and value, in the order of the names.
    pub fn each(&self, mut visit: impl FnMut(&str, &Value)) {
        let mut all: Vec<(&String, &Value)> = self.0.iter().collect();
        all.sort_by_key(|(name, _)| *name);
        for (name, value) in all {
            visit(name, value);
        }
    }

    /// Only the values of `keys`.
    pub fn limited_to(&self, keys: &[&str]) -> Self {
        if self.0.is_empty() {
            return self.clone();
        }
        let kept = self.0.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        Self::new(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl std::fmt::Debug for ProviderData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProviderData({} keys)", self.0.len())
    }
}

/// Headers of the caller that belong to the API it speaks, for upstreams that speak the same one.
#[derive(Debug, Clone, Default)]
pub struct ApiHeaders(Option<Arc<[(&'static str, String)]>>);

impl ApiHeaders {
    /// The headers by their names in lower case.
    pub fn new(headers: Vec<(&'static str, String)>) -> Self {
        Self((!headers.is_empty()).then(|| headers.into()))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().flat_map(|headers| headers.iter()).map(|(name, text)| (*name, text.as_str()))
    }
}

/// What the caller says about remembered answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheControl {
    /// A remembered answer will do.
    #[default]
    Use,
    /// The answer is to be a new one, which may be remembered.
    Refresh,
    /// Nothing is to be remembered.
    Bypass,
}

/// What accompanies a request on its way; passed first, everywhere.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// For the log, and for upstreams that take one.
    pub request_id: Arc<str>,
    /// Who asks; nothing where authentication is off.
    pub principal: Option<Arc<Principal>>,
    /// The caller's own credentials for providers.
    pub provider_data: ProviderData,
    /// Headers of the API that the caller speaks, such as its version.
    pub api_headers: ApiHeaders,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// What the caller says about remembered answers.
    pub cache: CacheControl,
    /// What becomes of the request, for the head of the answer.
    pub trail: Arc<Trail>,
    /// Where the request is in its trace.
    pub spans: SpanContext,
    /// Whether calls of upstreams are repeated where they fail, and who counts that.
    pub repeats: Repeats,
}

impl Context {
    /// Whose data the request is about. Where nobody is asked who they are, everything belongs to
    /// the same nobody.
    pub fn owner(&self) -> Owner {
        let Some(principal) = &self.principal else { return Owner::default() };
        let tenant = principal.attributes.get("tenant").and_then(Value::as_str);
        let tenant = tenant.unwrap_or_default().to_owned();
        Owner { tenant, principal: principal.id.clone() }
    }

    /// The context that the provider of `spec` may see.
    #[must_use]
    pub fn for_provider(&self, provider_data_keys: &[&str]) -> Self {
        let provider_data = self.provider_data.limited_to(provider_data_keys);
        Self { provider_data, ..self.clone() }
    }
}
