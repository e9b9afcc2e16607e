//! Whether a client is of the version that this server says it is.

use crate::{body::ResponseBody, failures};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use serde_json::json;

const HEADER: HeaderName = HeaderName::from_static("x-llamastack-client-version");

/// The refusal of a client of another version. One that cannot be read is let in.
pub(crate) fn refusal(headers: &HeaderMap, server: &str) -> Option<Response<ResponseBody>> {
    let client = headers.get(HEADER)?;
    let client = String::from_utf8_lossy(client.as_bytes());
    if client.is_empty() || numbers(&client)? == numbers(server)? {
        return None;
    }
    let message = format!(
        "Client version {client} is not compatible with server version {server}. \
         Please update your client."
    );
    let text = failures::python(&json!({ "error": { "message": message } }));
    Some(failures::json_response(StatusCode::UPGRADE_REQUIRED, text))
}

/// The first two numbers, as far as there are two; nothing where one is no number.
fn numbers(version: &str) -> Option<Vec<i64>> {
    version.split('.').take(2).map(|part| part.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(client: &'static str, refused: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, http::HeaderValue::from_static(client));
        let refusal = refusal(&headers, "0.1.7");
        assert_eq!(refusal.is_some(), refused, "{client}");
    }

    #[test]
    fn the_first_two_numbers_decide() {
        for client in ["0.1.7", "0.1.0", "0.1", "0.1.8rc1", "0. 1.x", " 0.1.7", "00.01.5", ""] {
            check(client, false);
        }
        for client in ["0.2.0", "0.0.63", "1.1.7", "0", "1", "0.2"] {
            check(client, true);
        }
    }

    #[test]
    fn what_is_no_version_is_let_in() {
        for client in ["abc", "0.x.1", "0.1a.3", "."] {
            check(client, false);
        }
        assert!(refusal(&HeaderMap::new(), "0.1.7").is_none());
    }
}
