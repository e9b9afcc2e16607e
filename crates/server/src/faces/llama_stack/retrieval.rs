//! Chunks of vector databases: what clients of Llama Stack give and see of them.

use chaski_api::{
    Error, ErrorKind, Issue, Result, Segment,
    endpoints::vector_io::{InsertChunksRequest, QueryChunksRequest},
    retrieval::{
        Chunk, NewChunk, QueryChunksResponse, QueryParams, SearchMode, cosine_of_score,
        score_of_cosine,
    },
};
use chaski_provider::{
    ChunkToInsert, Context, DOCUMENT_ID, Retrieval, Search, StoredChunk, Timestamp,
};
use md5::{Digest, Md5};
use serde_json::Value;
use std::{borrow::Cow, time::Duration};
use uuid::Uuid;

/// The most chunks of one insert.
const CHUNKS: usize = 10_000;

/// `POST /v1/vector-io/insert`.
///
/// # Errors
/// A chunk that does not say its document, and those of the embedding and of the store.
pub(super) async fn insert(
    retrieval: &dyn Retrieval,
    cx: &Context,
    request: InsertChunksRequest,
) -> Result<()> {
    let InsertChunksRequest { vector_db_id, chunks, ttl_seconds } = request;
    if chunks.len() > CHUNKS {
        let message = format!(
            "{} chunks are to be inserted, but {CHUNKS} are allowed in one request; split them",
            chunks.len()
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let lifetime = ttl_seconds.map(|seconds| u64::try_from(seconds.0).unwrap_or_default());
    let expires_at = lifetime.map(|seconds| Timestamp::now().after(Duration::from_secs(seconds)));
    let issues: Vec<Issue> =
        chunks.iter().enumerate().filter_map(|(index, chunk)| no_document(chunk, index)).collect();
    if !issues.is_empty() {
        return Err(Error::malformed(issues));
    }
    let chunks = chunks.into_iter().map(|chunk| to_insert(chunk, expires_at)).collect();
    retrieval.insert(cx, &vector_db_id, chunks).await
}

/// What is wrong with the document's id of a chunk, if anything is.
fn no_document(chunk: &NewChunk, index: usize) -> Option<Issue> {
    let (msg, kind) = match chunk.metadata.get(DOCUMENT_ID) {
        Some(Value::String(_)) => return None,
        None | Some(Value::Null) => ("Field required", "missing"),
        Some(_) => ("Input should be a valid string", "string_type"),
    };
    let key = |name| Segment::Key(Cow::Borrowed(name));
    let loc =
        vec![key("body"), key("chunks"), Segment::Index(index), key("metadata"), key(DOCUMENT_ID)];
    Some(Issue { loc, msg: msg.to_owned(), kind })
}

fn to_insert(chunk: NewChunk, expires_at: Option<Timestamp>) -> ChunkToInsert {
    let NewChunk { content, metadata, chunk_id, embedding } = chunk;
    let mut chunk = StoredChunk { id: String::new(), content, metadata, expires_at };
    chunk.id = chunk_id
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| derived_id(chunk.document_id(), &chunk.text()));
    #[expect(clippy::cast_possible_truncation, reason = "the router refuses what is out of range")]
    let vector = embedding.map(|vector| vector.into_iter().map(|number| number as f32).collect());
    ChunkToInsert { chunk, vector }
}

/// The id of a chunk that has none: the same for the same text of the same document.
fn derived_id(document_id: &str, text: &str) -> String {
    let digest = Md5::digest(format!("{document_id}:{text}").as_bytes());
    Uuid::from_bytes(digest.into()).to_string()
}

/// `POST /v1/vector-io/query`.
///
/// # Errors
/// A query that is no text, and those of the embedding and of the store.
pub(super) async fn query(
    retrieval: &dyn Retrieval,
    cx: &Context,
    request: QueryChunksRequest,
) -> Result<QueryChunksResponse> {
    let QueryChunksRequest { vector_db_id, query, params } = request;
    let text = super::content::plain_text(&query, "queries of vector databases")?;
    let params = params.map(|params| params.0).unwrap_or_default();
    let QueryParams { mode, max_chunks, score_threshold, filters, ranker, rerank } = params;
    let by_vector = mode == SearchMode::Vector && rerank.is_none();
    let found = retrieval
        .search(
            cx,
            &vector_db_id,
            Search {
                mode,
                text,
                max: usize::try_from(max_chunks.0).unwrap_or(usize::MAX),
                min_score: if by_vector {
                    score_threshold.and_then(cosine_of_score)
                } else {
                    score_threshold
                },
                filter: filters,
                ranker: ranker.unwrap_or_default(),
                rerank,
            },
        )
        .await?;
    let (chunks, scores) = found
        .into_iter()
        .map(|found| {
            let score = if by_vector { score_of_cosine(found.score) } else { found.score };
            (Chunk { content: found.chunk.content, metadata: found.chunk.metadata }, score)
        })
        .unzip();
    Ok(QueryChunksResponse { chunks, scores })
}

#[cfg(test)]
mod tests {
    use super::derived_id;

    #[test]
    fn the_same_text_of_the_same_document_has_the_same_id() {
        assert_eq!(derived_id("doc-1", "test"), "f68df25d-d9aa-ab4d-5684-64a233add20d");
        assert_ne!(derived_id("doc-2", "test"), derived_id("doc-1", "test"));
    }
}
