//! Documents into a vector database.

use super::{cut, source};
use chaski_api::{
    Error, ErrorKind, Result,
    endpoints::rag_tool::InsertDocumentsRequest,
    retrieval::{Comparison, Filter, Operator, RagDocument, Scalar},
};
use chaski_provider::{ChunkToInsert, Context, DOCUMENT_ID, Deps, Selection, StoredChunk};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::HashSet;
use uuid::Uuid;

/// The keys of the metadata of a chunk beside those of its document.
pub(super) const TOKEN_COUNT: &str = "token_count";
const CHUNK_INDEX: &str = "chunk_index";
const PAGE: &str = "page";

/// The most documents of one request.
const DOCUMENTS: usize = 1000;
/// The most chunks of one request.
const CHUNKS: usize = 100_000;
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
        return Err(too_many(&format!("{count} documents"), DOCUMENTS));
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
    let cut: Vec<Vec<StoredChunk>> = stream::iter(documents)
        .map(|document| chunks(deps, document, size))
        .buffered(FETCHES)
        .try_collect()
        .await?;
    let lengths: Vec<(String, usize)> = cut
        .iter()
        .filter_map(|chunks| Some((chunks.first()?.document_id().to_owned(), chunks.len())))
        .collect();
    let all: Vec<ChunkToInsert> =
        cut.into_iter().flatten().map(|chunk| ChunkToInsert { chunk, vector: None }).collect();
    if all.is_empty() {
        return Ok(());
    }
    if all.len() > CHUNKS {
        let count = all.len();
        return Err(too_many(&format!("{count} chunks"), CHUNKS));
    }
    let retrieval = deps.routers.retrieval()?;
    retrieval.insert(cx, &vector_db_id, all).await?;
    // What the documents had beyond that is older.
    for some in lengths.chunks(REPLACED_AT_ONCE) {
        let older = some.iter().map(|(id, length)| older(id, *length)).collect();
        retrieval.delete(cx, &vector_db_id, &Selection::Where(Filter::Or(older))).await?;
    }
    Ok(())
}

fn too_many(what: &str, most: usize) -> Error {
    let message = format!("{what} are to be inserted, but {most} are allowed; split the request");
    Error::new(ErrorKind::TooLarge, message)
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

/// The chunks of a document.
async fn chunks(deps: &Deps, document: RagDocument, size: usize) -> Result<Vec<StoredChunk>> {
    let named = |error: Error| {
        let message = format!("document `{}`: {}", document.document_id, error.message);
        Error { message, ..error }
    };
    let source = source::bring(&deps.http, &document).await.map_err(named)?;
    let windows = cut::windows(deps, source, size).await.map_err(named)?;
    let RagDocument { document_id, metadata, .. } = document;
    let chunks = windows.into_iter().enumerate().map(|(index, window)| {
        let mut metadata = metadata.clone();
        metadata.insert(DOCUMENT_ID.to_owned(), document_id.clone().into());
        metadata.insert(TOKEN_COUNT.to_owned(), window.tokens.into());
        metadata.insert(CHUNK_INDEX.to_owned(), index.into());
        if let Some(page) = window.pages.first() {
            metadata.insert(PAGE.to_owned(), (*page).into());
        }
        StoredChunk {
            id: chunk_id(&document_id, index),
            content: window.text.into(),
            metadata,
            expires_at: None,
        }
    });
    Ok(chunks.collect())
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
