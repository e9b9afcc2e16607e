//! The documents of a turn: what they say, and where it goes.

use chaski_api::{
    Error, Result,
    agents::Document,
    inference::InterleavedContent,
    retrieval::{RagDocument, RagSource},
};
use chaski_provider::{Deps, data_url};
use serde_json::Map;
use uuid::Uuid;

/// The largest document that goes into a context or to the code interpreter, in bytes.
const LARGEST: usize = 4 << 20;

/// The endings of files of text, by their media types.
const ENDINGS: [(&str, &str); 20] = [
    ("application/csv", "csv"),
    ("application/javascript", "js"),
    ("application/json", "json"),
    ("application/jsonl", "jsonl"),
    ("application/sql", "sql"),
    ("application/toml", "toml"),
    ("application/x-ndjson", "jsonl"),
    ("application/x-yaml", "yaml"),
    ("application/xml", "xml"),
    ("application/yaml", "yaml"),
    ("image/svg+xml", "svg"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/javascript", "js"),
    ("text/markdown", "md"),
    ("text/tab-separated-values", "tsv"),
    ("text/x-python", "py"),
    ("text/xml", "xml"),
    ("text/yaml", "yaml"),
];

/// The ending of the name of a file of this media type, by which programs know what it is.
pub(super) fn ending(media_type: &str) -> &'static str {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    let known = ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(bare));
    known.map_or("txt", |(_, ending)| ending)
}

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
    if address.starts_with("data:") {
        return of_data(address);
    }
    let fetched = deps.http.fetch_guarded(address, LARGEST).await?;
    String::from_utf8(fetched.body.into()).map_err(|_| {
        Error::invalid(format!(
            "the document at `{address}` is no text; offer the tool `knowledge_search` to the agent, \
             which reads other formats"
        ))
    })
}

fn of_data(address: &str) -> Result<String> {
    let wrong =
        |why: &str| Error::invalid(format!("a document in `documents` cannot be read: {why}"));
    let (_, bytes) = data_url(address).map_err(|error| wrong(&error.message))?;
    String::from_utf8(bytes.into()).map_err(|_| wrong("its `data:` URL is no text"))
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
    fn files_are_named_by_their_media_type() {
        for (media_type, wanted) in [
            ("text/csv", "csv"),
            ("Text/CSV; charset=utf-8", "csv"),
            ("application/json", "json"),
            ("text/plain", "txt"),
            ("../../etc", "txt"),
            ("", "txt"),
        ] {
            assert_eq!(ending(media_type), wanted, "{media_type}");
        }
    }

    #[test]
    fn data_urls_are_decoded_and_wrong_ones_named() {
        assert_eq!(of_data("data:text/plain;base64,aGk=").unwrap(), "hi");
        assert_eq!(of_data("data:text/plain,a%20b").unwrap(), "a b");
        for (data, why) in [
            ("data:text/plain", "has no comma in front of the data"),
            ("data:text/plain;base64,!", "is not base64"),
            ("data:text/plain,%FF", "is no text"),
        ] {
            assert!(of_data(data).unwrap_err().message.ends_with(why), "{data}");
        }
    }
}
