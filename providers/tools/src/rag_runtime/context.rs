//! A context for a model, put together from the chunks that fit a question.

use super::{cut, insert::TOKEN_COUNT, question};
use chaski_api::{
    Error, Result,
    endpoints::rag_tool::QueryContextRequest,
    inference::{ContentItem, InterleavedContent, TextContentItem},
    retrieval::{RagQueryConfig, RagQueryResult, SearchMode, cosine_of_score},
};
use chaski_provider::{Context, Deps, ScoredChunk, Search, StoredChunk};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The most vector databases of one question.
const DATABASES: usize = 64;
/// How many are asked at one time.
const AT_ONCE: usize = 8;

/// Searches all vector databases of a request, and puts the best chunks together.
pub(super) async fn put_together(
    deps: &Deps,
    cx: &Context,
    request: QueryContextRequest,
) -> Result<RagQueryResult> {
    let QueryContextRequest { content, vector_db_ids, query_config } = request;
    let nothing = RagQueryResult { content: None, metadata: Map::new() };
    let mut seen = HashSet::new();
    let ids: Vec<String> = vector_db_ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
    if ids.is_empty() {
        return Ok(nothing);
    }
    if ids.len() > DATABASES {
        let count = ids.len();
        return Err(Error::invalid(format!(
            "`vector_db_ids` has {count} ids, but {DATABASES} are allowed"
        )));
    }
    let config = query_config.unwrap_or_default();
    let inference = deps.routers.inference()?;
    let generator = &config.query_generator_config;
    let text = question::searched(inference.as_ref(), cx, &content, generator).await?;
    let retrieval = deps.routers.retrieval()?;
    let search = search(&config, text);
    let found: Vec<Vec<ScoredChunk>> = stream::iter(ids)
        .map(|id| {
            let (retrieval, search) = (&retrieval, search.clone());
            async move { retrieval.search(cx, &id, search).await }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut found: Vec<ScoredChunk> = found.into_iter().flatten().collect();
    found.sort_by(|one, other| other.score.total_cmp(&one.score));
    found.truncate(search.max);
    if found.is_empty() {
        return Ok(nothing);
    }
    let most = usize::try_from(config.max_tokens_in_context.0).unwrap_or(usize::MAX);
    deps.cpu.run(move || written(&found, most)).await
}

fn search(config: &RagQueryConfig, text: String) -> Search {
    let mode = config.mode.unwrap_or(SearchMode::Vector);
    let min_score = match mode {
        SearchMode::Vector if config.rerank.is_none() => {
            config.score_threshold.and_then(cosine_of_score)
        }
        SearchMode::Vector | SearchMode::Keyword | SearchMode::Hybrid => config.score_threshold,
    };
    Search {
        mode,
        text,
        max: usize::try_from(config.max_chunks.0).unwrap_or(1),
        min_score,
        filter: config.filters.clone(),
        ranker: config.ranker.clone().unwrap_or_default(),
        rerank: config.rerank.clone(),
    }
}

/// The tokens of a chunk: those that were counted when it was inserted, if they were.
fn tokens(chunk: &StoredChunk) -> usize {
    let counted = chunk.metadata.get(TOKEN_COUNT).and_then(Value::as_u64);
    let counted = counted.and_then(|count| usize::try_from(count).ok());
    counted.unwrap_or_else(|| cut::count(&chunk.text()))
}

/// The texts of the context: those of the reference, with the chunks as far as they fit.
fn written(found: &[ScoredChunk], most: usize) -> RagQueryResult {
    let text = |text: String| ContentItem::Text(TextContentItem { text });
    let count = found.len();
    let mut items = vec![text(format!(
        "knowledge_search tool found {count} chunks:\nBEGIN of knowledge_search tool results.\n"
    ))];
    let (mut sum, mut documents) = (0_usize, Vec::<Value>::new());
    for (index, ScoredChunk { chunk, .. }) in found.iter().enumerate() {
        sum = sum.saturating_add(tokens(chunk));
        if sum > most {
            break;
        }
        items.push(text(format!(
            "Result {}:\nDocument_id:{}\nContent: {}\n",
            index + 1,
            chunk.document_id(),
            chunk.text()
        )));
        documents.push(chunk.document_id().into());
    }
    items.push(text("END of knowledge_search tool results.\n".to_owned()));
    let metadata = Map::from_iter([("document_ids".to_owned(), Value::Array(documents))]);
    RagQueryResult { content: Some(InterleavedContent::Items(items)), metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &str, text: &str, tokens: Option<u64>) -> ScoredChunk {
        let mut metadata = Map::from_iter([("document_id".to_owned(), document.into())]);
        if let Some(tokens) = tokens {
            metadata.insert(TOKEN_COUNT.to_owned(), tokens.into());
        }
        let (id, content) = (text.to_owned(), text.to_owned().into());
        ScoredChunk { chunk: StoredChunk { id, content, metadata, expires_at: None }, score: 1.0 }
    }

    fn texts(result: RagQueryResult) -> Vec<String> {
        let Some(InterleavedContent::Items(items)) = result.content else { panic!("items") };
        items.into_iter().map(|item| InterleavedContent::Item(item).texts("").unwrap()).collect()
    }

    #[test]
    fn a_context_has_the_texts_of_the_reference() {
        let result =
            written(&[found("document-one", "a text", Some(2)), found("d", "b", None)], 4096);
        assert_eq!(result.metadata["document_ids"], serde_json::json!(["document-one", "d"]));
        assert_eq!(
            texts(result),
            [
                "knowledge_search tool found 2 chunks:\nBEGIN of knowledge_search tool results.\n",
                "Result 1:\nDocument_id:document-one\nContent: a text\n",
                "Result 2:\nDocument_id:d\nContent: b\n",
                "END of knowledge_search tool results.\n",
            ]
        );
    }

    #[test]
    fn chunks_that_do_not_fit_are_left_out_with_their_documents() {
        let all = [found("a", "x", Some(60)), found("b", "y", Some(60)), found("c", "z", Some(1))];
        let result = written(&all, 100);
        assert_eq!(result.metadata["document_ids"], serde_json::json!(["a"]));
        assert_eq!(texts(result).len(), 3);
        let counted = written(&[found("a", &"word ".repeat(50), None)], 20);
        assert_eq!(texts(counted).len(), 2);
    }
}
