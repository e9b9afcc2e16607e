//! Ranking documents by a query, in the form of Cohere and Jina and in that of Llama Stack's successor.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Face, Method,
    inference::{RerankItemsRequest, RerankResponse},
    openai::{RerankList, RerankRequest},
};

const fn post(path: &'static str, operation: &'static str, face: Face) -> EndpointSpec {
    let summary = "Ranks documents by how well they fit a query.";
    let spec = EndpointSpec::new(Api::Inference, Method::Post, path, operation, summary);
    EndpointSpec { face, ..spec }
}

pub struct CreateRerank;
impl Endpoint for CreateRerank {
    type Request = RerankRequest;
    type Response = RerankList;
    type Event = ();
    const SPEC: EndpointSpec = post("/v1/rerank", "create_rerank", Face::OpenAi);
}

/// The same where the second version of Cohere's client looks for it.
pub struct CreateRerankV2;
impl Endpoint for CreateRerankV2 {
    type Request = RerankRequest;
    type Response = RerankList;
    type Event = ();
    const SPEC: EndpointSpec = post("/v2/rerank", "create_rerank_v2", Face::OpenAi);
}

pub struct Rerank;
impl Endpoint for Rerank {
    type Request = RerankItemsRequest;
    type Response = RerankResponse;
    type Event = ();
    const SPEC: EndpointSpec = post("/v1alpha/inference/rerank", "rerank", Face::LlamaStack);
}

pub const ALL: &[Described] = &[
    Described::of::<CreateRerank>(),
    Described::of::<CreateRerankV2>(),
    Described::of::<Rerank>(),
];
