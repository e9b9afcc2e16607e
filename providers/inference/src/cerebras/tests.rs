use crate::tests::published::{Published, Says};
use chaski_api::openai::TextCompletionRequest;
use chaski_provider::Context;
use chaski_testkit::Answer;
use serde_json::json;

const CEREBRAS: Published = Published {
    provider_type: "remote::cerebras",
    config: |url| json!({ "base_url": url, "api_key": "csk-key" }),
    model: "llama-3.3-70b",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Model llama-9 does not exist or you do not have access to it.";
    let text = "Hello! How can I help?";
    CEREBRAS.is_understood(&Says { text, tokens: (36, 7), error: (404, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_cerebras_accepts() {
    let more = json!({ "max_tokens": 7, "top_k": 3, "repetition_penalty": 1.2, "seed": 1 });
    assert_eq!(
        CEREBRAS.body_for(more).await,
        json!({ "model": CEREBRAS.model, "seed": 1, "max_completion_tokens": 7 })
    );
    let seen = CEREBRAS.sent_for(json!({}), json!({})).await;
    assert_eq!(
        (seen.path.as_str(), seen.header("authorization")),
        ("/v1/chat/completions", "Bearer csk-key")
    );
    assert_eq!(CEREBRAS.key_for("cerebras_api_key").await, "Bearer own-key");
}

#[tokio::test]
async fn completions_keep_the_older_name_of_the_limit() {
    let service = CEREBRAS.service(Answer::json(json!({ "choices": [] }))).await;
    let body = json!({ "model": CEREBRAS.model, "prompt": "p", "max_tokens": 7 });
    let request = TextCompletionRequest { body: body.as_object().unwrap().clone().into() };
    let provider = CEREBRAS.provider(&service).await;
    provider.completion(&Context::default(), request).await.map(drop).unwrap();
    let seen = service.only_request();
    assert_eq!((seen.path.as_str(), seen.json()), ("/v1/completions", body));
}

#[tokio::test]
async fn llama_models_are_known_by_their_names() {
    assert_eq!(CEREBRAS.registered("meta-llama/Llama-3.1-8B-Instruct").await, "llama3.1-8b");
    assert_eq!(CEREBRAS.registered("Llama3.3-70B-Instruct").await, "llama-3.3-70b");
    let offered = CEREBRAS.offered(include_str!("fixtures/models.json")).await;
    let ids: Vec<&str> = offered.iter().map(|(id, _, _)| id.as_str()).collect();
    assert_eq!(ids, ["llama3.1-8b", "llama-3.3-70b"]);
}
