use crate::tests::published::{Published, Says};
use chaski_api::ErrorKind;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::json;

const SERVER: Published = Published {
    provider_type: "remote::llama-cpp-server",
    config: |url| json!({ "url": url }),
    model: "any",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let text = "Hello! How can I help you today?";
    SERVER.is_understood(&Says { text, tokens: (31, 10), error: (500, "Loading model") }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_the_server_knows() {
    let more = json!({ "max_completion_tokens": 7, "repetition_penalty": 1.2, "top_k": 3 });
    assert_eq!(
        SERVER.body_for(more).await,
        json!({ "model": "any", "top_k": 3, "max_tokens": 7, "repeat_penalty": 1.2 })
    );
    let seen = SERVER.sent_for(json!({}), json!({})).await;
    assert_eq!((seen.path.as_str(), seen.header("authorization")), ("/v1/chat/completions", ""));
    let with_key = Published { config: |url| json!({ "url": url, "api_key": "k" }), ..SERVER };
    let seen = with_key.sent_for(json!({}), json!({})).await;
    assert_eq!(seen.header("authorization"), "Bearer k");
}

#[tokio::test]
async fn a_server_that_loads_its_model_is_not_ready() {
    let loading = Answer::new("application/json", SERVER.error).status(503);
    let service = FakeUpstream::answering(loading).await;
    let error = SERVER.provider(&service).await.check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(503) });
    assert_eq!(error.message, "Loading model");
}

#[tokio::test]
async fn the_model_of_the_server_is_offered_and_any_name_is_taken() {
    let offered = SERVER.offered(include_str!("fixtures/models.json")).await;
    assert_eq!(offered[0].0, "qwen2.5-7b-instruct-q4_k_m.gguf");
    assert_eq!(SERVER.registered("my-name-for-it").await, "my-name-for-it");
}
