//! Stores that speak JSON over HTTP, or gRPC.

use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result, Secret};
use chaski_provider::{Context, Cpu, Deps};
use chaski_upstream::{Http, Request, Url, grpc};
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The most bytes of an answer.
const ANSWER: usize = 256 * 1024 * 1024;
/// Answers from this size on are read on a thread that may compute.
const LARGE: usize = 256 * 1024;
/// How often a request that failed is repeated. All requests here may arrive twice.
const RETRIES: u32 = 2;

/// A store behind an address.
#[derive(Clone)]
pub(crate) struct Service {
    name: &'static str,
    http: Http,
    /// Where long bodies are written and long answers read.
    pub(crate) cpu: Cpu,
    base: Url,
    headers: HeaderMap,
}

impl Service {
    /// The store called `name` at `url`, whose path the others continue. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL is none.
    pub(crate) fn new(name: &'static str, deps: Deps, url: &str) -> Result<Self> {
        let base = Url::parse(url.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Error::invalid(format!(
                    "the URL of {name} is not an address, such as `http://localhost:8000`"
                ))
            })?;
        Ok(Self { name, http: deps.http, cpu: deps.cpu, base, headers: HeaderMap::new() })
    }

    /// Sends a key with every request: in the header `name` (in lower case), behind `prefix`.
    ///
    /// # Errors
    /// `InvalidRequest` if the key cannot stand in a header.
    pub(crate) fn with_key(
        mut self,
        name: &'static str,
        prefix: &str,
        key: Option<&Secret>,
    ) -> Result<Self> {
        let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(self) };
        let mut value = http::HeaderValue::from_str(&format!("{prefix}{}", key.expose().trim()))
            .map_err(|_| Error::invalid("the key has characters that cannot stand in a header"))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Sends a request and reads the answer; `null` if it is empty. The path continues that of the
    /// store's URL, and `query` stands behind it.
    ///
    /// # Errors
    /// What the store says is wrong, with its status; or that it cannot be reached.
    pub(crate) async fn ask(
        &self,
        cx: &Context,
        method: Method,
        (path, query): (&[&str], &[(&str, &str)]),
        body: Option<Bytes>,
    ) -> Result<Value> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(cx, method, url, body).await
    }

    /// Asks for something that is there.
    pub(crate) async fn get(&self, cx: &Context, path: &[&str]) -> Result<Value> {
        self.ask(cx, Method::GET, (path, &[]), None).await
    }

    /// Asks for what `body` says.
    pub(crate) async fn post(&self, cx: &Context, path: &[&str], body: &Value) -> Result<Value> {
        self.ask(cx, Method::POST, (path, &[]), Some(self::body(body))).await
    }

    /// Removes what is there.
    pub(crate) async fn delete(&self, cx: &Context, path: &[&str]) -> Result<()> {
        self.ask(cx, Method::DELETE, (path, &[]), None).await.map(drop)
    }

    /// An answer, or a part of one, in the form that is expected of it.
    ///
    /// # Errors
    /// `Upstream` if it has another form.
    pub(crate) fn decode<T: DeserializeOwned>(&self, answer: Value) -> Result<T> {
        serde_json::from_value(answer).map_err(|error| self.unclear().caused_by(error))
    }

    /// Sends a message of gRPC to the method at the end of `path`.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub(crate) async fn call(&self, cx: &Context, path: &[&str], message: &[u8]) -> Result<Bytes> {
        let request = Request::new(self.name, Method::POST, self.url(path))
            .headers(&self.headers)
            .retries(RETRIES)
            .deadline(cx.deadline)
            .trace(cx.spans.parent());
        grpc::call(&self.http, request, message, ANSWER).await
    }

    /// The URL of the store with more path.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(
        &self,
        cx: &Context,
        method: Method,
        url: Url,
        body: Option<Bytes>,
    ) -> Result<Value> {
        let mut request = Request::new(self.name, method, url)
            .headers(&self.headers)
            .retries(RETRIES)
            .deadline(cx.deadline)
            .trace(cx.spans.parent());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.http.send(request).await?.success().await?.bytes(ANSWER).await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        if answer.len() < LARGE {
            return self.read(&answer);
        }
        let read = self.cpu.run(move || serde_json::from_slice(&answer)).await?;
        read.map_err(|error| self.unclear().caused_by(error))
    }

    fn read(&self, answer: &[u8]) -> Result<Value> {
        serde_json::from_slice(answer).map_err(|error| self.unclear().caused_by(error))
    }

    /// Says that an answer cannot be understood.
    pub(crate) fn unclear(&self) -> Error {
        unclear(self.name)
    }
}

/// Says that an answer of a store cannot be understood.
pub(crate) fn unclear(name: &str) -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("{name} sent an answer that cannot be understood"))
}

/// A body.
pub(crate) fn body(value: &Value) -> Bytes {
    value.to_string().into()
}
