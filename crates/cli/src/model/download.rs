//! Lets the weights fetch through the client for everything outbound.

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
}

impl Client {
    pub(super) fn new(http: Http, token: Option<Secret>) -> Self {
        Self { http, token }
    }

    async fn ask(&self, url: &str, from: u64) -> Result<Fetched, FetchFailure> {
        let failure = |error: chaski_api::Error| FetchFailure(error.message);
        let url = Url::parse(url).map_err(|error| FetchFailure(format!("`{url}`: {error}")))?;
        let host = url.host_str().unwrap_or("the server").to_owned();
        let for_hugging_face = url.scheme() == "https" && host == "huggingface.co";
        let mut request = Request::get(host, url).redirects(REDIRECTS);
        if from > 0 {
            let range = HeaderValue::from_str(&format!("bytes={from}-"))
                .map_err(|error| FetchFailure(error.to_string()))?;
            request = request.header(header::RANGE, range);
        }
        if let Some(token) = self.token.as_ref().filter(|_| for_hugging_face) {
            request = request.bearer(token).map_err(failure)?;
        }
        let answer = self.http.send(request).await.map_err(failure)?;
        let length = answer.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let status = answer.status().as_u16();
        let body = answer.stream().map_err(|error| error.message).boxed();
        Ok(Fetched { status, length, body })
    }
}

impl Fetch for Client {
    fn get<'a>(&'a self, url: &'a str, from: u64) -> BoxFuture<'a, Result<Fetched, FetchFailure>> {
        Box::pin(self.ask(url, from))
    }
}
