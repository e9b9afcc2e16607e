//! Where the text of a document comes from: itself, a `data:` URL, or an address.

use bytes::Bytes;
use chaski_api::{
    Error, Result,
    retrieval::{RagDocument, RagSource},
};
use chaski_provider::data_url;
use chaski_upstream::Http;

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
