//! A request on its way to the type that its endpoint declares.

use bytes::Bytes;
use chaski_api::{Endpoint, Error, Result, Wire};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What an endpoint takes.
pub(crate) struct Shape {}

impl Shape {
    pub(crate) fn of<E: Endpoint>() -> Self {
        Self {}
    }
}

/// What came.
pub(crate) struct Input {
    pub(crate) body: Bytes,
}

impl Input {
    /// The request, and whether it asks for a stream of events.
    #[expect(clippy::unused_async, reason = "large bodies are read on other threads")]
    pub(crate) async fn read<E: Endpoint>(
        self,
        _shape: Arc<Shape>,
        _depth: usize,
    ) -> Result<(E::Request, bool)> {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| Map::new().into());
        let events = value.get("stream").and_then(Value::as_bool).unwrap_or_default();
        Ok((E::Request::from_json(value).map_err(Error::malformed)?, events))
    }
}
