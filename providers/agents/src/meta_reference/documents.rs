//! The documents of a turn: what they say, and where it goes.

use base64::{Engine, prelude::BASE64_STANDARD};
use chaski_api::{
    Error, Result,
    agents::Document,
    inference::InterleavedContent,
    retrieval::{RagDocument, RagSource},
};
use chaski_provider::Deps;
use percent_encoding::percent_decode_str;
use serde_json::Map;
use uuid::Uuid;

/// The largest document that goes into a context or to the code interpreter, in bytes.
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
    let Some(address) = address(document) else {
        return match &document.content {
            RagSource::Content(content) => content.texts("\n").ok_or_else(|| {
                Error::invalid("`documents` may hold texts and addresses, no images")
            }),
            RagSource::Url(_) => Ok(String::new()),
        };
    };
    if let Some(data) = address.strip_prefix("data:") {
        return of_data(data);
    }
    let fetched = deps.http.fetch_guarded(address, LARGEST).await?;
    String::from_utf8(fetched.body.into()).map_err(|_| {
        Error::invalid(format!(
            "the document at `{address}` is no text; offer the tool `knowledge_search` to the agent, \
             which reads other formats"
        ))
    })
}

fn of_data(data: &str) -> Result<String> {
    let wrong = |why: &str| Error::invalid(format!("a `data:` URL in `documents` {why}"));
    let (head, body) = data.split_once(',').ok_or_else(|| wrong("has no comma"))?;
    let bytes = if head.ends_with(";base64") {
        BASE64_STANDARD.decode(body).map_err(|_| wrong("is not valid base64"))?
    } else {
        percent_decode_str(body).collect()
    };
    String::from_utf8(bytes).map_err(|_| wrong("is no text"))
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
        assert_eq!(of_data("text/plain;base64,aGk=").unwrap(), "hi");
        assert_eq!(of_data("text/plain,a%20b").unwrap(), "a b");
        for (data, why) in [
            ("text/plain", "has no comma"),
            ("text/plain;base64,!", "is not valid base64"),
            ("text/plain,%FF", "is no text"),
        ] {
            assert!(of_data(data).unwrap_err().message.ends_with(why), "{data}");
        }
    }
}
