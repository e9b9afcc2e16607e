//! Errors on their way out: the one place with statuses, and the envelope of each face.

use crate::{body::ResponseBody, json::NOT_TEXT};
use chaski_api::{Error, ErrorKind, Face, Issue, Segment};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use std::{fmt::Write, sync::Arc, time::Duration};

/// What callers see of a fault of this server.
const FAULT: &str = "Internal server error: An unexpected error occurred.";

/// The status of Anthropic's API for a server that cannot answer now.
const OVERLOADED: u16 = 529;

/// How long to wait where the error does not know.
const PAUSE: Duration = Duration::from_secs(1);

/// Whom an error is told.
#[derive(Debug, Clone)]
pub(crate) struct Recipient {
    /// The face of the route, which decides how errors look.
    pub(crate) face: Face,
    /// The id of the request.
    pub(crate) request_id: Arc<str>,
}

/// The status that tells the caller what went wrong.
pub(crate) fn status(error: &Error, face: Face) -> StatusCode {
    match error.kind {
        ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => match face {
            // The reference has no 404 for things that are not registered, and clients know that.
            Face::LlamaStack => StatusCode::BAD_REQUEST,
            Face::OpenAi | Face::Anthropic => StatusCode::NOT_FOUND,
        },
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Upstream { status } => status
            .filter(|status| (400..600).contains(status))
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::BAD_GATEWAY),
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable { .. } => match face {
            Face::Anthropic => StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::BAD_GATEWAY),
            Face::LlamaStack | Face::OpenAi => StatusCode::SERVICE_UNAVAILABLE,
        },
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The text of an error in Llama Stack's form.
fn detail(error: &Error) -> String {
    let message = &error.message;
    match error.kind {
        ErrorKind::InvalidRequest if error.code.as_deref() == Some(NOT_TEXT) => message.clone(),
        ErrorKind::InvalidRequest | ErrorKind::NotFound => format!("Invalid value: {message}"),
        ErrorKind::Forbidden => format!("Permission denied: {message}"),
        ErrorKind::Timeout => format!("Operation timed out: {message}"),
        ErrorKind::Unsupported => format!("Not implemented: {message}"),
        ErrorKind::Internal => FAULT.to_owned(),
        ErrorKind::Unauthenticated
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::RateLimited { .. }
        | ErrorKind::Upstream { .. }
        | ErrorKind::Unavailable { .. } => message.clone(),
    }
}

/// Llama Stack's envelope.
fn llama_stack(error: &Error) -> Value {
    match error.kind {
        ErrorKind::Unauthenticated => json!({ "error": { "message": error.message } }),
        ErrorKind::InvalidRequest if !error.issues.is_empty() => {
            json!({ "error": { "detail": { "errors": error.issues } } })
        }
        ErrorKind::InvalidRequest
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::RateLimited { .. }
        | ErrorKind::Unsupported
        | ErrorKind::Upstream { .. }
        | ErrorKind::Timeout
        | ErrorKind::Unavailable { .. }
        | ErrorKind::Internal => json!({ "detail": detail(error) }),
    }
}

/// OpenAI's envelope.
fn openai(error: &Error) -> Value {
    let status = status(error, Face::OpenAi);
    let (kind, code) = match status {
        StatusCode::UNAUTHORIZED => ("invalid_request_error", Some("invalid_api_key")),
        StatusCode::TOO_MANY_REQUESTS => ("requests", Some("rate_limit_exceeded")),
        StatusCode::NOT_IMPLEMENTED => ("invalid_request_error", Some("unsupported")),
        status if status.is_server_error() => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    let code = error.code.as_deref().filter(|code| *code != NOT_TEXT).or(code);
    let message = message(error, openai_issue);
    let param = error.param.clone().or_else(|| {
        let issue = error.issues.first().filter(|issue| issue.kind != "json_invalid")?;
        let path = without_root(issue).path();
        (!path.is_empty()).then_some(path)
    });
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
}

/// Anthropic's envelope (Anthropic API, "Errors").
fn anthropic(error: &Error, request_id: &str) -> Value {
    let kind = match status(error, Face::Anthropic).as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | OVERLOADED => "overloaded_error",
        // What this server does not do is not mended by asking again.
        501 => "invalid_request_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let message = message(error, anthropic_issue);
    json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": request_id,
    })
}

/// The text of an error in one sentence, with its issues as `issue` writes them.
fn message(error: &Error, issue: fn(&Issue) -> String) -> String {
    if error.kind == ErrorKind::Internal {
        FAULT.to_owned()
    } else if error.issues.is_empty() {
        error.message.clone()
    } else {
        error.issues.iter().map(issue).collect::<Vec<_>>().join("; ")
    }
}

/// The path with points between its steps: `messages.0.role: Field required`.
fn anthropic_issue(issue: &Issue) -> String {
    if issue.kind == "json_invalid" {
        return openai_issue(issue);
    }
    let steps = issue.loc.iter().skip(1).map(|step| match step {
        Segment::Key(key) => key.to_string(),
        Segment::Index(index) => index.to_string(),
    });
    let path = steps.collect::<Vec<_>>().join(".");
    if path.is_empty() { issue.msg.clone() } else { format!("{path}: {}", issue.msg) }
}

/// The root of the path, `body` or `query`, is not part of OpenAI's names.
fn without_root(issue: &Issue) -> Issue {
    let loc = issue.loc.iter().skip(1).cloned().collect();
    Issue { loc, msg: issue.msg.clone(), kind: issue.kind }
}

fn openai_issue(issue: &Issue) -> String {
    match issue.loc.as_slice() {
        [_, Segment::Index(at)] if issue.kind == "json_invalid" => {
            format!("the body is not JSON: {} at character {at}", issue.msg)
        }
        _ => without_root(issue).to_string(),
    }
}

/// The answer to a request that failed.
pub(crate) fn response(error: &Error, to: &Recipient) -> Response<ResponseBody> {
    let status = status(error, to.face);
    let text = match to.face {
        Face::OpenAi => openai(error).to_string(),
        Face::Anthropic => anthropic(error, &to.request_id).to_string(),
        // The reference writes this one with spaces.
        Face::LlamaStack if error.kind == ErrorKind::Unauthenticated => python(&llama_stack(error)),
        Face::LlamaStack => llama_stack(error).to_string(),
    };
    let mut response = json_response(status, text);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED && error.kind == ErrorKind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let ErrorKind::RateLimited { retry_after } | ErrorKind::Unavailable { retry_after } =
        error.kind
    {
        let wait = retry_after.unwrap_or(PAUSE);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // Clients repeat these by themselves, and it would not help.
    if matches!(error.kind, ErrorKind::Internal | ErrorKind::Unsupported | ErrorKind::Conflict) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// The last event of a stream that failed.
pub(crate) fn event(error: &Error, to: &Recipient) -> String {
    match to.face {
        Face::OpenAi => openai(error).to_string(),
        Face::Anthropic => anthropic(error, &to.request_id).to_string(),
        Face::LlamaStack => {
            let status = status(error, to.face).as_u16();
            let message = format!("{status}: {}", detail(error));
            python(&json!({ "error": { "message": message } }))
        }
    }
}

/// An answer with this JSON text.
pub(crate) fn json_response(
    status: StatusCode,
    text: impl Into<bytes::Bytes>,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// JSON as Python writes it by default: a space after `,` and `:`, and only ASCII.
pub(crate) fn python(value: &Value) -> String {
    let mut out = String::new();
    write_python(value, &mut out);
    out
}

fn write_python(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            out.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_text(key, out);
                out.push_str(": ");
                write_python(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_python(item, out);
            }
            out.push(']');
        }
        Value::String(text) => write_text(text, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn write_text(text: &str, out: &mut String) {
    let json = Value::from(text).to_string();
    let mut units = [0; 2];
    for character in json.chars() {
        match character {
            // Python escapes this one, `serde_json` does not.
            '\u{7f}' => out.push(character),
            _ if character.is_ascii() => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut units) {
                    let _infallible = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &Error, llama_stack: &str, openai: &str) {
        for (face, expected) in [(Face::LlamaStack, llama_stack), (Face::OpenAi, openai)] {
            let text = match face {
                Face::LlamaStack => super::llama_stack(error).to_string(),
                Face::OpenAi => super::openai(error).to_string(),
                Face::Anthropic => super::anthropic(error, "r").to_string(),
            };
            assert_eq!(format!("{} {text}", status(error, face).as_u16()), expected);
        }
    }

    #[test]
    fn each_face_has_its_envelope() {
        check(
            &Error::not_found("Model 'x' not found")
                .with_code("model_not_found")
                .with_param("model"),
            r#"400 {"detail":"Invalid value: Model 'x' not found"}"#,
            r#"404 {"error":{"message":"Model 'x' not found","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
        );
        check(
            &Error::unsupported("agents come later"),
            r#"501 {"detail":"Not implemented: agents come later"}"#,
            r#"501 {"error":{"message":"agents come later","type":"invalid_request_error","param":null,"code":"unsupported"}}"#,
        );
        check(
            &Error::new(ErrorKind::Timeout, "nobody answered"),
            r#"504 {"detail":"Operation timed out: nobody answered"}"#,
            r#"504 {"error":{"message":"nobody answered","type":"server_error","param":null,"code":null}}"#,
        );
        check(
            &Error::new(ErrorKind::Upstream { status: Some(402) }, "pay first"),
            r#"402 {"detail":"pay first"}"#,
            r#"402 {"error":{"message":"pay first","type":"invalid_request_error","param":null,"code":null}}"#,
        );
        check(
            &Error::new(ErrorKind::Upstream { status: Some(302) }, "moved"),
            r#"502 {"detail":"moved"}"#,
            r#"502 {"error":{"message":"moved","type":"server_error","param":null,"code":null}}"#,
        );
    }

    #[test]
    fn faults_are_not_explained_to_callers() {
        check(
            &Error::internal("the file /secret is broken"),
            r#"500 {"detail":"Internal server error: An unexpected error occurred."}"#,
            r#"500 {"error":{"message":"Internal server error: An unexpected error occurred.","type":"server_error","param":null,"code":null}}"#,
        );
    }

    #[test]
    fn malformed_requests_name_every_place() {
        let issue = Issue {
            loc: vec![Segment::Key("body".into()), Segment::Key("n".into()), Segment::Index(0)],
            msg: "must be a string, not 1".to_owned(),
            kind: "invalid_value",
        };
        check(
            &Error::malformed(vec![issue]),
            r#"400 {"error":{"detail":{"errors":[{"loc":["body","n",0],"msg":"must be a string, not 1","type":"invalid_value"}]}}}"#,
            r#"400 {"error":{"message":"n[0]: must be a string, not 1","type":"invalid_request_error","param":"n[0]","code":null}}"#,
        );
    }

    fn to(face: Face) -> Recipient {
        Recipient { face, request_id: "r".into() }
    }

    #[test]
    fn the_errors_of_anthropics_face_have_its_types() {
        let check = |kind: ErrorKind, expected: &str| {
            let error = Error::new(kind, "no");
            let value = anthropic(&error, "r");
            let found =
                format!("{} {}", status(&error, Face::Anthropic).as_u16(), value["error"]["type"]);
            assert_eq!(found, expected);
            assert_eq!((&value["type"], &value["request_id"]), (&json!("error"), &json!("r")));
        };
        check(ErrorKind::InvalidRequest, r#"400 "invalid_request_error""#);
        check(ErrorKind::Unauthenticated, r#"401 "authentication_error""#);
        check(ErrorKind::Upstream { status: Some(402) }, r#"402 "billing_error""#);
        check(ErrorKind::Forbidden, r#"403 "permission_error""#);
        check(ErrorKind::NotFound, r#"404 "not_found_error""#);
        check(ErrorKind::TooLarge, r#"413 "request_too_large""#);
        check(ErrorKind::RateLimited { retry_after: None }, r#"429 "rate_limit_error""#);
        check(ErrorKind::Internal, r#"500 "api_error""#);
        check(ErrorKind::Unsupported, r#"501 "invalid_request_error""#);
        check(ErrorKind::Upstream { status: None }, r#"502 "api_error""#);
        check(ErrorKind::Upstream { status: Some(503) }, r#"503 "overloaded_error""#);
        check(ErrorKind::Timeout, r#"504 "timeout_error""#);
        check(ErrorKind::Unavailable { retry_after: None }, r#"529 "overloaded_error""#);
        check(ErrorKind::Upstream { status: Some(529) }, r#"529 "overloaded_error""#);
        let secret = anthropic(&Error::internal("the file /secret is broken"), "r");
        assert!(!secret.to_string().contains("secret"));
    }

    #[test]
    fn anthropics_face_names_places_with_points() {
        let key = |key: &'static str| Segment::Key(key.into());
        let issue = |loc, kind| Issue { loc, msg: "is wrong".to_owned(), kind };
        let path = vec![key("body"), key("messages"), Segment::Index(0), key("role")];
        let body = vec![key("body"), Segment::Index(7)];
        let error = Error::malformed(vec![issue(path, "enum"), issue(body, "json_invalid")]);
        assert_eq!(
            anthropic(&error, "r")["error"]["message"],
            "messages.0.role: is wrong; the body is not JSON: is wrong at character 7"
        );
    }

    #[test]
    fn events_are_written_as_python_writes_them() {
        let error = Error::not_found("Model 'é😀\"' not found");
        assert_eq!(
            event(&error, &to(Face::LlamaStack)),
            "{\"error\": {\"message\": \"400: Invalid value: Model '\\u00e9\\ud83d\\ude00\\\"' not found\"}}"
        );
    }

    #[test]
    fn waiting_times_are_whole_seconds() {
        let wait = |kind| response(&Error::new(kind, "busy"), &to(Face::OpenAi)).headers().clone();
        let headers =
            wait(ErrorKind::Unavailable { retry_after: Some(Duration::from_millis(1500)) });
        assert_eq!(headers[header::RETRY_AFTER], "2");
        assert_eq!(wait(ErrorKind::RateLimited { retry_after: None })[header::RETRY_AFTER], "1");
        assert!(!wait(ErrorKind::InvalidRequest).contains_key(header::RETRY_AFTER));
        assert_eq!(wait(ErrorKind::Internal)["x-should-retry"], "false");
    }
}
