//! Web pages of other origins: closed unless configured.

use crate::body::ResponseBody;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

/// What a browser is to be told about the origin of the request, if it is allowed.
pub(crate) fn allowed_origin(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    if allowed.is_empty() {
        return None;
    }
    let origin = headers.get(header::ORIGIN)?;
    if allowed.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// The answer to a browser that asks whether it may send a request.
pub(crate) fn preflight(
    method: &Method,
    headers: &HeaderMap,
    allowed: &[String],
) -> Option<Response<ResponseBody>> {
    if *method != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    allowed_origin(headers, allowed)?;
    let mut response = Response::new(ResponseBody::text(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    answer.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, DELETE"),
    );
    if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Some(response)
}

/// Lets the page read the answer.
pub(crate) fn adorn(answer: &mut HeaderMap, origin: HeaderValue) {
    if origin != "*" {
        answer.append(header::VARY, HeaderValue::from_static("origin"));
    }
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "x-request-id, retry-after, x-chaski-provider, x-chaski-model, x-chaski-attempts, \
             x-chaski-cost, x-chaski-cache",
        ),
    );
}
