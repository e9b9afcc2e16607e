//! A door for the fuzz targets, open with the feature `fuzzing`.

use crate::{Http, HttpOptions, Request, Response, Url, openai::Relay};
use bytes::Bytes;
use chaski_api::Result;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use std::{convert::Infallible, sync::LazyLock};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_time().build().expect("it needs nothing but memory")
});
static HTTP: LazyLock<Http> =
    LazyLock::new(|| Http::new(HttpOptions::default()).expect("the options are the usual ones"));

/// The answer of an upstream whose body comes in these pieces.
pub fn answered(media_type: &'static str, pieces: Vec<Bytes>) -> Response {
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
    let mut answer = http::Response::new(reqwest::Body::wrap_stream(pieces));
    let media_type = HeaderValue::from_static(media_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, media_type);
    let url = Url::parse("http://localhost").expect("it is a URL");
    Response::scripted(answer.into(), &Request::post("the upstream", url), HTTP.clone())
}

/// What is passed on of a stream whose body comes in these pieces.
pub fn relayed(pieces: Vec<Bytes>) -> Vec<Result<Bytes>> {
    let body = answered("text/event-stream", pieces).stream();
    RUNTIME.block_on(Relay::new(body, Vec::new()).collect())
}
