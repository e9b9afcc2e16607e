//! Chunks of files: how they are cut, what is kept with them, and how text is made of them again.

use super::records::StoredStoreFile;
use crate::jobs::Failure;
use chaski_api::{
    inference::InterleavedContent,
    openai::{Attributes, ChunkingStrategy, StaticChunking, StaticSizes, StoreContent},
    retrieval::{Comparison, Filter},
    wire::Between,
};
use chaski_documents::{Chunk, Chunking, Document, ErrorKind, Hints, Limits};
use chaski_provider::{DOCUMENT_ID, DocumentFile, Documents, StoredChunk, TokenCounter};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The job that made a chunk.
const JOB: &str = "job_id";
const INDEX: &str = "chunk_index";
const START: &str = "start_byte";
const END: &str = "end_byte";
/// How many bytes of the text do not stand there in the file.
const CONTEXT: &str = "context_bytes";
const HEADINGS: &str = "headings";
const PAGES: &str = "pages";
/// What stands before the names of attributes, so that none of them is taken for a key above.
const ATTRIBUTE: &str = "attribute.";

/// The tokens of a chunk where nobody says how many: what small embedding models read of a text.
const AUTO_TOKENS: usize = 220;
const AUTO_OVERLAP: usize = 40;

/// The chunks of the file at `path`. Their tokens are those of `counter`.
pub(super) async fn cut(
    documents: &Documents,
    path: PathBuf,
    filename: &str,
    strategy: &ChunkingStrategy,
    counter: TokenCounter,
) -> Result<Vec<Chunk>, Failure> {
    let (file, hints) = (DocumentFile::Path(path), Hints::name(filename));
    let chunking = chunking(strategy);
    let limits = Limits::default();
    let cutting = limits.clone();
    let cut = move |document: Document| {
        let count = |text: &str| counter.count(text);
        chaski_documents::chunk(&document, &chunking, &count, &cutting)
    };
    let chunks = documents.read(file, hints, limits, cut).await?;
    let chunks = chunks.map_err(|error| refused(&error))?;
    if chunks.is_empty() {
        return Err(Failure::lasting("unsupported_file", "there is no text in the file"));
    }
    Ok(chunks)
}

fn chunking(strategy: &ChunkingStrategy) -> Chunking {
    let size = |number: i64| usize::try_from(number).unwrap_or_default();
    match strategy {
        ChunkingStrategy::Auto(_) => {
            Chunking::Structural { max_tokens: AUTO_TOKENS, overlap: AUTO_OVERLAP }
        }
        ChunkingStrategy::Static(chosen) => Chunking::Static {
            max_chunk_size_tokens: size(chosen.sizes.max_chunk_size_tokens.0),
            chunk_overlap_tokens: size(chosen.sizes.chunk_overlap_tokens.0),
        },
        ChunkingStrategy::Contextual(chosen) => Chunking::Static {
            max_chunk_size_tokens: size(chosen.contextual.max_chunk_size_tokens.0),
            chunk_overlap_tokens: size(chosen.contextual.chunk_overlap_tokens.0),
        },
    }
}

/// A chunking as answers say it: `auto` with its sizes, as OpenAI does.
pub(super) fn shown(strategy: &ChunkingStrategy) -> ChunkingStrategy {
    let size = |number: usize| i64::try_from(number).unwrap_or_default();
    match strategy {
        ChunkingStrategy::Auto(_) => ChunkingStrategy::Static(StaticChunking {
            sizes: StaticSizes {
                max_chunk_size_tokens: Between(size(AUTO_TOKENS)),
                chunk_overlap_tokens: Between(size(AUTO_OVERLAP)),
            },
        }),
        ChunkingStrategy::Static(_) | ChunkingStrategy::Contextual(_) => strategy.clone(),
    }
}

/// Whether files can be cut so.
pub(super) fn check(strategy: &ChunkingStrategy) -> chaski_api::Result<()> {
    chunking(strategy)
        .check()
        .map_err(|error| chaski_api::Error::invalid(error.message).with_param("chunking_strategy"))
}

fn refused(error: &chaski_documents::Error) -> Failure {
    let code = match error.kind {
        ErrorKind::Unsupported | ErrorKind::NoText => "unsupported_file",
        ErrorKind::Encrypted
        | ErrorKind::Damaged
        | ErrorKind::TooLarge
        | ErrorKind::Timeout
        | ErrorKind::Chunking => "invalid_file",
        ErrorKind::Crashed => "server_error",
        // These name places of the server, which are not for callers.
        ErrorKind::Unreadable | ErrorKind::Worker => {
            tracing::error!(target: "core", "a file was not read: {error}");
            let message = "the server cannot read the file at the moment";
            return Failure { passing: true, ..Failure::lasting("server_error", message) };
        }
    };
    Failure::lasting(code, error.message.clone())
}

/// A chunk as it is kept. `before` is put before its text.
pub(super) fn stored(
    file: &StoredStoreFile,
    index: usize,
    chunk: &Chunk,
    before: Option<&str>,
) -> StoredChunk {
    let mut text = before.map(|before| format!("{before}\n\n")).unwrap_or_default();
    let context = text.len() + chunk.context;
    text.push_str(&chunk.text);
    let mut metadata = Map::new();
    for (key, value) in [
        (DOCUMENT_ID, json!(file.object.id)),
        ("filename", json!(file.filename)),
        (JOB, json!(file.job_id)),
        (INDEX, json!(index)),
        (START, json!(chunk.range.start)),
        (END, json!(chunk.range.end)),
        (CONTEXT, json!(context)),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    if !chunk.headings.is_empty() {
        metadata.insert(HEADINGS.to_owned(), json!(chunk.headings.join(" / ")));
    }
    if !chunk.pages.is_empty() {
        let pages: Vec<String> = chunk.pages.iter().map(ToString::to_string).collect();
        metadata.insert(PAGES.to_owned(), json!(pages.join(",")));
    }
    set_attributes(&mut metadata, file.object.attributes.as_ref());
    StoredChunk {
        id: format!("{}:{index}", file.job_id),
        content: InterleavedContent::Text(text),
        metadata,
        expires_at: None,
    }
}

/// Puts attributes in the place of those that a chunk has.
pub(super) fn set_attributes(metadata: &mut Map<String, Value>, attributes: Option<&Attributes>) {
    metadata.retain(|key, _| !key.starts_with(ATTRIBUTE));
    for (key, value) in attributes.iter().flat_map(|attributes| &attributes.0) {
        metadata.insert(format!("{ATTRIBUTE}{key}"), value.clone());
    }
}

/// The filter of a caller, about what it is kept under.
pub(super) fn about_attributes(filter: Filter) -> Filter {
    let all = |filters: Vec<Filter>| filters.into_iter().map(about_attributes).collect();
    match filter {
        Filter::Compare(comparison) => {
            let key = format!("{ATTRIBUTE}{}", comparison.key);
            Filter::Compare(Comparison { key, ..comparison })
        }
        Filter::And(filters) => Filter::And(all(filters)),
        Filter::Or(filters) => Filter::Or(all(filters)),
    }
}

/// The chunks that a job made.
pub(super) fn of_job(job: &str) -> Filter {
    Filter::eq(JOB, job)
}

/// The file and the job that a chunk is of.
pub(super) fn origin(chunk: &StoredChunk) -> (&str, &str) {
    let job = chunk.metadata.get(JOB).and_then(Value::as_str).unwrap_or_default();
    (chunk.document_id(), job)
}

fn number(chunk: &StoredChunk, key: &str) -> usize {
    let number = chunk.metadata.get(key).and_then(Value::as_u64);
    usize::try_from(number.unwrap_or_default()).unwrap_or(usize::MAX)
}

/// Where a chunk stands, for citations.
fn place(chunk: &StoredChunk) -> Map<String, Value> {
    let mut place = Map::new();
    place.insert("chunk_id".to_owned(), chunk.id.clone().into());
    for key in [START, END, HEADINGS, PAGES] {
        if let Some(value) = chunk.metadata.get(key) {
            place.insert(key.to_owned(), value.clone());
        }
    }
    place
}

/// A chunk as a result of a search.
pub(super) fn found(chunk: &StoredChunk) -> StoreContent {
    StoreContent { kind: "text".to_owned(), text: chunk.text(), metadata: Some(place(chunk)) }
}

/// The text that chunks stand for, in its order; what two of them have in common comes once.
pub(super) fn joined(mut chunks: Vec<StoredChunk>) -> Vec<StoreContent> {
    chunks.sort_by_key(|chunk| number(chunk, INDEX));
    let mut reached = 0;
    let mut pieces = Vec::new();
    for chunk in chunks {
        let (start, end) = (number(&chunk, START), number(&chunk, END));
        let known = reached.max(start);
        if known >= end {
            continue;
        }
        let text = chunk.text();
        let from = number(&chunk, CONTEXT) + (known - start);
        let Some(new) = text.get(from..) else { continue };
        let mut metadata = place(&chunk);
        metadata.insert(START.to_owned(), known.into());
        pieces.push(StoreContent {
            kind: "text".to_owned(),
            text: new.to_owned(),
            metadata: Some(metadata),
        });
        reached = end;
    }
    pieces
}
