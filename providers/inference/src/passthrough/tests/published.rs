//! The forms that Llama Stack publishes for its own routes.

use super::passthrough;
use crate::tests::{
    hello,
    published::{Published, Says},
};
use chaski_api::ErrorKind;
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::json;

const LLAMA_STACK: Published = Published {
    provider_type: "remote::passthrough",
    config: |url| json!({ "url": url }),
    model: "meta-llama/Llama-3.1-8B-Instruct",
    answer: include_str!("../fixtures/answer.json"),
    stream: include_str!("../fixtures/stream.txt"),
    error: include_str!("../fixtures/error.json"),
};
const ROUTES: &str = include_str!("../fixtures/routes.json");

fn routes() -> Answer {
    Answer::new("application/json", ROUTES)
}

#[tokio::test]
async fn answers_and_streams_are_understood() {
    let service = LLAMA_STACK.service(routes()).await;
    let provider = LLAMA_STACK.provider(&service).await;
    let text = "Hello! How can I help you?";
    let error = (400, "Invalid value: Model 'other' not found");
    Says { text, tokens: (25, 9), error }.fit(&provider, &LLAMA_STACK).await;
}

#[tokio::test]
async fn errors_are_understood() {
    for (body, expected) in [
        (LLAMA_STACK.error, "Invalid value: Model 'other' not found"),
        (include_str!("../fixtures/error_of_fields.json"), "body.model_id: Field required"),
    ] {
        let answer = Answer::new("application/json", body).status(400);
        let service = FakeUpstream::in_turn([routes(), answer]).await;
        let provider = LLAMA_STACK.provider(&service).await;
        let error = provider.chat(&Context::default(), hello("other")).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Upstream { status: Some(400) });
        assert!(error.message.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn the_list_of_models_is_understood() {
    let list = Answer::new("application/json", include_str!("../fixtures/models.json"));
    let service = FakeUpstream::answering(list).await;
    let provider = passthrough(json!({ "url": service.url() })).await;
    let offered = provider.offered().await.unwrap().unwrap();
    let found: Vec<_> = offered
        .iter()
        .map(|model| (model.identifier.as_str(), model.embedding_dimension()))
        .collect();
    assert_eq!(found, [(LLAMA_STACK.model, None), ("all-MiniLM-L6-v2", Some(384))]);
}
