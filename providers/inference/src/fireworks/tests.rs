use crate::tests::published::{Published, Says};
use serde_json::json;

const FIREWORKS: Published = Published {
    provider_type: "remote::fireworks",
    config: |url| json!({ "url": format!("{url}/inference/v1"), "api_key": "fw-key" }),
    model: "accounts/fireworks/models/llama-v3p1-8b-instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Model not found, inaccessible, and/or not deployed";
    let text = "Hello! How can I help you today?";
    FIREWORKS.is_understood(&Says { text, tokens: (14, 9), error: (404, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_fireworks_accepts() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let more = json!({
        "max_completion_tokens": 7, "top_k": 3, "repetition_penalty": 1.2, "response_format": format,
    });
    assert_eq!(
        FIREWORKS.body_for(more).await,
        json!({
            "model": FIREWORKS.model, "max_tokens": 7, "top_k": 3, "repetition_penalty": 1.2,
            "response_format": { "type": "json_object", "schema": schema },
        })
    );
    let seen = FIREWORKS.sent_for(json!({}), json!({})).await;
    assert_eq!(seen.path, "/inference/v1/chat/completions");
}

#[tokio::test]
async fn the_configured_key_wins_over_the_callers() {
    assert_eq!(FIREWORKS.key_for("fireworks_api_key").await, "Bearer fw-key");
    let config = |url: &str| json!({ "url": url });
    let without = Published { config, ..FIREWORKS };
    assert_eq!(without.key_for("fireworks_api_key").await, "Bearer own-key");
    assert_eq!(without.key_for("together_api_key").await, "");
}

#[tokio::test]
async fn llama_models_are_known_by_their_names() {
    for (name, id) in [
        ("meta-llama/Llama-3.1-8B-Instruct", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
        ("Llama3.3-70B-Instruct", "accounts/fireworks/models/llama-v3p3-70b-instruct"),
        (
            "meta-llama/Llama-3.1-405B-Instruct-FP8",
            "accounts/fireworks/models/llama-v3p1-405b-instruct",
        ),
        ("accounts/somebody/models/tuned", "accounts/somebody/models/tuned"),
    ] {
        assert_eq!(FIREWORKS.registered(name).await, id);
    }
}

#[tokio::test]
async fn models_that_chat_or_embed_are_offered() {
    let offered = FIREWORKS.offered(include_str!("fixtures/models.json")).await;
    let same = |id: &str, dimension| (id.to_owned(), id.to_owned(), dimension);
    assert_eq!(
        offered,
        [same(FIREWORKS.model, None), same("nomic-ai/nomic-embed-text-v1.5", Some(768))]
    );
}
