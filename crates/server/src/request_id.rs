//! What a request is found by in logs, traces and answers.

use http::{HeaderMap, HeaderName};
use std::sync::Arc;
use uuid::Uuid;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the caller's, if it is a plain word, or one of our own.
pub(crate) fn of(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(HEADER).and_then(|id| id.to_str().ok()).filter(|id| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    });
    if let Some(id) = given {
        return id.into();
    }
    let mut buffer = Uuid::encode_buffer();
    Arc::from(&*Uuid::new_v4().simple().encode_lower(&mut buffer))
}
