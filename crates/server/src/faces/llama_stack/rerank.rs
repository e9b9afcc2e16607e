//! Ranking items.

use chaski_api::{
    Error, Result,
    inference::{RerankContent, RerankData, RerankItemsRequest, RerankResponse},
    openai::{Body, MOST_DOCUMENTS, RerankRequest},
};
use chaski_provider::{Context, Inference};
use serde_json::json;

/// Ranks the items with the model that the request names.
///
/// # Errors
/// Those of the request, and those of the router and the provider.
pub(super) async fn rerank(
    inference: &dyn Inference,
    cx: &Context,
    request: RerankItemsRequest,
) -> Result<RerankResponse> {
    let count = request.items.len();
    if count == 0 || count > MOST_DOCUMENTS {
        let message = format!("`items` must have 1 to {MOST_DOCUMENTS} items, not {count}");
        return Err(Error::invalid(message).with_param("items"));
    }
    let texts: Result<Vec<String>> = request.items.into_iter().map(text).collect();
    let mut body = Body::default();
    body.insert("model".to_owned(), request.model.into());
    body.insert("query".to_owned(), text(request.query)?.into());
    body.insert("documents".to_owned(), json!(texts?));
    if let Some(most) = request.max_num_results {
        body.insert("top_n".to_owned(), most.0.into());
    }
    let ranked = inference.rerank(cx, RerankRequest { body }).await?.into_value()?;
    let data = ranked
        .results
        .into_iter()
        .map(|result| RerankData { index: result.index, relevance_score: result.relevance_score });
    Ok(RerankResponse { data: data.collect() })
}

fn text(content: RerankContent) -> Result<String> {
    match content {
        RerankContent::Text(text) => Ok(text),
        RerankContent::Part(part) => Ok(part.text),
        RerankContent::Image(_) => Err(Error::invalid("rerank models take text only, not images")),
    }
}
