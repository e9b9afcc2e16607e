//! When a failed attempt is repeated, and after how long. The rules are those of OpenAI's client.

use super::{End, Request, Response, failure::Failure};
use http::{HeaderMap, HeaderValue, header};
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A longer wish of the upstream is passed on to the caller in place of waiting.
const LONGEST_WISH: Duration = Duration::from_mins(1);

/// The pause before the next attempt; nothing if there is to be none.
pub(super) fn pause(
    request: &Request,
    attempt: u32,
    end: Option<End>,
    outcome: &Result<Response, Failure>,
) -> Option<Duration> {
    if attempt >= request.0.retries || request.0.repeats.are_off() {
        return None;
    }
    let pause = match outcome {
        Ok(response) => {
            let advice = response.headers().get("x-should-retry").map(HeaderValue::as_bytes);
            let again = match advice {
                Some(b"true") => true,
                Some(b"false") => false,
                _ => matches!(response.status().as_u16(), 408 | 409 | 429 | 500..),
            };
            if !again {
                return None;
            }
            match wished(response.headers()) {
                Some(wish) if wish > LONGEST_WISH => return None,
                Some(wish) => wish,
                None => usual(attempt),
            }
        }
        Err(Failure::Unreached(_) | Failure::Unanswered(_)) => usual(attempt),
        Err(Failure::Late(..) | Failure::Refused(_) | Failure::Invalid(_)) => return None,
    };
    let in_time = end.is_none_or(|end| Instant::now() + pause < end.at);
    in_time.then_some(pause)
}

/// What `Retry-After` asks for.
pub(super) fn wished(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = |text: &str, unit: f64| {
        let number = text.trim().parse::<f64>().ok()? * unit;
        Duration::try_from_secs_f64(number).ok()
    };
    if let Some(wish) = text("retry-after-ms").and_then(|text| seconds(text, 0.001)) {
        return Some(wish);
    }
    let value = text(header::RETRY_AFTER.as_str())?;
    seconds(value, 1.0).or_else(|| {
        let date = jiff::fmt::rfc2822::parse(value).ok()?;
        let date = SystemTime::from(date.timestamp());
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    })
}

/// Doubling pauses, shortened by up to a quarter so that callers do not come back all at once.
fn usual(attempt: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << attempt.min(8)).min(LONGEST_PAUSE);
    let random = u32::try_from(RandomState::new().hash_one(attempt) % 1000).unwrap_or_default();
    pause.mul_f64(1.0 - 0.25 * f64::from(random) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, value: &'static str, expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        assert_eq!(wished(&headers), expected.map(Duration::from_millis), "{name}: {value}");
    }

    #[test]
    fn the_upstream_says_how_long_to_wait_in_seconds_milliseconds_or_as_a_date() {
        check("retry-after", "3", Some(3000));
        check("retry-after", " 0.5 ", Some(500));
        check("retry-after-ms", "250", Some(250));
        check("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(0));
        check("retry-after", "-3", None);
        check("retry-after", "soon", None);
        check("retry-after", "1e999", None);
        check("retry-after", "NaN", None);
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        for (attempt, most) in [(0, 500), (1, 1000), (2, 2000), (10, 8000)] {
            let pause = usual(attempt);
            let most = Duration::from_millis(most);
            assert!(pause <= most && pause >= most.mul_f64(0.75), "{attempt}: {pause:?}");
        }
    }
}
