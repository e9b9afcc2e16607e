//! Calls to an upstream that speaks the OpenAI API.

use super::{Dialect, Relay, request, vectors};
use crate::{
    Http, Request, Response, Tls,
    client::{error_in, secret_header},
};
use bytes::Bytes;
use chaski_api::{
    Error, ErrorKind, Result, Secret,
    openai::{Body, ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::time::{Duration, Instant};
use url::Url;

/// The largest answer that is not a stream.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// What a connection needs to know beside the dialect.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The base URL: `http://localhost:8000/v1`.
    pub url: String,
    pub tls: Tls,
    /// The key that is sent where a call has none of its own.
    pub key: Option<Secret>,
    /// The limit for requests that have none.
    pub max_tokens: Option<i64>,
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
}

/// An answer at once, or as events.
pub enum Answer {
    /// The JSON text of the answer, known to be an object and no error.
    Full(Bytes),
    Stream(Box<Relay>),
}

/// A model that an upstream lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listed {
    pub id: String,
    /// In seconds since 1970.
    #[serde(default)]
    pub created: Option<i64>,
    // Upstreams have three names for the same number, and some send two of them.
    #[serde(default)]
    max_model_len: Option<i64>,
    #[serde(default)]
    context_length: Option<i64>,
    #[serde(default)]
    context_window: Option<i64>,
}

impl Listed {
    /// The tokens that fit into a prompt and its answer together, where the upstream says so.
    pub fn context_length(&self) -> Option<i64> {
        self.max_model_len.or(self.context_length).or(self.context_window)
    }
}

/// An upstream that speaks a dialect of OpenAI's API.
#[derive(Debug, Clone)]
pub struct Connection {
    http: Http,
    dialect: &'static Dialect,
    tls: Tls,
    key: Option<HeaderValue>,
    max_tokens: Option<i64>,
    chat: Url,
    completions: Url,
    embeddings: Url,
    models: Url,
}

impl Connection {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL or the key cannot be used.
    pub fn new(http: Http, dialect: &'static Dialect, settings: Settings) -> Result<Self> {
        let base = base_url(dialect, &settings.url)?;
        let at = |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
            url
        };
        let key = settings.key.filter(|key| !key.is_empty());
        let key = key.map(|key| secret_header(dialect.key_header.1, &key)).transpose()?;
        Ok(Self {
            http,
            dialect,
            tls: settings.tls,
            key,
            max_tokens: settings.max_tokens,
            chat: at("/chat/completions"),
            completions: at("/completions"),
            embeddings: at("/embeddings"),
            models: at(dialect.models_path),
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
        request::fit(&mut body, self.dialect, None);
        let base64 = self.dialect.float_vectors
            && body.shift_remove("encoding_format").is_some_and(|format| format == "base64");
        let response = self.post(&self.embeddings, call, &body, false).await?;
        let answer = self.whole(response).await?;
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
        #[derive(Deserialize)]
        struct List {
            data: Vec<Listed>,
        }
        let request = Request::get(self.dialect.name, self.models.clone())
            .first_byte_timeout(limit)
            .read_timeout(limit);
        let response = self.http.send(self.equipped(request, call)?).await?;
        let text = self.whole(response.success().await?).await?;
        let list: List = serde_json::from_slice(&text).map_err(|error| {
            self.broken("sent a list of models that cannot be understood").caused_by(error)
        })?;
        Ok(list.data)
    }

    async fn complete(
        &self,
        url: &Url,
        call: Call<'_>,
        mut body: Body,
        stream: bool,
    ) -> Result<Answer> {
        request::fit(&mut body, self.dialect, self.max_tokens);
        let response = self.post(url, call, &body, stream).await?;
        if !stream {
            return self.whole(response).await.map(Answer::Full);
        }
        let media_type = response.media_type();
        if matches!(media_type.as_str(), "application/json" | "text/html") {
            // An error, or an upstream that does not stream.
            self.whole(response).await?;
            let what = format!("answered with `{media_type}` in place of a stream of events");
            return Err(self.broken(&what));
        }
        let secrets = response.secrets().to_vec();
        Ok(Answer::Stream(Box::new(Relay::new(response.stream(), secrets))))
    }

    async fn post(&self, url: &Url, call: Call<'_>, body: &Body, stream: bool) -> Result<Response> {
        let accept = if stream { "text/event-stream" } else { "application/json" };
        let request = Request::post(self.dialect.name, url.clone())
            .json(body.to_bytes())
            .header(header::ACCEPT, HeaderValue::from_static(accept))
            .retries(self.http.retries());
        self.http.send(self.equipped(request, call)?).await?.success().await
    }

    /// Adds what the call and the configuration say.
    fn equipped(&self, request: Request, call: Call<'_>) -> Result<Request> {
        let mut request = request.tls(self.tls.clone()).deadline(call.deadline);
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

    /// The body, if it is a JSON object and not an error.
    async fn whole(&self, response: Response) -> Result<Bytes> {
        #[derive(Deserialize)]
        struct Probe<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
            #[serde(borrow)]
            object: Option<&'a RawValue>,
        }
        let secrets = response.secrets().to_vec();
        let body = response.bytes(ANSWER_BYTES).await?;
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

    fn broken(&self, what: &str) -> Error {
        let kind = ErrorKind::Upstream { status: None };
        Error::new(kind, format!("{} {what}", self.dialect.name))
    }
}

fn base_url(dialect: &Dialect, text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        let example = "use one such as `http://localhost:8000/v1`";
        Error::invalid(format!("the URL of {} is not a web address; {example}", dialect.name))
    })
}
