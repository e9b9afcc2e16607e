use crate::tests::{
    llm,
    published::{Published, Says},
};
use chaski_testkit::Answer;
use serde_json::json;

const LM_STUDIO: Published = Published {
    provider_type: "remote::lm-studio",
    config: |url| json!({ "url": url }),
    model: "qwen2.5-7b-instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Model \"m\" not found. Please specify a valid model.";
    let text = "Hello! How can I help you today?";
    LM_STUDIO.is_understood(&Says { text, tokens: (31, 9), error: (404, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_lm_studio_knows() {
    let more = json!({ "max_completion_tokens": 7, "repetition_penalty": 1.2 });
    assert_eq!(
        LM_STUDIO.body_for(more).await,
        json!({ "model": LM_STUDIO.model, "max_tokens": 7, "repeat_penalty": 1.2 })
    );
    assert_eq!(LM_STUDIO.sent_for(json!({}), json!({})).await.path, "/v1/chat/completions");
}

#[tokio::test]
async fn models_must_be_there_to_be_registered() {
    let list = include_str!("fixtures/models.json");
    let offered = LM_STUDIO.offered(list).await;
    let same = |id: &str, dimension| (id.to_owned(), id.to_owned(), dimension);
    assert_eq!(
        offered,
        [same(LM_STUDIO.model, None), same("text-embedding-nomic-embed-text-v1.5", Some(768))]
    );
    let service = LM_STUDIO.service(Answer::new("application/json", list)).await;
    let provider = LM_STUDIO.provider(&service).await;
    provider.on_register(llm(LM_STUDIO.model)).await.unwrap();
    let error = provider.on_register(llm("missing")).await.unwrap_err();
    assert!(
        error.message.starts_with("Model missing is not being served by LM Studio."),
        "{error}"
    );
}
