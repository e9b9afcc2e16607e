//! The documents of a turn: what they say, and where it goes.

use super::run::new_id;
use chaski_api::{
    Error, Result,
    agents::Document,
    inference::{ContentItem, InterleavedContent},
    retrieval::{RagDocument, RagSource},
};
use chaski_provider::{Deps, data_url, data_url_of, file_ending};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The largest document at an address that goes into a context or to the code interpreter, in bytes.
const LARGEST: usize = 4 << 20;

/// Where a document is, if it is not text.
fn address(document: &Document) -> Option<&str> {
    match &document.content {
        RagSource::Url(url) => Some(&url.uri),
        RagSource::Content(content) => match content {
            InterleavedContent::Text(text) => {
                let schemes = ["http://", "https://", "data:", "file:"];
                schemes.iter().any(|scheme| text.starts_with(scheme)).then_some(text.as_str())
            }
            InterleavedContent::Item(_) | InterleavedContent::Items(_) => None,
        },
    }
}

/// The text of a document.
///
/// # Errors
/// `InvalidRequest` for an address that may not or cannot be fetched, and for what is no text.
pub(super) async fn text(deps: &Deps, document: &Document) -> Result<String> {
    String::from_utf8(bytes(deps, document).await?).map_err(|_| {
        Error::invalid(
            "a document in `documents` is no text; offer the tool `knowledge_search` or \
             `code_interpreter` to the agent, which take other formats",
        )
    })
}

/// A document as a file for code: its name, and what is in it, as the code interpreter takes it.
///
/// # Errors
/// `InvalidRequest` for an address that may not or cannot be fetched, and for what is no file.
pub(super) async fn file(deps: &Deps, document: &Document) -> Result<(String, Value)> {
    let bytes = bytes(deps, document).await?;
    let ending = file_ending(&document.mime_type);
    let (ending, content) = match String::from_utf8(bytes) {
        Ok(text) => (ending.unwrap_or("txt"), text.into()),
        Err(error) => {
            let uri = data_url_of("application/octet-stream", error.as_bytes());
            (ending.unwrap_or("bin"), json!({ "uri": uri }))
        }
    };
    Ok((format!("{}.{ending}", &new_id()[..8]), content))
}

/// What is in a document.
async fn bytes(deps: &Deps, document: &Document) -> Result<Vec<u8>> {
    if let Some(address) = address(document) {
        return at(deps, address).await;
    }
    let RagSource::Content(content) = &document.content else { return Ok(Vec::new()) };
    if let InterleavedContent::Item(ContentItem::Image(item)) = content {
        return match (&item.image.url, &item.image.data) {
            (Some(url), _) => at(deps, &url.uri).await,
            (None, Some(data)) => of_data(&format!("data:;base64,{data}")),
            (None, None) => Err(Error::invalid(
                "a document in `documents` is an image without `url` and `data`",
            )),
        };
    }
    let text = content.texts("\n").ok_or_else(|| {
        Error::invalid("a document in `documents` may be one image, or texts, and not both")
    })?;
    Ok(text.into_bytes())
}

async fn at(deps: &Deps, address: &str) -> Result<Vec<u8>> {
    if address.starts_with("data:") {
        return of_data(address);
    }
    Ok(deps.http.fetch_guarded(address, LARGEST).await?.body.into())
}

fn of_data(address: &str) -> Result<Vec<u8>> {
    let (_, bytes) = data_url(address).map_err(|error| {
        Error::invalid(format!("a document in `documents` cannot be read: {}", error.message))
    })?;
    Ok(bytes.into())
}

/// The documents as the RAG tool takes them.
pub(super) fn for_search(documents: &[Document]) -> Vec<RagDocument> {
    documents
        .iter()
        .map(|document| RagDocument {
            document_id: Uuid::new_v4().to_string(),
            content: document.content.clone(),
            mime_type: Some(document.mime_type.clone()),
            metadata: Map::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_decoded_and_wrong_ones_named() {
        assert_eq!(of_data("data:text/plain;base64,aGk=").unwrap(), b"hi");
        assert_eq!(of_data("data:text/plain,a%20%FF").unwrap(), b"a \xff");
        for (data, why) in [
            ("data:text/plain", "has no comma in front of the data"),
            ("data:text/plain;base64,!", "is not base64"),
        ] {
            assert!(of_data(data).unwrap_err().message.ends_with(why), "{data}");
        }
    }
}
