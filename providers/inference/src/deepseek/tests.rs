use crate::tests::published::{Published, Says};
use chaski_provider::{Context, Reply};
use chaski_testkit::Answer;
use serde_json::json;

const DEEPSEEK: Published = Published {
    provider_type: "remote::deepseek",
    config: |url| json!({ "url": url, "api_key": "ds-key" }),
    model: "deepseek-reasoner",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let text = "Hello! How can I assist you today?";
    let error = "Insufficient Balance";
    DEEPSEEK.is_understood(&Says { text, tokens: (5, 21), error: (402, error) }).await;
}

#[tokio::test]
async fn what_the_model_thinks_comes_apart_from_its_answer() {
    let service = DEEPSEEK.service(Answer::text("").status(404)).await;
    let provider = DEEPSEEK.provider(&service).await;
    let reply = provider.chat(&Context::default(), DEEPSEEK.request(json!({}))).await.unwrap();
    let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
    let message = answer.into_value().unwrap().choices.remove(0).message;
    assert_eq!(message.reasoning_content.as_deref(), Some("The user greets me, so I greet back."));
}

#[tokio::test]
async fn requests_take_the_form_that_deepseek_accepts() {
    let more = json!({ "max_completion_tokens": 7, "top_k": 3, "min_p": 0.1 });
    assert_eq!(DEEPSEEK.body_for(more).await, json!({ "model": DEEPSEEK.model, "max_tokens": 7 }));
    let seen = DEEPSEEK.sent_for(json!({}), json!({})).await;
    assert_eq!(
        (seen.path.as_str(), seen.header("authorization")),
        ("/chat/completions", "Bearer ds-key")
    );
    assert_eq!(DEEPSEEK.key_for("deepseek_api_key").await, "Bearer own-key");
    let offered = DEEPSEEK.offered(include_str!("fixtures/models.json")).await;
    let ids: Vec<&str> = offered.iter().map(|(id, _, _)| id.as_str()).collect();
    assert_eq!(ids, ["deepseek-chat", "deepseek-reasoner"]);
}
