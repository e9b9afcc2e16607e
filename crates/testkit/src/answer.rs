//! What the fake upstream sends, and when.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A gate that holds an answer back until the test opens it. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A gate that is closed.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        self.0.close();
    }

    /// Returns once the gate is open.
    pub async fn passed(&self) {
        // Nobody adds permits, so that the only way out is the closing of the semaphore.
        let _closed = self.0.acquire().await;
    }
}

/// One scripted answer. Built from a body, then adorned with how it is sent.
#[derive(Clone)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) piece: usize,
    pub(crate) cut: bool,
    pub(crate) before_head: Option<Gate>,
    pub(crate) inside_body: Option<(usize, Gate)>,
}

impl Answer {
    /// Status 200 with this body and media type.
    pub fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self {
            status: StatusCode::OK,
            headers,
            body: body.into(),
            piece: usize::MAX,
            cut: false,
            before_head: None,
            inside_body: None,
        }
    }

    /// A JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "tests pass what `json!` just made")]
    pub fn json(value: Value) -> Self {
        Self::new("application/json", value.to_string())
    }

    /// A plain text body.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new("text/plain", text.into())
    }

    /// Server-sent events, one `data:` line each; the script says whether `[DONE]` is among them.
    pub fn events<E: AsRef<str>>(events: impl IntoIterator<Item = E>) -> Self {
        let mut body = String::new();
        for event in events {
            body.push_str("data: ");
            body.push_str(event.as_ref());
            body.push_str("\n\n");
        }
        Self::new("text/event-stream", body)
    }

    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).expect("a valid status");
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a valid header value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Sends the body in pieces of this many bytes: a reader must not care where the network cuts.
    #[must_use]
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a piece has at least one byte");
        self.piece = bytes;
        self
    }

    /// Breaks the connection after this many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self.cut = true;
        self
    }

    /// Sends nothing, not even the status, before the gate is open.
    #[must_use]
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.before_head = Some(gate.clone());
        self
    }

    /// Sends this many bytes of the body, and the rest when the gate is open.
    #[must_use]
    pub fn held_after(mut self, bytes: usize, gate: &Gate) -> Self {
        self.inside_body = Some((bytes.min(self.body.len()), gate.clone()));
        self
    }

    /// The bytes of the body.
    #[expect(clippy::len_without_is_empty, reason = "tests ask where to cut, not whether")]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Never answers: for tests of time limits and of clients that give up.
    pub fn never() -> Self {
        Self::text("").held_by(&Gate::closed())
    }
}
