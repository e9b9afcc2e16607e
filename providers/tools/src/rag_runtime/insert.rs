//! Documents into a vector database.

use super::{
    cut::{self, Counted},
    source,
};
use chaski_api::{
    Error, ErrorKind, Result,
    endpoints::rag_tool::InsertDocumentsRequest,
    retrieval::{Comparison, Filter, Operator, RagDocument, Scalar},
};
use chaski_documents::Chunk;
use chaski_provider::{ChunkToInsert, Context, DOCUMENT_ID, Deps, Selection, StoredChunk};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};
use std::{collections::HashSet, sync::Arc};
use uuid::Uuid;

/// The keys of the metadata of a chunk beside those of its document.
pub(super) const TOKEN_COUNT: &str = "token_count";
const CHUNK_INDEX: &str = "chunk_index";
const PAGE: &str = "page";
const START: &str = "start_byte";
const END: &str = "end_byte";
const HEADINGS: &str = "headings";

/// The most documents of one request.
const DOCUMENTS: usize = 1000;
/// How many chunks are inserted at one time. Only these have copies of what their documents say.
const INSERTED_AT_ONCE: usize = 1000;
/// How many documents are fetched at one time.
const FETCHES: usize = 4;
/// How many documents one request to remove old chunks is about.
const REPLACED_AT_ONCE: usize = 64;

/// Cuts the documents of a request into chunks and inserts those, in place of the chunks that the
/// documents had.
pub(super) async fn documents(
    deps: &Deps,
    cx: &Context,
    request: InsertDocumentsRequest,
) -> Result<()> {
    let InsertDocumentsRequest { documents, vector_db_id, chunk_size_in_tokens } = request;
    if documents.len() > DOCUMENTS {
        let count = documents.len();
        let message = format!(
            "{count} documents are to be inserted, but {DOCUMENTS} are allowed; split the request"
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let mut ids = HashSet::new();
    for (index, document) in documents.iter().enumerate() {
        if !ids.insert(document.document_id.as_str()) {
            return Err(Error::invalid(format!(
                "`documents[{index}].document_id` is `{}`, like that of a document before it; give \
                 each document an id of its own",
                document.document_id
            )));
        }
    }
    let size = usize::try_from(chunk_size_in_tokens.0).unwrap_or(1);
    let counted = Arc::new(Counted::default());
    let cut: Vec<Cut> = stream::iter(documents)
        .map(|document| cut_one(deps, document, size, &counted))
        .buffered(FETCHES)
        .try_collect()
        .await?;
    // A document without text has no chunks any more.
    let lengths: Vec<(String, usize)> =
        cut.iter().map(|one| (one.document_id.clone(), one.windows.len())).collect();
    let retrieval = deps.routers.retrieval()?;
    let mut chunks = cut.into_iter().flat_map(Cut::chunks).peekable();
    while chunks.peek().is_some() {
        let some = chunks.by_ref().take(INSERTED_AT_ONCE).collect();
        retrieval.insert(cx, &vector_db_id, some).await?;
    }
    // What the documents had beyond that is older.
    for some in lengths.chunks(REPLACED_AT_ONCE) {
        let older = some.iter().map(|(id, length)| older(id, *length)).collect();
        retrieval.delete(cx, &vector_db_id, &Selection::Where(Filter::Or(older))).await?;
    }
    Ok(())
}

/// The chunks of a document from the one at `length` on.
fn older(document_id: &str, length: usize) -> Filter {
    Filter::And(vec![
        Filter::eq(DOCUMENT_ID, document_id),
        Filter::Compare(Comparison {
            key: CHUNK_INDEX.to_owned(),
            operator: Operator::Gte,
            values: vec![Scalar::Number(length.into())],
        }),
    ])
}

/// A document in windows, which become chunks when they are inserted.
struct Cut {
    document_id: String,
    metadata: Map<String, Value>,
    windows: Vec<Chunk>,
}

/// Fetches a document and cuts it.
async fn cut_one(
    deps: &Deps,
    document: RagDocument,
    size: usize,
    counted: &Arc<Counted>,
) -> Result<Cut> {
    let named = |error: Error| {
        let message = format!("document `{}`: {}", document.document_id, error.message);
        Error { message, ..error }
    };
    let source = source::bring(&deps.http, &document).await.map_err(named)?;
    let windows = cut::windows(deps, source, size, counted).await.map_err(named)?;
    let RagDocument { document_id, metadata, .. } = document;
    Ok(Cut { document_id, metadata, windows })
}

impl Cut {
    /// The chunks of the document, one after the other.
    fn chunks(self) -> impl Iterator<Item = ChunkToInsert> + Send {
        let Self { document_id, metadata, windows } = self;
        windows.into_iter().enumerate().map(move |(index, window)| {
            let mut metadata = metadata.clone();
            metadata.insert(DOCUMENT_ID.to_owned(), document_id.clone().into());
            metadata.insert(TOKEN_COUNT.to_owned(), window.tokens.into());
            metadata.insert(CHUNK_INDEX.to_owned(), index.into());
            metadata.insert(START.to_owned(), window.range.start.into());
            metadata.insert(END.to_owned(), window.range.end.into());
            if let Some(page) = window.pages.first() {
                metadata.insert(PAGE.to_owned(), (*page).into());
            }
            if !window.headings.is_empty() {
                metadata.insert(HEADINGS.to_owned(), window.headings.join(" / ").into());
            }
            let chunk = StoredChunk {
                id: chunk_id(&document_id, index),
                content: window.text.into(),
                metadata,
                expires_at: None,
            };
            ChunkToInsert { chunk, vector: None }
        })
    }
}

/// The id of a chunk, as some stores of the reference make it.
fn chunk_id(document_id: &str, index: usize) -> String {
    let name = format!("{document_id}:chunk-{index}");
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_id_of_a_chunk_is_that_of_the_reference() {
        assert_eq!(super::chunk_id("doc-1", 0), "5d7ef15e-af96-5e20-a305-875c4b8b6b2d");
    }
}
