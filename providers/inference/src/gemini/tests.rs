use crate::tests::published::{Published, Says};
use serde_json::json;

const GEMINI: Published = Published {
    provider_type: "remote::gemini",
    config: |url| json!({ "base_url": format!("{url}/v1beta/openai"), "api_key": "goog-key" }),
    model: "gemini/gemini-2.0-flash",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "API key not valid. Please pass a valid API key.";
    let text = "Hello there! How can I help?\n";
    GEMINI.is_understood(&Says { text, tokens: (1, 8), error: (400, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_gemini_accepts() {
    let more = json!({ "max_tokens": 7, "top_k": 3, "logit_bias": {}, "temperature": 0.5 });
    let body = json!({ "model": "gemini-2.0-flash", "max_tokens": 7, "temperature": 0.5 });
    assert_eq!(GEMINI.body_for(more).await, body);
    let seen = GEMINI.sent_for(json!({}), json!({})).await;
    assert_eq!(seen.path, "/v1beta/openai/chat/completions");
    assert_eq!(seen.header("authorization"), "Bearer goog-key");
    assert_eq!(GEMINI.key_for("gemini_api_key").await, "Bearer own-key");
}

#[tokio::test]
async fn models_that_chat_or_embed_are_offered_under_geminis_name() {
    let offered = GEMINI.offered(include_str!("fixtures/models.json")).await;
    let named = |id: &str, dimension| (format!("gemini/{id}"), id.to_owned(), dimension);
    assert_eq!(offered, [named("gemini-2.0-flash", None), named("text-embedding-004", Some(768))]);
}
