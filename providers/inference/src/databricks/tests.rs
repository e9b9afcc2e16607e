use crate::tests::{
    build,
    published::{Published, Says},
};
use chaski_provider::Context;
use chaski_testkit::Answer;
use serde_json::json;

const DATABRICKS: Published = Published {
    provider_type: "remote::databricks",
    config: |url| json!({ "url": url, "api_token": "dapi-token" }),
    model: "databricks-meta-llama-3-1-70b-instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "The given endpoint does not exist, please retry after checking the specified model \
                 and version deployment exists.";
    let text = "Hello! How may I help?";
    DATABRICKS.is_understood(&Says { text, tokens: (36, 8), error: (404, error) }).await;
}

#[tokio::test]
async fn requests_go_to_the_serving_endpoints_of_the_workspace() {
    for ending in ["", "/", "/serving-endpoints"] {
        let service = DATABRICKS.service(Answer::text("").status(404)).await;
        let config = json!({ "url": format!("{}{ending}", service.url()), "api_token": "t" });
        let provider = build(DATABRICKS.provider_type, config, &[]).await.unwrap();
        let request = DATABRICKS.request(json!({}));
        provider.chat(&Context::default(), request).await.map(drop).unwrap();
        assert_eq!(service.only_request().path, "/serving-endpoints/chat/completions");
    }
    let more = json!({ "stream_options": { "include_usage": true }, "max_completion_tokens": 7 });
    let body = json!({ "model": DATABRICKS.model, "max_tokens": 7 });
    assert_eq!(DATABRICKS.body_for(more).await, body);
    assert_eq!(DATABRICKS.key_for("databricks_api_token").await, "Bearer own-key");
}

#[tokio::test]
async fn a_workspace_must_be_named() {
    let error = build(DATABRICKS.provider_type, json!({}), &[]).await.err().unwrap();
    assert_eq!(error.message, "Databricks has no URL in the run configuration; set `url`");
}

#[tokio::test]
async fn endpoints_that_chat_or_embed_are_offered() {
    let list = include_str!("fixtures/models.json");
    let service = DATABRICKS.service(Answer::new("application/json", list)).await;
    let offered = DATABRICKS.provider(&service).await.offered().await.unwrap().unwrap();
    assert_eq!(service.only_request().path, "/api/2.0/serving-endpoints");
    let ids: Vec<&str> = offered.iter().map(|model| model.identifier.as_str()).collect();
    assert_eq!(ids, [DATABRICKS.model, "databricks-gte-large-en"]);
    assert_eq!(offered[1].embedding_dimension(), Some(1024));
    let registered = DATABRICKS.registered("meta-llama/Llama-3.1-405B-Instruct-FP8").await;
    assert_eq!(registered, "databricks-meta-llama-3-1-405b-instruct");
}
