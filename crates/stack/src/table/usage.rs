//! What the requests for a resource took, since the start of the process.

use super::Place;
use chaski_api::inspect::ModelUsage;
use chaski_provider::{Resource, Tokens};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the requests for one resource at one provider took. Written without locks.
#[derive(Debug)]
pub(crate) struct Usage {
    /// The resource.
    pub(crate) id: String,
    requests: AtomicU64,
    failures: AtomicU64,
    prompt: AtomicU64,
    completion: AtomicU64,
}

impl Usage {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            prompt: AtomicU64::new(0),
            completion: AtomicU64::new(0),
        }
    }

    /// Counts a request that is given to the provider, or repeated.
    pub(crate) fn sent(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts a request that failed.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Counts tokens.
    pub(crate) fn spent(&self, tokens: Tokens) {
        self.prompt.fetch_add(tokens.prompt, Relaxed);
        self.completion.fetch_add(tokens.completion, Relaxed);
    }
}

impl<R: Resource> Place<R> {
    /// What the requests that came here took.
    pub(crate) fn spent(&self) -> ModelUsage {
        let Usage { id, requests, failures, prompt, completion } = &*self.usage;
        let (prompt, completion) = (prompt.load(Relaxed), completion.load(Relaxed));
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let cost = self.served.cost.as_ref();
        ModelUsage {
            model_id: id.clone(),
            provider_id: self.provider_id.clone(),
            provider_model_id: self.resource_id.clone(),
            requests: number(requests.load(Relaxed)),
            failures: number(failures.load(Relaxed)),
            prompt_tokens: number(prompt),
            completion_tokens: number(completion),
            cost: cost.map(|cost| cost.of(prompt, completion)),
            currency: cost.map(|cost| cost.currency.clone()),
            under_way: number(self.load.under_way() as u64),
            resting: self.load.rests(),
        }
    }
}
