use crate::tests::{
    build,
    published::{Published, Says},
};
use chaski_api::{ErrorKind, openai::EmbeddingRequest};
use chaski_provider::Context;
use chaski_testkit::Answer;
use serde_json::json;

const AZURE: Published = Published {
    provider_type: "remote::azure",
    config: |url| json!({ "url": url, "api_key": "az-key", "api_version": "2024-10-21" }),
    model: "azure/gpt-4o-eu",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "The API deployment for this resource does not exist. If you created the \
                 deployment within the last 5 minutes, please wait a moment and try again.";
    let text = "Hello! How can I assist you today?";
    AZURE.is_understood(&Says { text, tokens: (8, 9), error: (404, error) }).await;
}

#[tokio::test]
async fn requests_go_to_the_deployment_with_the_version_of_the_api() {
    let seen = AZURE.sent_for(json!({ "top_k": 3, "max_tokens": 7 }), json!({})).await;
    assert_eq!(seen.path, "/openai/deployments/gpt-4o-eu/chat/completions?api-version=2024-10-21");
    assert_eq!((seen.header("api-key"), seen.header("authorization")), ("az-key", ""));
    assert_eq!(seen.json()["max_tokens"], 7);
    assert!(seen.json().get("top_k").is_none());
    let own = AZURE.sent_for(json!({}), json!({ "azure_api_key": "own-key" })).await;
    assert_eq!(own.header("api-key"), "own-key");
    let reasoning = Published { model: "o4-mini", ..AZURE };
    assert_eq!(
        reasoning.body_for(json!({ "max_tokens": 7 })).await,
        json!({ "model": "o4-mini", "max_completion_tokens": 7 })
    );
}

#[tokio::test]
async fn embeddings_go_to_their_deployment() {
    let service = AZURE.service(Answer::json(json!({ "data": [] }))).await;
    let body = json!({ "model": "azure/vectors", "input": ["a"], "encoding_format": "base64" });
    let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
    let provider = AZURE.provider(&service).await;
    provider.embeddings(&Context::default(), request).await.map(drop).unwrap();
    let seen = service.only_request();
    assert_eq!(seen.path, "/openai/deployments/vectors/embeddings?api-version=2024-10-21");
    assert_eq!(seen.json()["encoding_format"], "base64");
}

#[tokio::test]
async fn a_deployment_cannot_lead_elsewhere() {
    let service = AZURE.service(Answer::text("").status(404)).await;
    let provider = AZURE.provider(&service).await;
    for (model, path) in [
        ("azure/..", None),
        ("azure/", None),
        (
            "../../admin",
            Some("/openai/deployments/..%2F..%2Fadmin/chat/completions?api-version=2024-10-21"),
        ),
    ] {
        let mut request = AZURE.request(json!({}));
        request.set_model(model);
        let outcome = provider.chat(&Context::default(), request).await;
        match path {
            None => assert_eq!(outcome.err().unwrap().kind, ErrorKind::InvalidRequest, "{model}"),
            Some(path) => assert_eq!(service.requests().last().unwrap().path, path),
        }
    }
}

#[tokio::test]
async fn the_resource_must_be_named_and_is_asked_for_its_health() {
    for config in [json!({}), json!({ "url": "my-resource" })] {
        let error = build(AZURE.provider_type, config, &[]).await.err().unwrap();
        assert!(error.message.contains("`https://my-resource.openai.azure.com`"), "{error}");
    }
    let service = AZURE.service(Answer::json(json!({ "data": [{ "id": "gpt-4o" }] }))).await;
    let provider = AZURE.provider(&service).await;
    provider.check().await.unwrap();
    assert_eq!(service.only_request().path, "/openai/models?api-version=2024-10-21");
    assert!(provider.offered().await.unwrap().is_none(), "what may be deployed is not offered");
}
