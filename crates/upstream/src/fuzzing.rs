//! A door for the fuzz targets, open with the feature `fuzzing`.

use crate::{Http, HttpOptions, Request, Url, client::Response, openai::Relay};
use bytes::Bytes;
use chaski_api::Result;
use futures_util::{StreamExt, stream};
use std::{convert::Infallible, sync::LazyLock};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_time().build().expect("it needs nothing but memory")
});
static HTTP: LazyLock<Http> =
    LazyLock::new(|| Http::new(HttpOptions::default()).expect("the options are the usual ones"));

/// What is passed on of a stream whose body comes in these pieces.
pub fn relayed(pieces: Vec<Bytes>) -> Vec<Result<Bytes>> {
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
    let answer = http::Response::new(reqwest::Body::wrap_stream(pieces));
    let url = Url::parse("http://localhost").expect("it is a URL");
    let body = Response::scripted(answer.into(), &Request::post("OpenAI", url), HTTP.clone());
    RUNTIME.block_on(Relay::new(body.stream(), Vec::new()).collect())
}
