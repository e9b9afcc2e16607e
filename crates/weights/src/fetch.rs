//! What a download needs of an HTTP client.

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};

/// An answer whose body is still to come.
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Content-Length`: how many bytes follow.
    pub length: Option<u64>,
    /// The size of the whole file, from `Content-Range`.
    pub total: Option<u64>,
    pub body: BoxStream<'static, Result<Bytes, String>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFailure(pub String);

/// A client that can ask for the rest of a file.
///
/// It follows redirects, gives up connecting after a few seconds, and gives up reading when nothing
/// comes for a while; it sets no limit on the whole.
pub trait Fetch: Send + Sync {
    /// Asks for `url` from the byte `from` on; 0 is the whole.
    fn get<'a>(&'a self, url: &'a str, from: u64) -> BoxFuture<'a, Result<Fetched, FetchFailure>> {
        self.part(url, from, None)
    }

    /// Asks for the bytes of `url` from `from` to before `to`, or to the end.
    fn part<'a>(
        &'a self,
        url: &'a str,
        from: u64,
        to: Option<u64>,
    ) -> BoxFuture<'a, Result<Fetched, FetchFailure>>;
}
