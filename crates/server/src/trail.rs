//! The headers that say what became of a request: who answered, and after how many attempts.

use chaski_provider::{Tokens, Trail};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The provider instance that answered.
const PROVIDER: HeaderName = HeaderName::from_static("x-chaski-provider");
/// The provider's name of the model.
const MODEL: HeaderName = HeaderName::from_static("x-chaski-model");
/// How many requests were sent to providers.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-chaski-attempts");

/// What the answer cost, in the currency of the model's `cost`; with answers that come at once.
const COST: HeaderName = HeaderName::from_static("x-chaski-cost");

/// Writes what is known into the head of an answer.
pub(crate) fn adorn(headers: &mut HeaderMap, status: StatusCode, trail: &Trail) {
    let Some(served) = trail.served() else { return };
    // A stream that is slow to begin has a head before it is certain who answers.
    if status.is_success() && !trail.is_settled() {
        return;
    }
    for (name, text) in [(PROVIDER, &served.provider), (MODEL, &served.model)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(text.clone()) {
            headers.insert(name, value);
        }
    }
    let attempts = match trail.attempts() {
        1 => HeaderValue::from_static("1"),
        more => HeaderValue::from(more),
    };
    headers.insert(ATTEMPTS, attempts);
    let tokens = trail.tokens();
    if let Some(cost) = served.cost.as_ref().filter(|_| tokens != Tokens::default()) {
        let price = cost.of(tokens.prompt, tokens.completion).to_string();
        if let Ok(price) = HeaderValue::from_maybe_shared(bytes::Bytes::from(price)) {
            headers.insert(COST, price);
        }
    }
}
