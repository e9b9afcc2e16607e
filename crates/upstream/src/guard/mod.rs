//! Fetching from addresses that callers give: only public ones are connected to.
//!
//! The address of a connection is the one that was checked: the resolver of the HTTP client checks
//! what it hands out, so that a name cannot mean something else later. Addresses without a name
//! are checked before, and every redirect is treated as a new address.

mod address;
#[cfg(test)]
mod tests;

use crate::client::{HostPort, HttpOptions, builder, not_reached, walk};
use address::refusal;
use bytes::{Bytes, BytesMut};
use chaski_api::{Error, Result};
use futures_util::{StreamExt, future::BoxFuture};
use http::{StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};
use url::{Host, Url};

const MOST_REDIRECTS: usize = 5;
/// Names that mean a service of the cloud or of this machine, whatever they resolve to.
const NAMES: &[&str] = &["localhost", "metadata", "metadata.google.internal", "instance-data"];
const NAME_ENDINGS: &[&str] = &[".localhost", ".local", ".internal", ".localdomain"];

/// A document that was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub body: Bytes,
    /// The media type that the server named, without parameters; empty if it named none.
    pub media_type: String,
}

/// How names become addresses.
pub(crate) trait Lookup: Send + Sync {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the system.
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A name that resolves to an address that is not public.
#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name resolves to {}", self.0)
    }
}

impl StdError for Refused {}

struct CheckedLookup(Arc<dyn Lookup>);

impl Resolve for CheckedLookup {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.0.lookup(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = found.await?;
            // One address that is not public is enough: the others cannot be trusted either.
            if let Some(reason) = addresses.iter().find_map(|address| refusal(*address)) {
                return Err(Refused(reason).into());
            }
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

pub(crate) struct Guard {
    options: HttpOptions,
    lookup: Arc<dyn Lookup>,
    /// For public addresses.
    public: Clients,
    /// For the addresses of the allow list.
    listed: Clients,
}

/// Made on first use, because certificates are read for TLS, and for TLS alone.
#[derive(Default)]
struct Clients {
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<reqwest::Client>,
}

impl Guard {
    pub(crate) fn new(options: &HttpOptions, lookup: Arc<dyn Lookup>) -> Self {
        let (public, listed) = (Clients::default(), Clients::default());
        Self { options: options.clone(), lookup, public, listed }
    }

    pub(crate) async fn fetch(&self, url: &str, max_bytes: usize) -> Result<Fetched> {
        let limit = self.options.fetch_timeout;
        tokio::time::timeout(limit, self.follow(url, max_bytes)).await.unwrap_or_else(|_| {
            Err(Error::invalid(format!("no document from {} {}", shown(url), within(limit))))
        })
    }

    async fn follow(&self, given: &str, max_bytes: usize) -> Result<Fetched> {
        let mut url = Url::parse(given).map_err(|error| {
            Error::invalid(format!(
                "{} is not an address that can be fetched: {error}",
                shown(given)
            ))
        })?;
        for _ in 0..=MOST_REDIRECTS {
            let client = self.client_for(&url).map_err(|reason| refused(given, reason))?;
            let answer = client.get(url.clone()).send().await;
            let answer = answer.map_err(|error| unreachable(given, error))?;
            let status = answer.status();
            if let Some(location) =
                status.is_redirection().then(|| answer.headers().get(header::LOCATION)).flatten()
            {
                let location = location.to_str().ok().and_then(|to| url.join(to).ok());
                url = location.ok_or_else(|| refused(given, "its redirect is not an address"))?;
                continue;
            }
            if status != StatusCode::OK {
                let status = status.as_u16();
                let message =
                    format!("fetching {} was answered with status {status}", shown(given));
                return Err(Error::invalid(message));
            }
            return read(given, answer, max_bytes).await;
        }
        Err(refused(given, "it redirects too often"))
    }

    /// The client for calls to an address that a caller gave.
    ///
    /// # Errors
    /// `InvalidRequest` with the reason if it may not be connected to.
    pub(crate) fn client_to(&self, url: &Url) -> Result<reqwest::Client> {
        self.client_for(url).cloned().map_err(|reason| {
            Error::invalid(format!("{} may not be called: {reason}", shown(url.as_str())))
        })
    }

    /// The client that may connect to the address, or why none may.
    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, &'static str> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("only `http` and `https` are");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("addresses with credentials are not");
        }
        let host = url.host().ok_or("it names no host")?;
        if self.is_listed(&host, url.port_or_known_default()) {
            return self.listed.get(url, || builder(&self.options));
        }
        let reason = match host {
            Host::Ipv4(address) => refusal(address.into()),
            Host::Ipv6(address) => refusal(address.into()),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let internal = NAMES.contains(&name.as_str())
                    || NAME_ENDINGS.iter().any(|ending| name.ends_with(ending));
                internal.then_some("an internal name")
            }
        };
        match reason {
            Some(reason) => Err(reason),
            None => self.public.get(url, || {
                builder(&self.options).dns_resolver(CheckedLookup(self.lookup.clone()))
            }),
        }
    }

    fn is_listed(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let host = match host {
            Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let listed = |entry: &HostPort| entry.host == host && Some(entry.port) == port;
        self.options.egress_allow.iter().any(listed)
    }
}

impl Clients {
    fn get(
        &self,
        url: &Url,
        make: impl FnOnce() -> reqwest::ClientBuilder,
    ) -> Result<&reqwest::Client, &'static str> {
        const BROKEN: &str = "TLS cannot be set up";
        let tls = url.scheme() == "https";
        let slot = if tls { &self.tls } else { &self.plain };
        if slot.get().is_none() {
            // A proxy would resolve the name itself, out of reach of the check.
            let made = make().no_proxy();
            let made = if tls { made } else { made.tls_certs_only([]) };
            let _kept = slot.set(made.build().map_err(|_| BROKEN)?);
        }
        slot.get().ok_or(BROKEN)
    }
}

async fn read(given: &str, answer: reqwest::Response, max_bytes: usize) -> Result<Fetched> {
    let too_large = || {
        Error::invalid(format!("the document at {} has more than {max_bytes} bytes", shown(given)))
    };
    let max = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    if answer.content_length().is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let media_type = answer.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut body = BytesMut::new();
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| unreachable(given, error))?;
        if body.len() + piece.len() > max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    Ok(Fetched { body: body.freeze(), media_type })
}

fn refused(given: &str, reason: &str) -> Error {
    Error::invalid(format!("{} may not be fetched: {reason}", shown(given)))
}

/// Why the name was not resolved to an address, if that was the reason of the failure.
pub(crate) fn refusal_in(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut refusal = None;
    walk(error, &mut |cause| refusal = refusal.or(cause.downcast_ref::<Refused>()));
    refusal.map(|Refused(reason)| *reason)
}

fn unreachable(given: &str, error: reqwest::Error) -> Error {
    if let Some(reason) = refusal_in(&error) {
        return refused(given, &format!("its name resolves to {reason}"));
    }
    let reason = not_reached(&error);
    let message = format!("{} cannot be fetched: {reason}", shown(given));
    Error::invalid(message).caused_by(error.without_url())
}

/// The address as the caller gave it, without credentials and not too long.
fn shown(given: &str) -> String {
    const CHARS: usize = 200;
    let mut text = match Url::parse(given) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            url.host_str().unwrap_or("the address").to_owned()
        }
        Ok(_) | Err(_) => given.chars().filter(|character| !character.is_control()).collect(),
    };
    if let Some((end, _)) = text.char_indices().nth(CHARS) {
        text.truncate(end);
        text.push_str("...");
    }
    format!("`{text}`")
}

fn within(limit: Duration) -> String {
    format!("within {:.1} seconds", limit.as_secs_f32())
}
