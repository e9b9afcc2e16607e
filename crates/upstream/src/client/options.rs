//! Limits of the client, and addresses that are let through.

use std::{fmt, str::FromStr, time::Duration};

/// A host and a port, as `127.0.0.1:9110`, `[::1]:80` or `images.internal:443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// In lower case; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a host and a port, such as `10.0.0.5:8080`");
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// When calls are not let through any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// So many failures within `window` open the circuit,
    pub failures: usize,
    /// if at least this share of the calls in this time failed, in percent.
    pub failure_percent: u32,
    pub window: Duration,
    /// How long nothing is sent then, before a call may try.
    pub open: Duration,
}

/// The limits of the client.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The name of the provider that it belongs to, for messages.
    pub provider: Option<String>,
    /// For a connection to be made, with TLS.
    pub connect_timeout: Duration,
    /// From the request to the head of the answer. A model may think long before its first token.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer.
    pub read_timeout: Duration,
    /// For a request with its repetitions and its whole answer, streams included.
    pub total_timeout: Option<Duration>,
    /// For a fetch from an address that a caller gave, all in all.
    pub fetch_timeout: Duration,
    /// How often a failed call of a model is repeated.
    pub retries: u32,
    /// How many retries there may be in a hundred calls, beyond ten at first and one a second.
    pub retry_budget_percent: u32,
    /// The most calls at one time, until the end of their answers.
    pub concurrent_requests: usize,
    /// The most calls that wait for one of them to end.
    pub waiting_requests: usize,
    /// How long they wait.
    pub waiting_timeout: Duration,
    /// When calls are not let through any more; they always are unless given.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Addresses that callers may have fetched although they are not public.
    pub egress_allow: Vec<HostPort>,
    /// Whether callers give the addresses of all requests: then the same ones are connected to as
    /// for a fetch.
    pub addresses_of_callers: bool,
    pub user_agent: String,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            provider: None,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_mins(10),
            read_timeout: Duration::from_mins(5),
            total_timeout: None,
            fetch_timeout: Duration::from_secs(30),
            retries: 2,
            retry_budget_percent: 20,
            concurrent_requests: usize::MAX,
            waiting_requests: 1024,
            waiting_timeout: Duration::from_secs(30),
            circuit_breaker: None,
            egress_allow: Vec::new(),
            addresses_of_callers: false,
            user_agent: concat!("chaski/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
