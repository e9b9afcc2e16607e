use crate::tests::{
    build,
    published::{Published, Says},
};
use chaski_api::{ErrorKind, openai::EmbeddingRequest};
use chaski_provider::Context;
use chaski_testkit::Answer;
use serde_json::json;

const NVIDIA: Published = Published {
    provider_type: "remote::nvidia",
    config: |url| json!({ "url": url, "api_key": "nvapi-key" }),
    model: "meta/llama-3.1-8b-instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Function '00000000-0000-0000-0000-000000000000': Not found for account 'account'";
    let text = "Hello! How can I be of service?";
    NVIDIA.is_understood(&Says { text, tokens: (36, 8), error: (404, error) }).await;
}

#[tokio::test]
async fn what_openai_does_not_know_is_sent_in_an_extension() {
    let schema = json!({ "type": "object" });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let more = json!({
        "max_tokens": 7, "temperature": 0.5, "top_k": 3, "repetition_penalty": 1.2, "min_p": 0.1,
        "response_format": format,
    });
    assert_eq!(
        NVIDIA.body_for(more).await,
        json!({
            "model": NVIDIA.model, "max_tokens": 7, "temperature": 0.5,
            "nvext": { "guided_json": schema, "top_k": 3, "repetition_penalty": 1.2 },
        })
    );
    let seen = NVIDIA.sent_for(json!({}), json!({})).await;
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.header("authorization"), "Bearer nvapi-key");
    assert!(seen.json().get("nvext").is_none(), "there is nothing to extend");
}

#[tokio::test]
async fn texts_to_embed_are_told_what_they_are_for() {
    let list = Answer::new("application/json", include_str!("fixtures/embeddings.json"));
    let service = NVIDIA.service(list).await;
    let body = json!({
        "model": "nvidia/nv-embedqa-e5-v5", "input": ["a"], "encoding_format": "base64",
        "task_type": "document", "text_truncation": "end",
    });
    let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
    let provider = NVIDIA.provider(&service).await;
    let answer = provider.embeddings(&Context::default(), request).await.unwrap();
    assert_eq!(answer.into_value().unwrap().data[0].embedding, "AAAAPwAAgL4=");
    let seen = service.only_request();
    assert_eq!(seen.path, "/v1/embeddings");
    assert_eq!(
        seen.json(),
        json!({
            "model": "nvidia/nv-embedqa-e5-v5", "input": ["a"], "input_type": "passage",
            "truncate": "END",
        })
    );
}

#[tokio::test]
async fn the_hosted_service_needs_a_key_and_ones_own_does_not() {
    let hosted = build(NVIDIA.provider_type, json!({}), &[]).await.unwrap();
    let error = hosted.chat(&Context::default(), NVIDIA.request(json!({}))).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert!(error.message.contains("`{\"nvidia_api_key\": \"<your API key>\"}`"), "{error}");
    let own = Published { config: |url| json!({ "url": url }), ..NVIDIA };
    assert_eq!(own.sent_for(json!({}), json!({})).await.header("authorization"), "");
    assert_eq!(own.key_for("nvidia_api_key").await, "Bearer own-key");
}

#[tokio::test]
async fn models_that_chat_or_embed_are_offered_and_known_by_their_names() {
    let offered = NVIDIA.offered(include_str!("fixtures/models.json")).await;
    let same = |id: &str, dimension| (id.to_owned(), id.to_owned(), dimension);
    assert_eq!(offered, [same(NVIDIA.model, None), same("nvidia/nv-embedqa-e5-v5", Some(1024))]);
    let registered = NVIDIA.registered("meta-llama/Llama-3.2-11B-Vision-Instruct").await;
    assert_eq!(registered, "meta/llama-3.2-11b-vision-instruct");
}

#[test]
fn the_waiting_time_is_a_number_of_seconds() {
    let entry = crate::ALL.iter().find(|entry| entry.is(NVIDIA.provider_type)).unwrap();
    let issues = (entry.check)(json!({ "timeout": 0, "url": 7 }));
    let paths: Vec<String> = issues.iter().map(chaski_api::Issue::path).collect();
    assert_eq!(paths, ["url", "timeout"]);
}
