//! What the authentication service is told about a request.

use crate::options::ForwardHeaders;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The head of a request.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
}

/// Headers that hold credentials, besides those whose names say so.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-llamastack-provider-data",
    "x-chaski-provider-data",
];
/// Words in the names of headers that hold credentials.
const SECRET_WORDS: &[&str] =
    &["api-key", "apikey", "token", "secret", "password", "credential", "signature"];
/// Headers that differ from request to request and say nothing about who sends it.
const VOLATILE: &[&str] =
    &["content-length", "date", "idempotency-key", "traceparent", "tracestate", "x-request-id"];

fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name) || SECRET_WORDS.iter().any(|word| name.contains(word))
}

fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(&name) || name.starts_with("x-stainless-")
}

impl Question<'_> {
    /// The headers that the service gets to see; of those that come twice, the last.
    fn forwarded(&self, forward: ForwardHeaders) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .keys()
            .map(http::HeaderName::as_str)
            .filter(move |name| match forward {
                ForwardHeaders::All => true,
                ForwardHeaders::Safe => !is_credential(name),
                ForwardHeaders::None => false,
            })
            .filter_map(|name| {
                let last = self.headers.get_all(name).iter().next_back()?;
                Some((name, last.as_bytes()))
            })
    }

    /// The body of the question.
    pub(super) fn body(&self, token: &str, forward: ForwardHeaders) -> String {
        let headers: Map<String, Value> = self
            .forwarded(forward)
            .map(|(name, value)| (name.to_owned(), text(value).into()))
            .collect();
        let mut params: Map<String, Value> = Map::new();
        let query = self.query.unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if value.is_empty() {
                continue;
            }
            let values = params.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(values) = values {
                values.push(value.into_owned().into());
            }
        }
        let path = percent_decode_str(self.path).decode_utf8_lossy();
        let request = json!({ "path": path, "headers": headers, "params": params });
        json!({ "api_key": token, "request": request }).to_string()
    }

    /// What the decision may depend on, digested: the whole token, and all that the service sees
    /// but what differs from request to request.
    pub(super) fn key(&self, token: &str, forward: ForwardHeaders) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            // With its length, so that no two lists of texts look alike.
            digest.update(bytes.len().to_be_bytes());
            digest.update(bytes);
        };
        add(token.as_bytes());
        add(self.path.as_bytes());
        add(self.query.unwrap_or_default().as_bytes());
        for (name, value) in self.forwarded(forward).filter(|(name, _)| !is_volatile(name)) {
            add(name.as_bytes());
            add(value);
        }
        digest.finalize().into()
    }
}

/// The value of a header as text, byte by byte.
fn text(value: &[u8]) -> String {
    value.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn asked(forward: ForwardHeaders) -> Value {
        let headers = headers(&[
            ("host", "here"),
            ("authorization", "Bearer ok"),
            ("cookie", "a=b"),
            ("x-twice", "1"),
            ("x-twice", "2"),
            ("x-amz-security-token", "t"),
            ("x-llamastack-provider-data", "{}"),
        ]);
        let query = Some("toolgroup_id=a&x=1&x=2&empty=&enc=%20b");
        let question = Question { path: "/v1/models/a%2Fb", query, headers: &headers };
        serde_json::from_str(&question.body("ok", forward)).unwrap()
    }

    #[test]
    fn the_service_is_told_who_asks_for_what() {
        let safe = asked(ForwardHeaders::Safe);
        assert_eq!(
            safe,
            json!({
                "api_key": "ok",
                "request": {
                    "path": "/v1/models/a/b",
                    "headers": { "host": "here", "x-twice": "2" },
                    "params": { "toolgroup_id": ["a"], "x": ["1", "2"], "enc": [" b"] },
                },
            })
        );
        assert_eq!(asked(ForwardHeaders::None)["request"]["headers"], json!({}));
        let all = asked(ForwardHeaders::All);
        assert_eq!(all["request"]["headers"]["authorization"], "Bearer ok");
        assert_eq!(all["request"]["headers"].as_object().unwrap().len(), 6);
    }

    fn key(token: &str, path: &str, of: &[(&'static str, &'static str)]) -> [u8; 32] {
        let headers = headers(of);
        Question { path, query: None, headers: &headers }.key(token, ForwardHeaders::Safe)
    }

    #[test]
    fn decisions_are_shared_by_equal_questions_only() {
        let base = key("token", "/v1/models", &[("x-a", "1")]);
        assert_eq!(base, key("token", "/v1/models", &[("x-a", "1"), ("content-length", "9")]));
        assert_ne!(base, key("token2", "/v1/models", &[("x-a", "1")]));
        assert_ne!(base, key("toke", "n/v1/models", &[("x-a", "1")]));
        assert_ne!(base, key("token", "/v1/providers", &[("x-a", "1")]));
        assert_ne!(base, key("token", "/v1/models", &[("x-a", "2")]));
    }
}
