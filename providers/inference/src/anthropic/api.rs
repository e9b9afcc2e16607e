//! Calls to a server that speaks Anthropic's API.

use super::{KEY, NAME, relay};
use crate::adapter::LISTING;
use bytes::Bytes;
use chaski_api::{Error, ErrorKind, Result, Secret};
use chaski_provider::Context;
use chaski_upstream::{Http, Request, Response, Url};
use futures_util::stream::BoxStream;
use serde::Deserialize;

const BASE_URL: &str = "https://api.anthropic.com";
/// The version of the API that this provider speaks.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
/// The largest answer that is not a stream.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// A model that the upstream lists.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) id: String,
    #[serde(default)]
    pub(super) display_name: Option<String>,
    #[serde(default)]
    pub(super) max_input_tokens: Option<i64>,
}

/// A server that speaks Anthropic's API.
pub(super) struct Api {
    http: Http,
    messages: Url,
    count: Url,
    models: Url,
    key: Option<Secret>,
    /// Whether the server is Anthropic's own.
    original: bool,
}

impl Api {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL cannot be used.
    pub(super) fn new(http: Http, base_url: Option<&str>, key: Option<Secret>) -> Result<Self> {
        let base = base_url.unwrap_or(BASE_URL).trim().trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let at = |path: &str| {
            let url = Url::parse(&format!("{base}{path}")).ok();
            url.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| {
                Error::invalid(format!(
                    "`base_url` of {NAME} is not a web address; use one such as `{BASE_URL}`"
                ))
            })
        };
        Ok(Self {
            http,
            messages: at("/v1/messages")?,
            count: at("/v1/messages/count_tokens")?,
            models: at("/v1/models?limit=1000")?,
            key: key.filter(|key| !key.is_empty()),
            original: base_url.is_none(),
        })
    }

    pub(super) fn is_original(&self) -> bool {
        self.original
    }

    /// Whether models can be listed without a caller.
    pub(super) fn can_list(&self) -> bool {
        !self.original || self.key.is_some()
    }

    /// The JSON text of the answer.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not; see [`Http::send`].
    pub(super) async fn message(&self, cx: &Context, body: Bytes) -> Result<Bytes> {
        self.whole(cx, &self.messages, body).await
    }

    /// How many tokens the upstream counts.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not; see [`Http::send`].
    pub(super) async fn count(&self, cx: &Context, body: Bytes) -> Result<i64> {
        #[derive(Deserialize)]
        struct Count {
            input_tokens: i64,
        }
        let answer = self.whole(cx, &self.count, body).await?;
        let count: Count = serde_json::from_slice(&answer)
            .map_err(|error| broken("sent a count that cannot be understood").caused_by(error))?;
        Ok(count.input_tokens)
    }

    /// The events of the answer, as JSON texts; errors among them are errors here.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not; see [`Http::send`].
    pub(super) async fn events(
        &self,
        cx: &Context,
        body: Bytes,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let key = self.key(cx)?;
        let response =
            self.post(cx, key.as_ref(), &self.messages, body, "text/event-stream").await?;
        let media_type = response.media_type();
        if matches!(media_type.as_str(), "application/json" | "text/html") {
            // An error, or a server that does not stream.
            relay::check(&response.bytes(ANSWER_BYTES).await?, key.as_ref())?;
            let what = format!("answered with `{media_type}` in place of a stream of events");
            return Err(broken(&what));
        }
        Ok(relay::events(response.stream(), key))
    }

    /// The models that the upstream lists.
    ///
    /// # Errors
    /// What the upstream answers, or that it does not in time.
    pub(super) async fn models(&self) -> Result<Vec<Listed>> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<Listed>,
        }
        let request = Request::get(NAME, self.models.clone())
            .first_byte_timeout(LISTING)
            .read_timeout(LISTING)
            .text(VERSION.0, VERSION.1)?;
        let request = with_key(request, self.key.as_ref())?;
        let answer = self.http.send(request).await?.success().await?.bytes(ANSWER_BYTES).await?;
        let list: List = serde_json::from_slice(&answer).map_err(|error| {
            broken("sent a list of models that cannot be understood").caused_by(error)
        })?;
        Ok(list.data)
    }

    async fn whole(&self, cx: &Context, url: &Url, body: Bytes) -> Result<Bytes> {
        let key = self.key(cx)?;
        let response = self.post(cx, key.as_ref(), url, body, "application/json").await?;
        let answer = response.bytes(ANSWER_BYTES).await?;
        relay::check(&answer, key.as_ref())?;
        Ok(answer)
    }

    async fn post(
        &self,
        cx: &Context,
        key: Option<&Secret>,
        url: &Url,
        body: Bytes,
        accept: &str,
    ) -> Result<Response> {
        let mut request = Request::post(NAME, url.clone())
            .json(body)
            .text("accept", accept)?
            .text(VERSION.0, VERSION.1)?
            .deadline(cx.deadline)
            .trace(cx.spans.parent())
            .retries(self.http.retries())
            .repeats(Some(&cx.repeats));
        // A caller that speaks the API says which of its versions and additions it means.
        for (name, value) in cx.api_headers.iter() {
            request = request.text(name, value)?;
        }
        self.http.send(with_key(request, key)?).await?.success().await
    }

    /// The key of the caller, or the configured one.
    fn key(&self, cx: &Context) -> Result<Option<Secret>> {
        if let Some(key) = cx.provider_data.text(KEY) {
            return Ok(Some(Secret::new(key)));
        }
        if self.key.is_none() && self.original {
            let message = format!(
                "no key for {NAME}: pass it in the header `X-LlamaStack-Provider-Data` as \
                 `{{\"{KEY}\": \"<your API key>\"}}`, or set `api_key` in the run configuration"
            );
            return Err(Error::new(ErrorKind::Unauthenticated, message));
        }
        Ok(self.key.clone())
    }
}

fn with_key(request: Request, key: Option<&Secret>) -> Result<Request> {
    match key {
        Some(key) => request.secret("x-api-key", key),
        None => Ok(request),
    }
}

pub(super) fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("{NAME} {what}"))
}
