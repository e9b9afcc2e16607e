use crate::tests::{
    build,
    published::{Published, Says},
};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::json;

const ANY: Published = Published {
    provider_type: "remote::openai-compatible",
    config: |url| json!({ "url": format!("{url}/some/path/"), "api_key": "k-1" }),
    model: "m",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Incorrect API key provided.";
    let text = "Hello! How can I help you?";
    ANY.is_understood(&Says { text, tokens: (8, 9), error: (401, error) }).await;
}

#[tokio::test]
async fn requests_are_sent_as_they_come() {
    let more = json!({ "top_k": 3, "max_completion_tokens": 7, "of_its_own": { "a": [1, null] } });
    let mut body = json!({ "model": "m" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    assert_eq!(ANY.body_for(more).await, body);
    let seen = ANY.sent_for(json!({}), json!({})).await;
    assert_eq!(seen.path, "/some/path/chat/completions");
    assert_eq!(seen.header("authorization"), "Bearer k-1");
    assert_eq!(seen.header("x-request-id"), "request-1");
    assert_eq!(ANY.key_for("openai_compatible_api_key").await, "Bearer own-key");
    let limited = Published {
        config: |url| json!({ "url": url, "max_tokens": 9, "tls_verify": false }),
        ..ANY
    };
    let body = json!({ "model": "m", "max_tokens": 9 });
    assert_eq!(limited.body_for(json!({})).await, body);
}

#[tokio::test]
async fn a_server_without_a_list_of_models_serves_all_the_same() {
    let list = include_str!("fixtures/models.json");
    assert_eq!(ANY.offered(list).await, [("m".to_owned(), "m".to_owned(), None)]);
    let service = FakeUpstream::answering(Answer::text("no such page").status(404)).await;
    let provider = ANY.provider(&service).await;
    provider.check().await.unwrap();
    assert!(provider.offered().await.unwrap().is_none());
    let service = FakeUpstream::answering(Answer::text("no").status(401)).await;
    assert!(ANY.provider(&service).await.check().await.is_err());
    assert_eq!(ANY.registered("anything").await, "anything");
}

#[tokio::test]
async fn the_url_must_be_given_and_be_one() {
    let error = build(ANY.provider_type, json!({}), &[]).await.err().unwrap();
    assert_eq!(
        error.message,
        "the OpenAI-compatible server has no URL in the run configuration; set `url`"
    );
    let error = build(ANY.provider_type, json!({ "url": "localhost" }), &[]).await.err().unwrap();
    assert!(error.message.contains("is not a web address"), "{error}");
}
