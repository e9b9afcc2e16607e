//! A request to an upstream that the operator configured.

use super::Repeats;
use crate::TraceParent;
use bytes::Bytes;
use chaski_api::{Error, Result, Secret};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::{
    borrow::Cow,
    path::PathBuf,
    time::{Duration, Instant},
};
use url::Url;

/// Whom to trust behind `https`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Tls {
    /// The certificate authorities of the system.
    #[default]
    Verified,
    /// Anyone: for tests and closed networks.
    Unverified,
    /// The certificate authorities in this PEM file, and no others.
    Authorities(PathBuf),
}

/// A request to an upstream that the operator configured.
#[derive(Debug, Clone)]
pub struct Request(pub(super) Box<Message>);

/// What a request has. It is handed through many calls, each of which would copy it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) service: Cow<'static, str>,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) tls: Tls,
    pub(super) http2: bool,
    pub(super) retries: u32,
    pub(super) repeats: Repeats,
    pub(super) redirects: u32,
    pub(super) deadline: Option<Instant>,
    pub(super) first_byte_timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
}

impl Request {
    /// `service` names the upstream in messages: `vLLM`, `the authentication service`.
    pub fn new(service: impl Into<Cow<'static, str>>, method: Method, url: Url) -> Self {
        Self(Box::new(Message {
            service: service.into(),
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            tls: Tls::default(),
            http2: false,
            retries: 0,
            repeats: Repeats::default(),
            redirects: 0,
            deadline: None,
            first_byte_timeout: None,
            read_timeout: None,
        }))
    }

    pub fn get(service: impl Into<Cow<'static, str>>, url: Url) -> Self {
        Self::new(service, Method::GET, url)
    }

    pub fn post(service: impl Into<Cow<'static, str>>, url: Url) -> Self {
        Self::new(service, Method::POST, url)
    }

    /// What messages call the upstream.
    pub(crate) fn service(&self) -> &str {
        &self.0.service
    }

    /// The bytes of the body.
    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.0.body = Some(body);
        self
    }

    /// The JSON text of the body.
    pub fn json(mut self, body: impl Into<Bytes>) -> Self {
        self.0.body = Some(body.into());
        self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Sets a header, in place of one with the same name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Sets headers, in place of those with the same names.
    pub fn headers(mut self, headers: &HeaderMap) -> Self {
        for (name, value) in headers {
            self.0.headers.insert(name.clone(), value.clone());
        }
        self
    }

    /// Sends `Authorization: Bearer ...`.
    ///
    /// # Errors
    /// `InvalidRequest` if the token cannot stand in a header.
    pub fn bearer(self, token: &Secret) -> Result<Self> {
        let value = secret_header("Bearer ", token)?;
        Ok(self.header(header::AUTHORIZATION, value))
    }

    /// Sets the header `name` (in lower case) to a secret.
    ///
    /// # Errors
    /// `InvalidRequest` if the secret cannot stand in a header.
    pub fn secret(self, name: &'static str, secret: &Secret) -> Result<Self> {
        let value = secret_header("", secret)?;
        Ok(self.header(HeaderName::from_static(name), value))
    }

    /// Sets the header `name` (in lower case) to a text.
    ///
    /// # Errors
    /// `InvalidRequest` if the text cannot stand in a header.
    pub fn text(self, name: &'static str, text: &str) -> Result<Self> {
        let value = HeaderValue::from_str(text).map_err(|_| {
            Error::invalid(format!("the header `{name}` has characters that cannot stand in one"))
        })?;
        Ok(self.header(HeaderName::from_static(name), value))
    }

    pub fn tls(mut self, tls: Tls) -> Self {
        self.0.tls = tls;
        self
    }

    /// Speaks HTTP/2 from the first byte on, also without TLS.
    pub fn http2(mut self) -> Self {
        self.0.http2 = true;
        self
    }

    /// How often a failed attempt is repeated: where nothing was answered, and on the statuses
    /// 408, 409, 429 and from 500, as far as the retry budget of the client goes. The default is 0:
    /// only a request that may arrive twice may be repeated.
    pub fn retries(mut self, retries: u32) -> Self {
        self.0.retries = retries;
        self
    }

    /// What whoever makes the call says about its repeats: [`Self::retries`] is how many there may
    /// be.
    pub fn repeats(mut self, repeats: Option<&Repeats>) -> Self {
        if let Some(repeats) = repeats {
            self.0.repeats = repeats.clone();
        }
        self
    }

    /// How many redirects of a `GET` are followed. The default is 0. Credentials are not sent on
    /// to another origin.
    pub fn redirects(mut self, redirects: u32) -> Self {
        self.0.redirects = redirects;
        self
    }

    /// When the caller stops waiting.
    pub fn deadline(mut self, deadline: Option<Instant>) -> Self {
        self.0.deadline = deadline;
        self
    }

    /// The span of a trace that the call belongs to, for the upstream's own tracing.
    pub fn trace(mut self, parent: Option<&TraceParent>) -> Self {
        if let Some(parent) = parent {
            parent.write(&mut self.0.headers);
        }
        self
    }

    /// In place of the client's limit for the head of the answer.
    pub fn first_byte_timeout(mut self, limit: Duration) -> Self {
        self.0.first_byte_timeout = Some(limit);
        self
    }

    /// In place of the client's limit between two pieces of the answer.
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.0.read_timeout = Some(limit);
        self
    }

    /// Whether it gives the upstream work to do, which is limited and watched. Questions for its
    /// health and its models are not: they must go through while it is busy.
    pub(super) fn is_call(&self) -> bool {
        self.0.method == Method::POST
    }

    /// What must not appear in messages: the credentials that the request carries.
    pub(super) fn secrets(&self) -> Vec<String> {
        let texts = self.0.headers.values().filter(|value| value.is_sensitive());
        let texts = texts.filter_map(|value| value.to_str().ok());
        texts.map(|text| text.strip_prefix("Bearer ").unwrap_or(text).to_owned()).collect()
    }
}

/// A header value with a secret in it, never printed.
///
/// # Errors
/// `InvalidRequest` if the secret cannot stand in a header; it is not part of the message.
pub(crate) fn secret_header(prefix: &str, secret: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose().trim()))
        .map_err(|_| Error::invalid("the key has characters that cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
