//! The HTTP client of the process, for upstreams that the operator configured.

mod failure;
mod options;
mod request;
mod response;
mod retry;

#[cfg(test)]
mod tests;

pub(crate) use failure::{error_in, not_reached, walk};
pub use options::{HostPort, HttpOptions};
pub(crate) use request::secret_header;
pub use request::{Request, Tls};
pub use response::{ByteStream, Response};

use crate::guard::{Fetched, Guard, Lookup, SystemLookup};
use chaski_api::{Error, ErrorKind, Result};
use failure::Failure;
use http::{Method, header};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use url::{Host, Url};

/// The HTTP client of the process; clones share its connections.
///
/// Connections are kept open and reused, HTTP/2 is used where the upstream offers it, and what
/// TLS needs is read on first use.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    options: HttpOptions,
    clients: Mutex<HashMap<ClientKey, reqwest::Client>>,
    guard: Arc<Guard>,
}

/// Connections are shared by requests that need the same of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    /// Nothing for addresses without TLS, so that these never read certificates.
    tls: Option<Tls>,
    /// Whether the proxy of the environment is left out.
    direct: bool,
}

impl Http {
    /// A client with these limits. No certificate is read and nothing is connected yet.
    ///
    /// # Errors
    /// None at present: the signature leaves room for options that cannot be met.
    pub fn new(options: HttpOptions) -> Result<Self> {
        Ok(Self::with_lookup(options, Arc::new(SystemLookup)))
    }

    pub(crate) fn with_lookup(options: HttpOptions, lookup: Arc<dyn Lookup>) -> Self {
        // A second client finds the provider installed, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let guard = Arc::new(Guard::new(&options, lookup));
        Self(Arc::new(Inner { options, clients: Mutex::default(), guard }))
    }

    /// A client for whole APIs at addresses that callers give: it connects to the same ones as
    /// [`Self::fetch_guarded`], and refuses the others with `InvalidRequest`.
    #[must_use]
    pub fn for_addresses_of_callers(&self) -> Self {
        let options = HttpOptions { addresses_of_callers: true, ..self.0.options.clone() };
        let guard = Arc::clone(&self.0.guard);
        Self(Arc::new(Inner { options, clients: Mutex::default(), guard }))
    }

    /// How often a failed call of a model is to be repeated.
    pub fn retries(&self) -> u32 {
        self.0.options.retries
    }

    /// Sends a request and waits for the head of the answer, whatever its status is.
    ///
    /// Failed attempts are repeated as [`Request::retries`] says. Dropping the future or the
    /// answer cancels the request.
    ///
    /// # Errors
    /// `Unavailable` if the upstream cannot be reached, `Timeout`, or `Upstream` if the connection
    /// was lost. The messages name the service and never its address.
    pub async fn send(&self, mut request: Request) -> Result<Response> {
        let mut attempt = 0;
        let mut redirects = request.redirects;
        loop {
            let outcome = self.attempt(&request).await;
            if let Some(pause) = retry::pause(&request, attempt, &outcome) {
                attempt += 1;
                tracing::debug!(
                    target: "core",
                    service = %request.service,
                    attempt,
                    pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    "repeating a request"
                );
                drop(outcome);
                tokio::time::sleep(pause).await;
                continue;
            }
            let response = outcome.map_err(|failure| failure.into_error(&request.service))?;
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

    async fn attempt(&self, request: &Request) -> Result<Response, Failure> {
        let client = self.client(request)?;
        let options = &self.0.options;
        let first_byte = request.first_byte_timeout.unwrap_or(options.first_byte_timeout);
        let wait = bounded(first_byte, request.deadline);
        let mut builder = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let answer = tokio::time::timeout(wait, builder.send())
            .await
            .map_err(|_| Failure::Late(wait))?
            .map_err(Failure::from_reqwest)?;
        let idle = request.read_timeout.unwrap_or(options.read_timeout);
        Ok(Response::new(answer, request, idle))
    }

    fn client(&self, request: &Request) -> Result<reqwest::Client, Failure> {
        if self.0.options.addresses_of_callers {
            return self.0.guard.client_to(&request.url).map_err(Failure::Setup);
        }
        let tls = (request.url.scheme() == "https").then(|| request.tls.clone());
        let key = ClientKey { tls, direct: is_loopback(&request.url) };
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build(&self.0.options, &key).map_err(Failure::Setup)?;
        clients.insert(key, client.clone());
        Ok(client)
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
        .referer(false)
}

fn build(options: &HttpOptions, key: &ClientKey) -> Result<reqwest::Client, Error> {
    let mut builder = builder(options);
    if key.direct {
        builder = builder.no_proxy();
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
    builder.build().map_err(|error| {
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

/// The time limit, or the time to the deadline if that is shorter.
fn bounded(limit: Duration, deadline: Option<Instant>) -> Duration {
    deadline.map_or(limit, |deadline| limit.min(deadline.saturating_duration_since(Instant::now())))
}

/// The request that follows a redirect, if the answer is one and the request may be repeated.
fn redirect(request: &Request, response: &Response) -> Option<Result<Request>> {
    if !response.status().is_redirection() || request.method != Method::GET {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let refused = |why: &str| {
        let kind = ErrorKind::Upstream { status: Some(response.status().as_u16()) };
        Some(Err(Error::new(kind, format!("{} redirected to {why}", request.service))))
    };
    let Ok(url) = request.url.join(location) else {
        return refused("an address that cannot be understood");
    };
    if url.scheme() != "https" && url.scheme() != request.url.scheme() {
        return refused("an address without TLS");
    }
    let mut next = request.clone();
    if url.origin() != request.url.origin() {
        for secret in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
            next.headers.remove(secret);
        }
    }
    next.url = url;
    Some(Ok(next))
}
