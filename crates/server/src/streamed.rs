//! Requests and answers that are not JSON: a form that arrives, a file that is sent.

use crate::{
    app::App,
    body::{RequestBody, ResponseBody},
    input::{self, Input, Shape},
    multipart::{Form, FormLimits},
    router::Parameters,
};
use bytes::{Bytes, BytesMut};
use chaski_api::{Endpoint, Error, Result, Wire};
use chaski_stack::files::Content;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{convert::Infallible, ops::Range, sync::Arc};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

/// What a form has around its file at most.
const AROUND: u64 = 1 << 20;
/// A file is sent in pieces of this size.
const PIECE: usize = 64 * 1024;

/// What came, with its body still on the way.
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    pub(crate) parameters: Parameters,
    pub(crate) query: Option<String>,
}

impl Asked {
    /// The value of a parameter of the path.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let mut parameters = self.parameters.iter();
        parameters.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The parameters of the path and of the query.
    ///
    /// # Errors
    /// `Malformed` if they are not those of the endpoint.
    pub(crate) async fn request<E: Endpoint>(&self, app: &App) -> Result<E::Request> {
        let (query, parameters) = (self.query.clone(), self.parameters.clone());
        let input = Input { body: Bytes::new(), content_type: None, query, parameters };
        let shape = Arc::new(Shape::of::<E>());
        let (request, _) = input.read::<E>(shape, app.options.limits.json_depth).await?;
        Ok(request)
    }

    /// The body as a form, whose file may have so many bytes.
    ///
    /// # Errors
    /// `InvalidRequest` if it is no form or compressed, `TooLarge` if it says that it is too large.
    pub(crate) fn into_form(self, app: &App, largest: u64) -> Result<Form> {
        input::uncompressed(&self.headers)?;
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let pause = app.options.limits.body_timeout;
        let limits = FormLimits { bytes: largest.saturating_add(AROUND), pause };
        Form::new(content_type, self.body, limits)
    }
}

/// An answer of JSON.
pub(crate) fn json<T: Wire>(value: &T) -> Result<Response<ResponseBody>> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::internal("an answer cannot be written").caused_by(error))?;
    Ok(crate::failures::json_response(StatusCode::OK, text))
}

/// What must be escaped in a name (RFC 8187, `attr-char`).
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A file, or the range of it that `headers` ask for. It is always one to save, so that nothing
/// that was uploaded runs as a page of this server.
pub(crate) async fn file(content: Content, headers: &HeaderMap) -> Result<Response<ResponseBody>> {
    let Content { mut file, bytes, filename } = content;
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = match asked.map_or(Asking::Whole, |asked| range(asked, bytes)) {
        Asking::Nothing => {
            let mut response = Response::new(ResponseBody::text(""));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{bytes}"));
            return Ok(response);
        }
        Asking::Whole => None,
        Asking::Part(range) => Some(range),
    };
    let (start, end) = range.as_ref().map_or((0, bytes), |range| (range.start, range.end));
    file.seek(std::io::SeekFrom::Start(start))
        .await
        .map_err(|error| Error::internal("a file cannot be read").caused_by(error))?;
    let mut response =
        Response::new(ResponseBody::stream(StreamBody::new(pieces(file, end - start))));
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let headers = response.headers_mut();
    if range.is_some() {
        set(headers, header::CONTENT_RANGE, &format!("bytes {start}-{}/{bytes}", end - 1));
    }
    let plain: String = filename
        .chars()
        .map(|letter| match letter {
            ' ' | '-' | '.' | '_' => letter,
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '_',
        })
        .collect();
    let encoded = utf8_percent_encode(&filename, NAME);
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    set(headers, header::CONTENT_DISPOSITION, &disposition);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(response)
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The next `left` bytes of a file. Where it cannot be read any more the answer ends too early,
/// which its client sees by the length that was announced.
fn pieces(
    file: File,
    left: u64,
) -> impl futures_util::Stream<Item = Result<Frame<bytes::Bytes>, Infallible>> + Send {
    stream::unfold((file, left), |(mut file, left)| async move {
        let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = BytesMut::with_capacity(size);
        let mut limited = (&mut file).take(size as u64);
        let read = limited.read_buf(&mut piece).await;
        match read {
            Ok(0) => None,
            Ok(read) => Some((Ok(Frame::data(piece.freeze())), (file, left - read as u64))),
            Err(error) => {
                tracing::error!(target: "server", "a file could not be read to its end: {error}");
                None
            }
        }
    })
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asking {
    /// Everything: it is no range of bytes, or there are several.
    Whole,
    Part(Range<u64>),
    /// A range that the file does not have.
    Nothing,
}

/// Reads one range of bytes (RFC 9110, section 14).
fn range(asked: &str, bytes: u64) -> Asking {
    let Some((first, last)) =
        asked.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Asking::Whole;
    };
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => return Asking::Whole,
        (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(bytes)),
        (Ok(first), Err(_)) if last.is_empty() => (first, bytes),
        (Err(_), Ok(last)) if first.is_empty() => (bytes.saturating_sub(last), bytes),
        _ => return Asking::Whole,
    };
    if first < last { Asking::Part(first..last) } else { Asking::Nothing }
}

#[cfg(test)]
mod tests {
    use super::{Asking, range};

    #[test]
    fn one_range_of_bytes_is_understood() {
        let check =
            |asked: &str, expected: Asking| assert_eq!(range(asked, 10), expected, "{asked}");
        check("bytes=0-3", Asking::Part(0..4));
        check("bytes=4-", Asking::Part(4..10));
        check("bytes=-3", Asking::Part(7..10));
        check("bytes=-99", Asking::Part(0..10));
        check("bytes=8-99", Asking::Part(8..10));
        check("bytes=10-", Asking::Nothing);
        check("bytes=-0", Asking::Nothing);
        check("bytes=3-1", Asking::Whole);
        check("bytes=0-1,3-4", Asking::Whole);
        check("bytes=a-b", Asking::Whole);
        check("lines=0-3", Asking::Whole);
        check("bytes=0-18446744073709551615", Asking::Part(0..10));
        assert_eq!(range("bytes=0-", 0), Asking::Nothing);
    }
}
