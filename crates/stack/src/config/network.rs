//! The `network:` part of a provider entry: how its upstream is called.

use chaski_api::{
    Wire,
    wire::{Above, AtLeast, Between},
};
use chaski_upstream::{CircuitBreaker, HttpOptions};
use std::time::Duration;

chaski_api::wire! {
    /// When an upstream that keeps failing is left alone: no connection, no answer in time, an
    /// answer that breaks off, and the statuses 502, 503, 504 and 529 are failures.
    pub struct CircuitBreakerConfig {
        /// Whether calls are held back at all.
        pub enabled: bool = true,
        /// So many failures within `window_seconds` open the circuit,
        pub failures: AtLeast<1> = Between(10),
        /// if at least this share of all calls in this time failed, in percent.
        pub failure_percent: Between<1, 100> = Between(50),
        /// How far apart these failures may be, in seconds.
        pub window_seconds: Above<0> = Above(30.0),
        /// How long calls are answered 503 then, in seconds, before one of them may try. Its
        /// success closes the circuit; its failure keeps it open for as long again.
        pub open_seconds: Above<0> = Above(2.0),
    }

    /// How the upstream of a provider is called.
    pub struct NetworkConfig {
        /// How long a connection may take to be made, TLS included, in seconds.
        pub connect_seconds: Above<0> = Above(10.0),
        /// How long an answer may take to begin, in seconds.
        pub first_byte_seconds: Above<0> = Above(600.0),
        /// How long an answer may pause, in seconds.
        pub read_seconds: Above<0> = Above(300.0),
        /// How long a call may take as a whole, its repetitions and the end of a stream included,
        /// in seconds; as long as `server.limits.total_seconds` allows unless given.
        pub total_seconds: Option<Above<0>>,
        /// The most calls at one time, until the end of their answers; no limit of its own unless
        /// given.
        pub concurrent_requests: Option<AtLeast<1>>,
        /// The most calls that wait for one of them to end; the next ones are answered 503.
        pub waiting_requests: AtLeast<0> = Between(1024),
        /// How long a call waits for its turn, in seconds, before it is answered 503.
        pub waiting_seconds: Above<0> = Above(30.0),
        /// How often a call is repeated that was not answered, or with a status that may pass
        /// (408, 409, 429 and from 500). `Retry-After` is obeyed up to a minute. Nothing is
        /// repeated once an answer has begun, nor while another one of the `targets` of a model
        /// is up and does not rest: that one is asked first.
        pub retries: Between<0, 10> = Between(2),
        /// How many repetitions there may be in a hundred calls, beyond ten at first and one a
        /// second.
        pub retry_budget_percent: Between<0, 100> = Between(20),
        /// When an upstream that keeps failing is left alone.
        pub circuit_breaker: CircuitBreakerConfig = CircuitBreakerConfig::default(),
    }
}

/// The defaults of a structure whose fields all have one.
fn defaults<T: Wire>() -> T {
    T::from_json(serde_json::json!({})).expect("every field has a default")
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        defaults()
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        defaults()
    }
}

impl NetworkConfig {
    /// Sets the limits of the client of `provider`.
    pub fn apply(&self, provider: &str, options: &mut HttpOptions) {
        let breaker = &self.circuit_breaker;
        options.provider = Some(provider.to_owned());
        options.connect_timeout = seconds(self.connect_seconds);
        options.first_byte_timeout = seconds(self.first_byte_seconds);
        options.read_timeout = seconds(self.read_seconds);
        options.total_timeout = self.total_seconds.map(seconds);
        options.retries = number(self.retries.0);
        options.retry_budget_percent = number(self.retry_budget_percent.0);
        options.concurrent_requests =
            self.concurrent_requests.map_or(usize::MAX, |most| count(most.0));
        options.waiting_requests = count(self.waiting_requests.0);
        options.waiting_timeout = seconds(self.waiting_seconds);
        options.circuit_breaker = breaker.enabled.then(|| CircuitBreaker {
            failures: count(breaker.failures.0),
            failure_percent: number(breaker.failure_percent.0),
            window: seconds(breaker.window_seconds),
            open: seconds(breaker.open_seconds),
        });
    }
}

/// A year where the number is larger than a clock can count.
fn seconds(seconds: Above<0>) -> Duration {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    Duration::try_from_secs_f64(seconds.0).map_or(YEAR, |time| time.min(YEAR))
}

/// The configuration allows no negative number here, and none that is too large.
fn number(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(network: serde_json::Value) -> HttpOptions {
        let mut options = HttpOptions::default();
        NetworkConfig::from_json(network).unwrap().apply("a", &mut options);
        options
    }

    #[test]
    fn what_is_not_given_has_the_defaults_of_the_client_and_a_circuit_breaker() {
        let (given, usual) = (options(serde_json::json!({})), HttpOptions::default());
        assert_eq!(given.provider.as_deref(), Some("a"));
        assert_eq!(given.connect_timeout, usual.connect_timeout);
        assert_eq!(given.first_byte_timeout, usual.first_byte_timeout);
        assert_eq!(given.read_timeout, usual.read_timeout);
        assert_eq!(given.total_timeout, usual.total_timeout);
        assert_eq!(given.retries, usual.retries);
        assert_eq!(given.retry_budget_percent, usual.retry_budget_percent);
        assert_eq!(given.concurrent_requests, usual.concurrent_requests);
        assert_eq!(given.waiting_requests, usual.waiting_requests);
        assert_eq!(given.waiting_timeout, usual.waiting_timeout);
        assert!(given.circuit_breaker.is_some());
    }

    #[test]
    fn what_is_given_reaches_the_client() {
        let given = options(serde_json::json!({
            "connect_seconds": 1.5, "first_byte_seconds": "20", "read_seconds": 1e300,
            "total_seconds": 60, "concurrent_requests": 8, "waiting_requests": 0,
            "retries": 0, "retry_budget_percent": 5,
            "circuit_breaker": { "failures": 3, "open_seconds": 0.25 },
        }));
        assert_eq!(given.connect_timeout, Duration::from_millis(1500));
        assert_eq!(given.first_byte_timeout, Duration::from_secs(20));
        assert_eq!(given.read_timeout, Duration::from_hours(24 * 365));
        assert_eq!(given.total_timeout, Some(Duration::from_mins(1)));
        assert_eq!((given.concurrent_requests, given.waiting_requests), (8, 0));
        assert_eq!((given.retries, given.retry_budget_percent), (0, 5));
        let breaker = given.circuit_breaker.unwrap();
        assert_eq!((breaker.failures, breaker.open), (3, Duration::from_millis(250)));
        let off = options(serde_json::json!({ "circuit_breaker": { "enabled": false } }));
        assert_eq!(off.circuit_breaker, None);
    }
}
