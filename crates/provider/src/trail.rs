//! What became of a request: who was asked, how often, and what it took. Written by routers, read
//! where the head of the answer is made.

use crate::Tokens;
use bytes::Bytes;
use chaski_api::routing::Cost;
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// A provider model that answers requests, as the head of an answer names it.
#[derive(Debug, PartialEq)]
pub struct Served {
    /// The provider instance, in visible ASCII.
    pub provider: Bytes,
    /// The provider's name of the model, in visible ASCII.
    pub model: Bytes,
    /// What its tokens cost.
    pub cost: Option<Cost>,
    /// As its provider says it ([`Spec::streams_calls`](crate::Spec::streams_calls)).
    pub streams_calls: bool,
}

impl Served {
    /// One whose calls come whole in streams.
    pub fn new(provider: &str, model: &str, cost: Option<Cost>) -> Self {
        Self { provider: visible(provider), model: visible(model), cost, streams_calls: false }
    }
}

/// The text with everything that a header cannot hold written as `%XX`.
fn visible(text: &str) -> Bytes {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Bytes::copy_from_slice(text.as_bytes());
    }
    let escaped = text.bytes().map(|byte| match byte {
        b'%' => "%25".to_owned(),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect::<String>().into()
}

/// Whether an answer was remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembered {
    /// It is one that was given before.
    Hit,
    /// It is a new one.
    Miss,
}

/// What became of a request. The one lock is never waited for: a request has one writer at a time.
#[derive(Debug, Default)]
pub struct Trail {
    attempts: AtomicU32,
    served: Mutex<Option<Arc<Served>>>,
    settled: AtomicBool,
    remembered: OnceLock<Remembered>,
    prompt: AtomicU64,
    completion: AtomicU64,
}

impl Trail {
    /// Notes who is asked now.
    pub fn lead_to(&self, served: &Arc<Served>) {
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(served));
    }

    /// Notes that a request is given to a provider, or a call of one repeated.
    pub fn attempt(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    /// Notes that nobody else will be asked.
    pub fn settle(&self) {
        self.settled.store(true, Relaxed);
    }

    /// Notes whether the answer was remembered, where answers are.
    pub fn remember(&self, outcome: Remembered) {
        // The first of several answers behind one request decides.
        let _: &Remembered = self.remembered.get_or_init(|| outcome);
    }

    /// Notes the tokens that the provider counted.
    pub fn spend(&self, tokens: Tokens) {
        self.prompt.fetch_add(tokens.prompt, Relaxed);
        self.completion.fetch_add(tokens.completion, Relaxed);
    }

    /// How many requests were given to providers and how many calls repeated, all in all.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }

    /// Who was asked last.
    pub fn served(&self) -> Option<Arc<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the answer was remembered; nothing where it is not looked for.
    pub fn remembered(&self) -> Option<Remembered> {
        self.remembered.get().copied()
    }

    /// Whether nobody else will be asked.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Relaxed)
    }

    /// The tokens that the provider counted so far.
    pub fn tokens(&self) -> Tokens {
        Tokens { prompt: self.prompt.load(Relaxed), completion: self.completion.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::Served;

    #[test]
    fn names_are_written_so_that_a_header_can_hold_them() {
        let served = Served::new("my vllm", "org/modèle-1.5:tag", None);
        assert_eq!(&served.provider[..], b"my%20vllm");
        assert_eq!(&served.model[..], b"org/mod%C3%A8le-1.5:tag");
    }
}
