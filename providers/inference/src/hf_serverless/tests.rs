use crate::tests::{
    build, llm,
    published::{Published, Says},
};
use chaski_api::ErrorKind;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::json;

const HF: Published = Published {
    provider_type: "remote::hf::serverless",
    config: |url| {
        json!({
            "huggingface_repo": "meta-llama/Llama-3.1-8B-Instruct", "api_token": "hf_token",
            "url": format!("{url}/v1"),
        })
    },
    model: "meta-llama/Llama-3.1-8B-Instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "The requested model 'no/model' is not supported by any provider you have enabled.";
    let text = "Hello! How can I help you?";
    HF.is_understood(&Says { text, tokens: (36, 9), error: (400, error) }).await;
}

#[tokio::test]
async fn requests_go_to_the_router_with_the_token() {
    let seen = HF.sent_for(json!({ "max_completion_tokens": 7 }), json!({})).await;
    assert_eq!(
        (seen.path.as_str(), seen.header("authorization")),
        ("/v1/chat/completions", "Bearer hf_token")
    );
    assert_eq!(seen.json()["max_tokens"], 7);
}

#[tokio::test]
async fn the_configured_model_is_the_only_one() {
    let service = FakeUpstream::answering(Answer::new(
        "application/json",
        include_str!("fixtures/models.json"),
    ))
    .await;
    let config = json!({
        "huggingface_repo": "meta-llama/Llama-3.1-8B-Instruct:sambanova", "url": service.url(),
    });
    let provider = build(HF.provider_type, config, &[]).await.unwrap();
    for name in [HF.model, "Llama3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct:sambanova"] {
        let model = provider.on_register(llm(name)).await.unwrap();
        let id = "meta-llama/Llama-3.1-8B-Instruct:sambanova";
        assert_eq!(model.provider_resource_id, id, "{name}");
    }
    let error = provider.on_register(llm("other")).await.unwrap_err();
    assert!(
        error.message.starts_with("Model other is not being served by Hugging Face."),
        "{error}"
    );
    assert_eq!(provider.offered().await.unwrap().unwrap().len(), 1);
    provider.check().await.unwrap();
    assert_eq!(service.only_request().path, "/models");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_reported() {
    let service = FakeUpstream::answering(Answer::text("away").status(503)).await;
    let error = HF.provider(&service).await.check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(503) });
    let error = build(HF.provider_type, json!({}), &[]).await.err().unwrap();
    assert!(error.message.contains("`huggingface_repo`"), "{error}");
}
