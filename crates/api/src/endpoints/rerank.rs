//! Ranking documents by a query, in the form of Cohere and Jina and in that of Llama Stack's successor.

use crate::{
    Api, EndpointSpec, Face,
    inference::{RerankItemsRequest, RerankResponse},
    openai::{RerankList, RerankRequest},
};

/// All of them do the same.
const SUMMARY: &str = "Ranks documents by how well they fit a query.";

endpoints! {
    like EndpointSpec::of(Api::Inference);

    CreateRerank(RerankRequest) -> RerankList =
        Post "/v1/rerank", "create_rerank", SUMMARY, face: Face::OpenAi;

    /// The same where the second version of Cohere's client looks for it.
    CreateRerankV2(RerankRequest) -> RerankList =
        Post "/v2/rerank", "create_rerank_v2", SUMMARY, face: Face::OpenAi;

    Rerank(RerankItemsRequest) -> RerankResponse =
        Post "/v1alpha/inference/rerank", "rerank", SUMMARY;
}
