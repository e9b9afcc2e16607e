//! The HTTP client, for upstreams that the operator configured.

mod breaker;
mod budget;
mod direct;
mod failure;
mod options;
mod places;
mod repeats;
mod request;
mod response;
mod retry;
mod transport;

#[cfg(test)]
mod tests;

pub(crate) use failure::{error_in, not_reached, walk};
pub use options::{CircuitBreaker, HostPort, HttpOptions, Proxies};
pub use repeats::{CountRepeats, Repeats};
pub(crate) use request::secret_header;
pub use request::{Request, Tls};
pub use response::{ByteStream, Response};

use crate::guard::{Fetched, Guard, Lookup, SystemLookup};
use arc_swap::ArcSwap;
use breaker::{Breaker, Ticket};
use budget::RetryBudget;
use chaski_api::{Error, ErrorKind, Result};
use failure::{Failure, Phase};
use http::{Method, Uri, header};
use hyper_util::client::proxy::matcher::Matcher;
use places::{Place, Places};
use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc, time::Duration};
use tokio::time::Instant;
use transport::Transport;
use url::{Host, Url};

/// An HTTP client; clones share its connections, its limits and what it knows of the upstream.
///
/// Connections are kept open and reused, HTTP/2 is used where the upstream offers it, and what
/// TLS needs is read on first use.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    options: HttpOptions,
    /// Read on every request and hardly ever changed.
    clients: ArcSwap<HashMap<ClientKey, Transport>>,
    guard: Arc<Guard>,
    proxies: Matcher,
    places: Places,
    budget: RetryBudget,
    breaker: Option<Arc<Breaker>>,
}

/// When an answer has to be complete.
#[derive(Debug, Clone, Copy)]
struct End {
    at: Instant,
    /// Whose limit that is, and how long it was at the beginning.
    phase: Phase,
    limit: Duration,
}

/// Connections are shared by requests that need the same of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    /// Nothing for addresses without TLS, so that these never read certificates.
    tls: Option<Tls>,
    /// Whether HTTP/2 is spoken without asking.
    http2: bool,
    /// How it is reached.
    way: Way,
}

/// What lies between this machine and an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// No proxy.
    Open,
    /// One of [`HttpOptions::proxies`].
    Proxy,
}

impl Http {
    /// A client with these limits. No certificate is read and nothing is connected yet.
    ///
    /// # Errors
    /// `InvalidRequest` for a proxy that is not an address.
    pub fn new(options: HttpOptions) -> Result<Self> {
        options.proxies.for_client()?;
        Ok(Self::with_lookup(options, Arc::new(SystemLookup)))
    }

    pub(crate) fn with_lookup(options: HttpOptions, lookup: Arc<dyn Lookup>) -> Self {
        // A second client finds the provider installed, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let guard = Arc::new(Guard::new(&options, lookup));
        Self::guarded(options, guard)
    }

    fn guarded(options: HttpOptions, guard: Arc<Guard>) -> Self {
        Self(Arc::new(Inner {
            clients: ArcSwap::default(),
            guard,
            proxies: options.proxies.matcher(),
            places: Places::new(options.concurrent_requests, options.waiting_requests),
            budget: RetryBudget::new(options.retry_budget_percent),
            breaker: options.circuit_breaker.clone().map(|breaker| Arc::new(Breaker::new(breaker))),
            options,
        }))
    }

    /// A client of its own, with other limits. Fetches of [`Self::fetch_guarded`] stay the same.
    #[must_use]
    pub fn adjusted(&self, adjust: impl FnOnce(&mut HttpOptions)) -> Self {
        let mut options = self.0.options.clone();
        adjust(&mut options);
        Self::guarded(options, Arc::clone(&self.0.guard))
    }

    /// A client for whole APIs at addresses that callers give: it connects to the same ones as
    /// [`Self::fetch_guarded`], and refuses the others with `InvalidRequest`.
    #[must_use]
    pub fn for_addresses_of_callers(&self) -> Self {
        self.adjusted(|options| {
            options.addresses_of_callers = true;
            // One address that fails says nothing about the others.
            options.circuit_breaker = None;
        })
    }

    /// How many calls are in flight, until the end of their answers.
    pub fn in_flight(&self) -> usize {
        self.0.places.taken()
    }

    /// Why the upstream is not called for now, or only to see whether it works again: the circuit
    /// is open.
    pub fn trouble(&self) -> Option<String> {
        self.0.breaker.as_ref()?.trouble(Instant::now())
    }

    /// The limits of the client, for connections of other kinds.
    pub fn options(&self) -> &HttpOptions {
        &self.0.options
    }

    /// How often a failed call of a model is to be repeated.
    pub fn retries(&self) -> u32 {
        self.0.options.retries
    }

    /// Sends a request and waits for the head of the answer, whatever its status is.
    ///
    /// Failed attempts are repeated as [`Request::retries`] and [`Request::repeats`] say. Dropping the future or the
    /// answer cancels the request, and makes room for another one.
    ///
    /// # Errors
    /// `Unavailable` if the upstream cannot be reached, is left alone after many failures or has
    /// as many requests as it may, `Timeout`, or `Upstream` if the connection was lost. The
    /// messages name the provider and never its address.
    pub async fn send(&self, mut request: Request) -> Result<Response> {
        let end = self.end(&request);
        if request.is_call() {
            self.0.budget.called();
        }
        let mut attempt = 0;
        let mut redirects = request.0.redirects;
        loop {
            let outcome = self.attempt(&request, end).await;
            let pause = retry::pause(&request, attempt, end, &outcome);
            if let Some(pause) = pause.filter(|_| self.0.budget.take(Instant::now())) {
                attempt += 1;
                tracing::debug!(
                    target: "core",
                    service = %request.0.service,
                    attempt,
                    pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    "repeating a request"
                );
                drop(outcome);
                tokio::time::sleep(pause).await;
                request.0.repeats.count();
                continue;
            }
            let response =
                outcome.map_err(|failure| failure.into_error(&self.named(&request.0.service)))?;
            let Some(next) = (redirects > 0).then(|| redirect(&request, &response)).flatten()
            else {
                return Ok(response);
            };
            redirects -= 1;
            attempt = 0;
            request = next?;
        }
    }

    /// Fetches a document from an address that a caller gave.
    ///
    /// Only public addresses are connected to, and those that `egress_allow` lists; every redirect
    /// is checked like the first address, and no credentials are sent.
    ///
    /// # Errors
    /// `InvalidRequest` with the reason, for the caller: the address is not allowed, cannot be
    /// reached, or did not answer with a document of at most `max_bytes` bytes.
    pub async fn fetch_guarded(&self, url: &str, max_bytes: usize) -> Result<Fetched> {
        self.0.guard.fetch(url, max_bytes).await
    }

    async fn attempt(&self, request: &Request, end: Option<End>) -> Result<Response, Failure> {
        let client = self.client(request)?;
        let (place, ticket) = self.admit(request, end).await?;
        let options = &self.0.options;
        let first_byte = request.0.first_byte_timeout.unwrap_or(options.first_byte_timeout);
        let (until, phase, limit) = bounded(first_byte, Phase::FirstByte, end);
        let outcome = tokio::time::timeout_at(until, client.send(request))
            .await
            .unwrap_or_else(|_| Err(Failure::Late(phase, limit)));
        if let Some(ticket) = ticket {
            judge(ticket, &outcome);
        }
        let idle = request.0.read_timeout.unwrap_or(options.read_timeout);
        Ok(Response::new(outcome?, request, self.clone(), (idle, end), place))
    }

    /// What a call needs before it is sent: a place, and the consent of the circuit breaker.
    async fn admit(
        &self,
        request: &Request,
        end: Option<End>,
    ) -> Result<(Option<Place>, Option<Ticket>), Failure> {
        if !request.is_call() {
            return Ok((None, None));
        }
        let Inner { breaker, places, options, .. } = &*self.0;
        let closed = |refusal: breaker::Refusal| {
            Failure::Refused(refusal.into_error(&self.named(&request.0.service)))
        };
        // Nobody waits for a place at an upstream that is not called.
        if let Some(refusal) = breaker.as_ref().and_then(|breaker| breaker.refusal(Instant::now()))
        {
            return Err(closed(refusal));
        }
        let (until, phase, limit) = bounded(options.waiting_timeout, Phase::FirstByte, end);
        let patience = until.saturating_duration_since(Instant::now());
        let place = places.enter(patience).await.map_err(|why| match (why, phase) {
            (places::NoPlace::Late(_), Phase::Total | Phase::Caller) => Failure::Late(phase, limit),
            _ => Failure::Refused(places.refusal(&self.named(&request.0.service), why)),
        })?;
        let admit = |breaker: &Arc<Breaker>| breaker.admit(Instant::now());
        let ticket = breaker.as_ref().map(admit).transpose().map_err(closed)?;
        Ok((Some(place), ticket))
    }

    /// When the answer to a request that is sent now has to be complete.
    fn end(&self, request: &Request) -> Option<End> {
        let now = Instant::now();
        let total = self.0.options.total_timeout;
        let total = total.map(|limit| End { at: now + limit, phase: Phase::Total, limit });
        let caller = request.0.deadline.map(|deadline| {
            let at = Instant::from_std(deadline);
            End { at, phase: Phase::Caller, limit: at.saturating_duration_since(now) }
        });
        total.into_iter().chain(caller).min_by_key(|end| end.at)
    }

    /// What messages call the upstream.
    fn named<'a>(&self, service: &'a str) -> Cow<'a, str> {
        match &self.0.options.provider {
            Some(provider) => format!("provider `{provider}` ({service})").into(),
            None => service.into(),
        }
    }

    /// Notes that an answer broke off after its head.
    fn broke(&self, why: &str) {
        if let Some(breaker) = &self.0.breaker {
            breaker.failed(Instant::now(), why);
        }
    }

    fn way(&self, url: &Url) -> Result<Way, Failure> {
        if self.0.options.proxies.are_none() || is_loopback(url) {
            return Ok(Way::Open);
        }
        let uri = url.as_str().parse::<Uri>().map_err(|error| Failure::Invalid(error.into()))?;
        Ok(if self.0.proxies.intercept(&uri).is_none() { Way::Open } else { Way::Proxy })
    }

    fn client(&self, request: &Request) -> Result<Transport, Failure> {
        if self.0.options.addresses_of_callers {
            let client = self.0.guard.client_to(&request.0.url).map_err(Failure::Refused)?;
            return Ok(Transport::Complete(client));
        }
        let tls = (request.0.url.scheme() == "https").then(|| request.0.tls.clone());
        let way = self.way(&request.0.url)?;
        let key = ClientKey { tls, http2: request.0.http2, way };
        if let Some(client) = self.0.clients.load().get(&key) {
            return Ok(client.clone());
        }
        let client = build(&self.0.options, &key).map_err(Failure::Refused)?;
        self.0.clients.rcu(|clients| {
            let mut clients = HashMap::clone(clients);
            // Of two requests that come first at the same time, one makes the client for both.
            clients.entry(key.clone()).or_insert_with(|| client.clone());
            clients
        });
        Ok(self.0.clients.load().get(&key).cloned().unwrap_or(client))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// What all clients have in common.
pub(crate) fn builder(options: &HttpOptions) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(options.user_agent.clone())
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
}

fn build(options: &HttpOptions, key: &ClientKey) -> Result<Transport, Error> {
    if key.tls.is_none() && !key.http2 && key.way != Way::Proxy {
        return Ok(Transport::direct(options));
    }
    let mut builder = builder(options);
    if key.http2 {
        builder = builder.http2_prior_knowledge();
    }
    if key.way == Way::Proxy {
        for proxy in options.proxies.for_client()? {
            builder = builder.proxy(proxy);
        }
    }
    builder = match &key.tls {
        None => builder.tls_certs_only([]),
        Some(Tls::Verified) => builder,
        Some(Tls::Unverified) => builder.tls_danger_accept_invalid_certs(true),
        Some(Tls::Authorities(file)) => {
            let unusable = |reason: &dyn fmt::Display| {
                let file = file.display();
                Error::unavailable(format!("cannot read certificates from `{file}`: {reason}"))
            };
            let pem = std::fs::read(file).map_err(|error| unusable(&error))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&error))?;
            if certificates.is_empty() {
                return Err(unusable(&"there is none in the file"));
            }
            builder.tls_certs_only(certificates)
        }
    };
    builder.build().map(Transport::Complete).map_err(|error| {
        Error::unavailable("cannot set up TLS; are the certificates of the system installed?")
            .caused_by(error)
    })
}

/// Whether the address is this machine's, for which no proxy makes sense.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// When something that may take as long as `limit` has to be over, whose limit that is, and how
/// long it is.
fn bounded(limit: Duration, phase: Phase, end: Option<End>) -> (Instant, Phase, Duration) {
    let at = Instant::now() + limit;
    match end {
        Some(end) if end.at < at => (end.at, end.phase, end.limit),
        Some(_) | None => (at, phase, limit),
    }
}

/// Tells the circuit breaker how a call went. An upstream that answers works, even if it answers
/// with an error, unless the status says that it does not.
fn judge<B>(ticket: Ticket, outcome: &Result<http::Response<B>, Failure>) {
    let now = Instant::now();
    match outcome {
        Ok(answer) => match answer.status().as_u16() {
            status @ (502..=504 | 529) => ticket.failed(now, &format!("status {status}")),
            _ => ticket.succeeded(),
        },
        Err(failure) => {
            if let Some(symptom) = failure.symptom() {
                ticket.failed(now, &symptom);
            }
        }
    }
}

/// The request that follows a redirect, if the answer is one and the request may be repeated.
fn redirect(request: &Request, response: &Response) -> Option<Result<Request>> {
    if !response.status().is_redirection() || request.0.method != Method::GET {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let refused = |why: &str| {
        let kind = ErrorKind::Upstream { status: Some(response.status().as_u16()) };
        Some(Err(Error::new(kind, format!("{} redirected to {why}", request.0.service))))
    };
    let Ok(url) = request.0.url.join(location) else {
        return refused("an address that cannot be understood");
    };
    if url.scheme() != "https" && url.scheme() != request.0.url.scheme() {
        return refused("an address without TLS");
    }
    let mut next = request.clone();
    if url.origin() != request.0.url.origin() {
        for secret in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
            next.0.headers.remove(secret);
        }
    }
    next.0.url = url;
    Some(Ok(next))
}
