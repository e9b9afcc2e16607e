//! Calls of gRPC over HTTP/2: one message there and one back, without compression.

use crate::client::{Http, Request};
use bytes::{BufMut, Bytes, BytesMut};
use chaski_api::{Error, ErrorKind, Result};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Longer messages about errors are cut.
const MESSAGE_CHARS: usize = 2000;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Sends a message to the method that the path of the request names, and gives back the message of
/// the answer, which has at most `max_bytes` bytes.
///
/// # Errors
/// Those of [`Http::send`]; and for a status of gRPC that is not `OK` an error with the HTTP status
/// that means the same.
pub async fn call(
    http: &Http,
    request: Request,
    message: &[u8],
    max_bytes: usize,
) -> Result<Bytes> {
    let service = request.service().to_owned();
    let request = request
        .http2()
        .body(framed(message, &service)?)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(header::TE, HeaderValue::from_static("trailers"));
    let answer = http.send(request).await?.success().await?;
    // An answer that is nothing but an error has its status in front.
    let head = answer.headers().clone();
    let (body, trailers) = answer.whole(max_bytes.saturating_add(PREFIX)).await?;
    let status = [&trailers, &head].into_iter().find(|headers| headers.contains_key(STATUS));
    let Some(status) = status else { return Err(unclear(&service)) };
    outcome(&service, status)?;
    message_in(body).ok_or_else(|| unclear(&service))
}

fn framed(message: &[u8], service: &str) -> Result<Bytes> {
    let length = u32::try_from(message.len()).map_err(|_| {
        Error::new(ErrorKind::TooLarge, format!("the request is too large for {service}"))
    })?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    Ok(framed.freeze())
}

/// The only message of a body.
fn message_in(mut body: Bytes) -> Option<Bytes> {
    let prefix: [u8; PREFIX] = body.get(..PREFIX)?.try_into().ok()?;
    let [compressed, length @ ..] = prefix;
    let message = body.split_off(PREFIX);
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (compressed == 0 && message.len() == length).then_some(message)
}

/// What the status says.
fn outcome(service: &str, headers: &HeaderMap) -> Result<()> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(status) = text(STATUS).and_then(|status| status.parse::<u32>().ok()) else {
        return Err(unclear(service));
    };
    let upstream = |status| ErrorKind::Upstream { status: Some(status) };
    let kind = match status {
        0 => return Ok(()),
        // Of `INVALID_ARGUMENT`, `FAILED_PRECONDITION` and `OUT_OF_RANGE`, nothing differs for us.
        3 | 9 | 11 => upstream(400),
        4 => ErrorKind::Timeout,
        5 => upstream(404),
        6 | 10 => upstream(409),
        7 => upstream(403),
        8 => ErrorKind::RateLimited { retry_after: None },
        12 => upstream(501),
        14 => ErrorKind::Unavailable { retry_after: None },
        16 => upstream(401),
        _ => upstream(500),
    };
    let said = percent_decode_str(text(MESSAGE).unwrap_or_default()).decode_utf8_lossy();
    let said: String = said.chars().take(MESSAGE_CHARS).collect();
    Err(Error::new(
        kind,
        if said.is_empty() {
            format!("{service} answered with the gRPC status {status}")
        } else {
            format!("{service}: {said}")
        },
    ))
}

fn unclear(service: &str) -> Error {
    let kind = ErrorKind::Upstream { status: None };
    Error::new(kind, format!("{service} sent an answer that is none of gRPC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_framed_and_read_again() {
        let framed = framed(b"abc", "it").unwrap();
        assert_eq!(&framed[..], b"\0\0\0\0\x03abc");
        assert_eq!(message_in(framed).unwrap(), "abc");
        assert_eq!(message_in(Bytes::from_static(b"\0\0\0\0\0")).unwrap(), "");
        for wrong in ["", "\0\0\0\0", "\0\0\0\0\x03ab", "\0\0\0\0\x02abc", "\x01\0\0\0\x03abc"] {
            assert_eq!(message_in(Bytes::from_static(wrong.as_bytes())), None, "{wrong:?}");
        }
    }

    fn check(status: &'static str, message: &'static str, kind: &ErrorKind, wanted: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, HeaderValue::from_static(status));
        headers.insert(MESSAGE, HeaderValue::from_static(message));
        let error = outcome("it", &headers).unwrap_err();
        assert_eq!((&error.kind, error.message.as_str()), (kind, wanted));
    }

    #[test]
    fn the_status_says_what_went_wrong() {
        let upstream = |status| ErrorKind::Upstream { status };
        check("5", "no%20such%20thing", &upstream(Some(404)), "it: no such thing");
        check("16", "", &upstream(Some(401)), "it answered with the gRPC status 16");
        check("14", "busy", &ErrorKind::Unavailable { retry_after: None }, "it: busy");
        check("99", "odd", &upstream(Some(500)), "it: odd");
        check("x", "", &upstream(None), "it sent an answer that is none of gRPC");
        let mut fine = HeaderMap::new();
        fine.insert(STATUS, HeaderValue::from_static("0"));
        assert!(outcome("it", &fine).is_ok());
    }
}
