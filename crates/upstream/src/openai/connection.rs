//! Calls to an upstream that speaks the OpenAI API.

use super::{
    Dialect, Listed, Relay,
    address::{self, Address},
    listing, request, vectors,
};
use crate::{
    Http, Repeats, Request, Response, Tls, TraceParent,
    client::{error_in, secret_header},
};
use bytes::Bytes;
use chaski_api::{
    Error, ErrorKind, Result, Secret,
    openai::{Body, ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::time::{Duration, Instant};
use url::Url;

/// The largest answer that is not a stream.
pub(super) const ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// The largest list of vectors.
const VECTORS_BYTES: usize = 256 * 1024 * 1024;

/// What a connection needs to know beside the dialect.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The base URL: `http://localhost:8000/v1`.
    pub url: String,
    pub tls: Tls,
    /// The key that is sent where a call has none of its own.
    pub key: Option<Secret>,
    /// The limit for requests that have none.
    pub max_tokens: Option<i64>,
    /// Headers that each request carries.
    pub headers: HeaderMap,
    /// How long an answer may be waited for, if not as long as usual.
    pub first_byte_timeout: Option<Duration>,
}

/// What accompanies one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// The caller's own key, in place of the configured one.
    pub key: Option<&'a str>,
    /// An id for the upstream's log.
    pub request_id: &'a str,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// The span of a trace that the call belongs to.
    pub trace: Option<&'a TraceParent>,
    /// Whether it is repeated where it fails, and who counts that.
    pub repeats: Option<&'a Repeats>,
}

/// An answer at once, or as events.
pub enum Answer {
    /// The JSON text of the answer, known to be an object and no error.
    Full(Bytes),
    Stream(Box<Relay>),
}

/// An upstream that speaks a dialect of OpenAI's API.
#[derive(Debug, Clone)]
pub struct Connection {
    http: Http,
    dialect: &'static Dialect,
    tls: Tls,
    key: Option<HeaderValue>,
    max_tokens: Option<i64>,
    headers: HeaderMap,
    first_byte_timeout: Option<Duration>,
    base: Url,
    chat: Address,
    completions: Address,
    embeddings: Address,
    models: Address,
    /// Models whose chats go to an address of their own.
    chats: Vec<(&'static str, Url)>,
}

impl Connection {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL or the key cannot be used.
    pub fn new(http: Http, dialect: &'static Dialect, settings: Settings) -> Result<Self> {
        let base = address::base_url(dialect, &settings.url)?;
        let at = |path, what| Address::new(&base, path, what);
        let key = settings.key.filter(|key| !key.is_empty());
        let key = key.map(|key| secret_header(dialect.key_header.1, &key)).transpose()?;
        let chats = dialect.model_urls.iter();
        let chats = chats.map(|(model, url)| Ok((*model, address::base_url(dialect, url)?)));
        Ok(Self {
            http,
            dialect,
            tls: settings.tls,
            key,
            max_tokens: settings.max_tokens,
            headers: settings.headers,
            first_byte_timeout: settings.first_byte_timeout,
            chat: at(dialect.chat_path, "chat completions"),
            completions: at(dialect.completions_path, "completions"),
            embeddings: at(dialect.embeddings_path, "embeddings"),
            models: at(dialect.models_path, "lists of models"),
            chats: chats.collect::<Result<_>>()?,
            base,
        })
    }

    pub fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// Whether there is a key in the configuration.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// # Errors
    /// What the upstream answers, or that it does not; see [`Http::send`].
    pub async fn chat(&self, call: Call<'_>, request: ChatRequest) -> Result<Answer> {
        let stream = request.stream();
        self.complete(&self.chat, call, request.body, stream).await
    }

    /// # Errors
    /// What the upstream answers, or that it does not; see [`Http::send`].
    pub async fn completion(
        &self,
        call: Call<'_>,
        request: TextCompletionRequest,
    ) -> Result<Answer> {
        let stream = request.stream();
        self.complete(&self.completions, call, request.body, stream).await
    }

    /// The JSON text of the vectors.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not; see [`Http::send`].
    pub async fn embeddings(&self, call: Call<'_>, request: EmbeddingRequest) -> Result<Bytes> {
        let mut body = request.body;
        request::fit_embeddings(&mut body, self.dialect);
        let url = self.embeddings.of(self.dialect, model(&body))?;
        let base64 = self.dialect.float_vectors
            && body.shift_remove("encoding_format").is_some_and(|format| format == "base64");
        let response = self.post(url, call, &body, false).await?;
        let answer = self.whole(response, VECTORS_BYTES).await?;
        if !base64 {
            return Ok(answer);
        }
        vectors::in_base64(&answer)
            .map_err(|error| self.broken("sent vectors that cannot be understood").caused_by(error))
    }

    /// The models that the upstream lists.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not within `limit`.
    pub async fn models(&self, call: Call<'_>, limit: Duration) -> Result<Vec<Listed>> {
        let text = self.get(call, self.models.of(self.dialect, "")?, limit).await?;
        listing::read(&text).ok_or_else(|| {
            let error = serde_json::from_slice(&text).ok().and_then(|body| error_in(&body, &[]));
            error.unwrap_or_else(|| self.broken("sent a list of models that cannot be understood"))
        })
    }

    /// The answer of another part of the upstream, at `path` after the base URL.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not within `limit`.
    pub async fn ask(&self, call: Call<'_>, path: &str, limit: Duration) -> Result<Bytes> {
        self.get(call, self.at(path), limit).await
    }

    /// The answer of another part of the upstream to a JSON text, at `path` after the base URL.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not.
    pub async fn tell(&self, call: Call<'_>, path: &str, body: &Body) -> Result<Bytes> {
        self.post(self.at(path), call, body, false).await?.bytes(VECTORS_BYTES).await
    }

    /// The address of another part of the upstream, at `path` after the base URL.
    pub(super) fn at(&self, path: &str) -> Url {
        address::after(&self.base, path)
    }

    async fn get(&self, call: Call<'_>, url: Url, limit: Duration) -> Result<Bytes> {
        let request =
            Request::get(self.dialect.name, url).first_byte_timeout(limit).read_timeout(limit);
        let response = self.http.send(self.equipped(request, call)?).await?;
        response.success().await?.bytes(ANSWER_BYTES).await
    }

    async fn complete(
        &self,
        address: &Address,
        call: Call<'_>,
        mut body: Body,
        stream: bool,
    ) -> Result<Answer> {
        request::fit(&mut body, self.dialect, self.max_tokens);
        let own = self.chats.iter().find(|(id, _)| *id == model(&body));
        let url = match own {
            Some((_, url)) if body.contains_key("messages") => url.clone(),
            _ => address.of(self.dialect, model(&body))?,
        };
        let response = self.post(url, call, &body, stream).await?;
        if !stream {
            return self.whole(response, ANSWER_BYTES).await.map(Answer::Full);
        }
        let media_type = response.media_type();
        if matches!(media_type.as_str(), "application/json" | "text/html") {
            // An error, or an upstream that does not stream.
            self.whole(response, ANSWER_BYTES).await?;
            let what = format!("answered with `{media_type}` in place of a stream of events");
            return Err(self.broken(&what));
        }
        let secrets = response.secrets().to_vec();
        Ok(Answer::Stream(Box::new(Relay::new(response.stream(), secrets))))
    }

    pub(super) async fn post(
        &self,
        url: Url,
        call: Call<'_>,
        body: &Body,
        stream: bool,
    ) -> Result<Response> {
        let accept = if stream { "text/event-stream" } else { "application/json" };
        let request = Request::post(self.dialect.name, url)
            .json(body.to_bytes())
            .header(header::ACCEPT, HeaderValue::from_static(accept))
            .retries(self.http.retries());
        let request = match self.first_byte_timeout {
            Some(limit) => request.first_byte_timeout(limit),
            None => request,
        };
        self.http.send(self.equipped(request, call)?).await?.success().await
    }

    /// Adds what the call and the configuration say.
    fn equipped(&self, request: Request, call: Call<'_>) -> Result<Request> {
        let mut request = request
            .headers(&self.headers)
            .tls(self.tls.clone())
            .deadline(call.deadline)
            .trace(call.trace)
            .repeats(call.repeats);
        let key = match call.key {
            Some(key) => Some(secret_header(self.dialect.key_header.1, &Secret::new(key))?),
            None => self.key.clone(),
        };
        if let Some(key) = key {
            let name = HeaderName::from_static(self.dialect.key_header.0);
            request = request.header(name, key);
        }
        if let Some(name) = self.dialect.request_id
            && let Ok(id) = HeaderValue::from_str(call.request_id)
            && !id.is_empty()
        {
            request = request.header(HeaderName::from_static(name), id);
        }
        Ok(request)
    }

    /// The body, if it is a JSON object of at most `max_bytes` bytes and not an error.
    async fn whole(&self, response: Response, max_bytes: usize) -> Result<Bytes> {
        #[derive(Deserialize)]
        struct Probe<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
            #[serde(borrow)]
            object: Option<&'a RawValue>,
        }
        let secrets = response.secrets().to_vec();
        let body = response.bytes(max_bytes).await?;
        let unclear = || self.broken("sent an answer that is not a JSON object");
        let text = std::str::from_utf8(&body).map_err(|error| unclear().caused_by(error))?;
        let probe: Probe<'_> =
            serde_json::from_str(text).map_err(|error| unclear().caused_by(error))?;
        let suspicious =
            probe.error.is_some() || probe.object.is_some_and(|object| object.get() == "\"error\"");
        if suspicious
            && let Ok(value) = serde_json::from_str::<Value>(text)
            && let Some(error) = error_in(&value, &secrets)
        {
            return Err(error);
        }
        Ok(body)
    }

    pub(super) fn broken(&self, what: &str) -> Error {
        let kind = ErrorKind::Upstream { status: None };
        Error::new(kind, format!("{} {what}", self.dialect.name))
    }
}

fn model(body: &Body) -> &str {
    body.get("model").and_then(Value::as_str).unwrap_or_default()
}
