//! The headers that say what became of a request: who answered, and after how many attempts.

use chaski_provider::{CacheControl, Remembered, Tokens, Trail};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// The provider instance that answered.
const PROVIDER: HeaderName = HeaderName::from_static("x-chaski-provider");
/// The provider's name of the model.
const MODEL: HeaderName = HeaderName::from_static("x-chaski-model");
/// How many attempts it took.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-chaski-attempts");

/// What the answer cost, in the currency of the model's `cost`; with answers that come at once.
const COST: HeaderName = HeaderName::from_static("x-chaski-cost");

/// Whether the answer is one that was given before: `hit` or `miss`.
const CACHE: HeaderName = HeaderName::from_static("x-chaski-cache");

/// Writes what is known into the head of an answer.
pub(crate) fn adorn(headers: &mut HeaderMap, status: StatusCode, trail: &Trail) {
    if let Some(remembered) = trail.remembered() {
        let text = match remembered {
            Remembered::Hit => "hit",
            Remembered::Miss => "miss",
        };
        headers.insert(CACHE, HeaderValue::from_static(text));
    }
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

/// What the caller says about remembered answers.
pub(crate) fn cache_control(headers: &HeaderMap) -> CacheControl {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut control = CacheControl::Use;
    for directive in texts.flat_map(|text| text.split(',')) {
        let directive = directive.trim();
        if directive.eq_ignore_ascii_case("no-store") {
            return CacheControl::Bypass;
        }
        if directive.eq_ignore_ascii_case("no-cache") || directive.eq_ignore_ascii_case("max-age=0")
        {
            control = CacheControl::Refresh;
        }
    }
    control
}

#[cfg(test)]
mod tests {
    use super::cache_control;
    use chaski_provider::CacheControl;
    use http::{HeaderMap, HeaderValue, header};

    #[test]
    fn callers_say_whether_a_remembered_answer_will_do() {
        let control = |texts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_static(text));
            }
            cache_control(&headers)
        };
        assert_eq!(control(&[]), CacheControl::Use);
        assert_eq!(control(&["max-age=60, private"]), CacheControl::Use);
        assert_eq!(control(&["private,No-Cache"]), CacheControl::Refresh);
        assert_eq!(control(&["max-age=0"]), CacheControl::Refresh);
        assert_eq!(control(&["no-cache", "no-store"]), CacheControl::Bypass);
    }
}
