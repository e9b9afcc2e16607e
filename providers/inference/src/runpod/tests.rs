use crate::tests::{
    build,
    published::{Published, Says},
};
use serde_json::json;

const RUNPOD: Published = Published {
    provider_type: "remote::runpod",
    config: |url| json!({ "url": format!("{url}/v2/abc123"), "api_token": "rp-token" }),
    model: "meta-llama/Llama-3.1-8B-Instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "The model `m` does not exist.";
    let text = "Hello! Is there anything you need?";
    RUNPOD.is_understood(&Says { text, tokens: (36, 9), error: (404, error) }).await;
}

#[tokio::test]
async fn requests_go_to_the_openai_api_of_the_endpoint() {
    let seen = RUNPOD.sent_for(json!({ "top_k": 3 }), json!({})).await;
    assert_eq!(seen.path, "/v2/abc123/openai/v1/chat/completions");
    assert_eq!(seen.header("authorization"), "Bearer rp-token");
    assert_eq!(seen.json()["top_k"], 3);
    assert_eq!(RUNPOD.key_for("runpod_api_token").await, "Bearer own-key");
    for config in [json!({}), json!({ "url": "" }), json!({ "url": null })] {
        let error = build(RUNPOD.provider_type, config, &[]).await.err().unwrap();
        assert_eq!(error.message, "RunPod has no URL in the run configuration; set `url`");
    }
}

#[tokio::test]
async fn the_models_of_the_worker_are_offered() {
    let offered = RUNPOD.offered(include_str!("fixtures/models.json")).await;
    assert_eq!(offered, [(RUNPOD.model.to_owned(), RUNPOD.model.to_owned(), None)]);
}
