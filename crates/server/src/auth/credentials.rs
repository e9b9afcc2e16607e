//! The token that a request shows.

use chaski_api::{Error, ErrorKind, Result};
use http::{HeaderMap, header};

/// The key of Anthropic's clients.
pub(crate) const API_KEY: &str = "x-api-key";

/// Whether the request shows credentials at all.
pub(crate) fn shown(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key(API_KEY)
}

/// The token of the request: all that follows `Bearer `, or the API key.
pub(super) fn token(headers: &HeaderMap) -> Result<String> {
    let missing =
        || Error::new(ErrorKind::Unauthenticated, "Missing or invalid Authorization header");
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        // Of two, readers may take either.
        Some(if values.next().is_some() { None } else { first.to_str().ok() })
    };
    match (only(header::AUTHORIZATION.as_str()), only(API_KEY)) {
        (Some(value), _) => {
            let token = value.and_then(|value| value.strip_prefix("Bearer "));
            token.map(str::to_owned).ok_or_else(missing)
        }
        (None, Some(key)) => key.map(str::to_owned).ok_or_else(missing),
        (None, None) => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn check(headers: &[(&str, &[u8])], expected: Option<&str>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        assert_eq!(token(&map).ok().as_deref(), expected, "{headers:?}");
    }

    #[test]
    fn the_token_is_all_that_follows_bearer() {
        check(&[("authorization", b"Bearer key")], Some("key"));
        check(&[("authorization", b"Bearer Bearer key")], Some("Bearer key"));
        check(&[("authorization", b"Bearer ")], Some(""));
        check(&[("authorization", b"Bearer it's \"quoted\" --")], Some("it's \"quoted\" --"));
        check(&[("x-api-key", b"key")], Some("key"));
        check(&[("x-api-key", b"other"), ("authorization", b"Bearer key")], Some("key"));
    }

    #[test]
    fn anything_else_is_no_token() {
        check(&[], None);
        for value in ["Bearer", "bearer key", "Basic key", " Bearer key", "key", ""] {
            check(&[("authorization", value.as_bytes())], None);
        }
        check(&[("authorization", b"Bearer \xff\xfe")], None);
        check(&[("authorization", b"Bearer a"), ("authorization", b"Bearer b")], None);
        check(&[("authorization", b"Basic a"), ("x-api-key", b"key")], None);
        check(&[("x-api-key", b"a"), ("x-api-key", b"b")], None);
        check(&[("api-key", b"key")], None);
    }
}
