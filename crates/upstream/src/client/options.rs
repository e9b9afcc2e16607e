//! Limits of the client, its proxies, and addresses that are let through.

use chaski_api::{Error, Result, Secret};
use hyper_util::client::proxy::matcher::Matcher;
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

    fn from_str(text: &str) -> std::result::Result<Self, String> {
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

/// The proxies that requests go through, and the hosts that are reached without one. This machine
/// itself is always reached directly.
///
/// A proxy is an address such as `http://name:password@proxy.internal:3128`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For addresses without TLS.
    pub http: Option<Secret>,
    /// For addresses with TLS, through `CONNECT`.
    pub https: Option<Secret>,
    /// For both, where they have none of their own.
    pub all: Option<Secret>,
    /// Hosts, domains and networks without a proxy, as in the variable `NO_PROXY`:
    /// `internal.example,10.0.0.0/8`.
    pub except: Option<String>,
}

impl Proxies {
    pub(super) fn are_none(&self) -> bool {
        self.http.is_none() && self.https.is_none() && self.all.is_none()
    }

    /// What the complete client is given.
    pub(super) fn for_client(&self) -> Result<Vec<reqwest::Proxy>> {
        type Make = fn(&str) -> reqwest::Result<reqwest::Proxy>;
        let kinds: [(&str, &Option<Secret>, Make); 3] = [
            ("`http` addresses", &self.http, |proxy| reqwest::Proxy::http(proxy)),
            ("`https` addresses", &self.https, |proxy| reqwest::Proxy::https(proxy)),
            ("all addresses", &self.all, |proxy| reqwest::Proxy::all(proxy)),
        ];
        let except = self.except.as_deref().and_then(reqwest::NoProxy::from_string);
        let given =
            kinds.iter().filter_map(|(what, proxy, make)| Some((what, proxy.as_ref()?, make)));
        given
            .map(|(what, proxy, make)| {
                let proxy = proxy.expose();
                let spoken = !proxy.contains("://")
                    || proxy.starts_with("http://")
                    || proxy.starts_with("https://");
                let made = if spoken { make(proxy).ok() } else { None };
                // The value may hold a password, so it is not shown.
                let made = made.ok_or_else(|| {
                    Error::invalid(format!(
                        "the proxy for {what} is not an address such as \
                         `http://proxy.internal:3128`"
                    ))
                })?;
                Ok(made.no_proxy(except.clone()))
            })
            .collect()
    }

    /// Which proxy an address is reached through.
    pub(super) fn matcher(&self) -> Matcher {
        let shown = |proxy: &Option<Secret>| {
            proxy.as_ref().map(|proxy| proxy.expose().to_owned()).unwrap_or_default()
        };
        Matcher::builder()
            .http(shown(&self.http))
            .https(shown(&self.https))
            .all(shown(&self.all))
            .no(self.except.clone().unwrap_or_default())
            .build()
    }
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
    /// None by default. Addresses of callers are never reached through one: it would resolve
    /// their names itself, out of reach of the check.
    pub proxies: Proxies,
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
            proxies: Proxies::default(),
            user_agent: concat!("chaski/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
