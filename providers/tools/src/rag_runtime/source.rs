//! Where the text of a document comes from: itself, a `data:` URL, or an address.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chaski_api::{
    Error, Result,
    retrieval::{RagDocument, RagSource},
};
use chaski_upstream::Http;
use percent_encoding::percent_decode_str;

/// The most bytes of a document.
pub(super) const DOCUMENT_BYTES: usize = 32 * 1024 * 1024;

/// What a document is made of.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    Text(String),
    File {
        bytes: Bytes,
        /// With parameters; empty if nobody says it.
        media_type: String,
        /// The last part of its address.
        name: Option<String>,
    },
}

/// Brings what a document is made of.
///
/// # Errors
/// `InvalidRequest` if it is no text, or cannot or may not be fetched.
pub(super) async fn bring(http: &Http, document: &RagDocument) -> Result<Source> {
    let text = match &document.content {
        RagSource::Url(url) => return from_address(http, &url.uri, document).await,
        RagSource::Content(content) => content
            .texts(" ")
            .ok_or_else(|| Error::invalid("it has an image; only text can be inserted"))?,
    };
    // Clients give addresses as texts, too.
    let start = text.get(..8).unwrap_or(&text).to_ascii_lowercase();
    let is_address = ["http://", "https://", "data:", "file://"]
        .iter()
        .any(|scheme| start.starts_with(&scheme[..scheme.len().min(8)]));
    if is_address && !text.trim().contains(char::is_whitespace) {
        return from_address(http, text.trim(), document).await;
    }
    Ok(Source::Text(text))
}

async fn from_address(http: &Http, address: &str, document: &RagDocument) -> Result<Source> {
    let given = document.mime_type.clone().unwrap_or_default();
    let scheme = address.split(':').next().unwrap_or_default().to_ascii_lowercase();
    match scheme.as_str() {
        "data" => {
            let (media_type, body) = data_url(address)?;
            let media_type = if media_type.is_empty() { given } else { media_type };
            Ok(Source::File { bytes: body, media_type, name: None })
        }
        "http" | "https" => {
            let fetched = http.fetch_guarded(address, DOCUMENT_BYTES).await?;
            let media_type = if given.is_empty() { fetched.media_type } else { given };
            let path = address.split(['?', '#']).next().unwrap_or_default();
            let name = path.rsplit('/').next().filter(|name| name.contains('.'));
            Ok(Source::File { bytes: fetched.body, media_type, name: name.map(str::to_owned) })
        }
        _ => Err(Error::invalid(
            "its address is neither `http:`, `https:` nor `data:`; files of the server are not read",
        )),
    }
}

/// The media type and the bytes of a `data:` URL.
fn data_url(address: &str) -> Result<(String, Bytes)> {
    let broken = |why: &str| Error::invalid(format!("its `data:` URL {why}"));
    let (head, data) = address["data:".len()..]
        .split_once(',')
        .ok_or_else(|| broken("has no comma in front of the data"))?;
    let decoded: Vec<u8> = percent_decode_str(data).collect();
    let base64 = head.len().checked_sub(";base64".len()).and_then(|at| {
        let (media_type, end) = (head.get(..at)?, head.get(at..)?);
        end.eq_ignore_ascii_case(";base64").then_some(media_type)
    });
    match base64 {
        None => Ok((head.to_owned(), decoded.into())),
        Some(media_type) => {
            let text: Vec<u8> =
                decoded.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let bytes = BASE64_STANDARD
                .decode(text)
                .map_err(|error| broken("is not base64").caused_by(error))?;
            Ok((media_type.to_owned(), bytes.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_decoded() {
        let decoded = |url: &str| {
            let (media_type, body) = data_url(url).unwrap();
            (media_type, String::from_utf8(body.to_vec()).unwrap())
        };
        let of = |media_type: &str, text: &str| (media_type.to_owned(), text.to_owned());
        assert_eq!(
            decoded("data:text/plain,Plain%20data%20url"),
            of("text/plain", "Plain data url")
        );
        assert_eq!(decoded("data:text/plain;base64,aGk="), of("text/plain", "hi"));
        assert_eq!(decoded("data:;BASE64,aGk%3D"), of("", "hi"));
        assert_eq!(
            decoded("data:text/html;charset=utf-8,<p>a,b"),
            of("text/html;charset=utf-8", "<p>a,b")
        );
        for broken in ["data:text/plain", "data:;base64,?"] {
            assert!(data_url(broken).is_err(), "{broken}");
        }
    }
}
