use crate::tests::published::{Published, Says};
use serde_json::json;

const MISTRAL: Published = Published {
    provider_type: "remote::mistral",
    config: |url| json!({ "url": format!("{url}/v1"), "api_key": "ms-key" }),
    model: "mistral-small-latest",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "body.top_k: Extra inputs are not permitted";
    let text = "Hello! How can I assist you?";
    MISTRAL.is_understood(&Says { text, tokens: (4, 9), error: (422, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_mistral_accepts() {
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let more = json!({
        "max_completion_tokens": 7, "seed": 1, "top_k": 3, "user": "u", "tools": tools,
        "tool_choice": "required", "stream_options": { "include_usage": true },
    });
    assert_eq!(
        MISTRAL.body_for(more).await,
        json!({
            "model": MISTRAL.model, "tools": tools, "tool_choice": "any", "max_tokens": 7,
            "random_seed": 1,
        })
    );
    let seen = MISTRAL.sent_for(json!({}), json!({})).await;
    assert_eq!(
        (seen.path.as_str(), seen.header("authorization")),
        ("/v1/chat/completions", "Bearer ms-key")
    );
    assert_eq!(MISTRAL.key_for("mistral_api_key").await, "Bearer own-key");
}

#[tokio::test]
async fn models_that_chat_or_embed_are_offered() {
    let offered = MISTRAL.offered(include_str!("fixtures/models.json")).await;
    let same = |id: &str, dimension| (id.to_owned(), id.to_owned(), dimension);
    assert_eq!(offered, [same(MISTRAL.model, None), same("mistral-embed", Some(1024))]);
}
