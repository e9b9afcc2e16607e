use crate::tests::{
    build,
    published::{Published, Says},
};
use chaski_testkit::Answer;
use serde_json::json;

const OPENROUTER: Published = Published {
    provider_type: "remote::openrouter",
    config: |url| json!({ "url": format!("{url}/api/v1"), "api_key": "or-key", "refresh_models": true }),
    model: "meta-llama/llama-3.3-70b-instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Insufficient credits. Add more using https://openrouter.ai/credits";
    let text = "Hello! What is on your mind?";
    OPENROUTER.is_understood(&Says { text, tokens: (36, 9), error: (402, error) }).await;
}

#[tokio::test]
async fn requests_keep_the_fields_of_openrouter() {
    let more = json!({ "provider": { "sort": "price" }, "top_k": 3, "max_completion_tokens": 7 });
    assert_eq!(
        OPENROUTER.body_for(more).await,
        json!({
            "model": OPENROUTER.model, "provider": { "sort": "price" }, "top_k": 3, "max_tokens": 7,
        })
    );
    let seen = OPENROUTER.sent_for(json!({}), json!({})).await;
    assert_eq!(seen.path, "/api/v1/chat/completions");
    assert_eq!(OPENROUTER.key_for("openrouter_api_key").await, "Bearer own-key");
}

#[tokio::test]
async fn the_long_list_of_models_is_registered_on_request_only() {
    let list = include_str!("fixtures/models.json");
    let offered = OPENROUTER.offered(list).await;
    assert_eq!(offered[0].0, OPENROUTER.model);
    let service = OPENROUTER.service(Answer::new("application/json", list)).await;
    let config = json!({ "url": service.url(), "api_key": "or-key" });
    let provider = build(OPENROUTER.provider_type, config, &[]).await.unwrap();
    assert!(provider.offered().await.unwrap().is_none());
}
