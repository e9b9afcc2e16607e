//! Lets the weights fetch through the client for everything outbound.

use crate::failure::{Failure, Outcome};
use chaski_api::Secret;
use chaski_upstream::{Http, Request, Url};
use chaski_weights::{Fetch, FetchFailure, Fetched};
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture};
use http::{HeaderValue, header};

/// How many redirects lead to a file.
const REDIRECTS: u32 = 5;

pub(super) struct Client {
    http: Http,
    /// For Hugging Face alone.
    token: Option<Secret>,
    /// The address of Hugging Face or of a mirror.
    hugging_face: Url,
}

impl Client {
    /// # Errors
    /// When `hugging_face` is not an address that a token may be sent to.
    pub(super) fn new(http: Http, token: Option<Secret>, hugging_face: &str) -> Outcome<Self> {
        let wrong = |why: &str| Failure::failed(format!("`{hugging_face}`: {why}"));
        let url = Url::parse(hugging_face).map_err(|error| wrong(&error.to_string()))?;
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            return Err(wrong("only `https` is safe on the way"));
        }
        Ok(Self { http, token, hugging_face: url })
    }

    async fn ask(&self, url: &str, from: u64, to: Option<u64>) -> Result<Fetched, FetchFailure> {
        let failure = |error: chaski_api::Error| FetchFailure(error.message);
        // The address may hold a signature, and is not repeated.
        let url = Url::parse(url).map_err(|error| FetchFailure(format!("the URL: {error}")))?;
        let host = url.host_str().unwrap_or("the server").to_owned();
        let for_hugging_face = url.origin() == self.hugging_face.origin();
        let mut request = Request::get(host, url).redirects(REDIRECTS);
        if from > 0 || to.is_some() {
            let last = to.map(|to| to.saturating_sub(1).to_string()).unwrap_or_default();
            let range = HeaderValue::from_str(&format!("bytes={from}-{last}"))
                .map_err(|error| FetchFailure(error.to_string()))?;
            request = request.header(header::RANGE, range);
        }
        if let Some(token) = self.token.as_ref().filter(|_| for_hugging_face) {
            request = request.bearer(token).map_err(failure)?;
        }
        let answer = self.http.send(request).await.map_err(failure)?;
        let text =
            |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let length = text(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let total =
            text(header::CONTENT_RANGE).and_then(|text| text.rsplit('/').next()?.parse().ok());
        let status = answer.status().as_u16();
        let body = answer.stream().map_err(|error| error.message).boxed();
        Ok(Fetched { status, length, total, body })
    }
}

impl Fetch for Client {
    fn part<'a>(
        &'a self,
        url: &'a str,
        from: u64,
        to: Option<u64>,
    ) -> BoxFuture<'a, Result<Fetched, FetchFailure>> {
        Box::pin(self.ask(url, from, to))
    }
}
