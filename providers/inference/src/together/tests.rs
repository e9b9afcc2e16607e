use crate::tests::published::{Published, Says};
use serde_json::json;

const TOGETHER: Published = Published {
    provider_type: "remote::together",
    config: |url| json!({ "url": format!("{url}/v1"), "api_key": "tg-key" }),
    model: "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Invalid API key provided. \
                 You can find your API key at https://api.together.xyz/settings/api-keys.";
    let text = "Hello! How are you today?";
    TOGETHER.is_understood(&Says { text, tokens: (36, 10), error: (401, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_together_accepts() {
    let schema = json!({ "type": "object" });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let more = json!({
        "max_completion_tokens": 7, "response_format": format, "logprobs": true, "top_logprobs": 3,
    });
    assert_eq!(
        TOGETHER.body_for(more).await,
        json!({
            "model": TOGETHER.model, "max_tokens": 7, "logprobs": 3,
            "response_format": { "type": "json_object", "schema": schema },
        })
    );
}

#[tokio::test]
async fn no_caller_uses_the_key_of_another() {
    assert_eq!(TOGETHER.key_for("together_api_key").await, "Bearer tg-key");
    let without = Published { config: |url| json!({ "url": url }), ..TOGETHER };
    assert_eq!(without.key_for("together_api_key").await, "Bearer own-key");
    assert_eq!(without.sent_for(json!({}), json!({})).await.header("authorization"), "");
}

#[tokio::test]
async fn llama_models_are_known_by_their_names() {
    for (name, id) in [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"),
        ("Llama-Guard-3-11B-Vision", "meta-llama/Llama-Guard-3-11B-Vision-Turbo"),
        ("Qwen/Qwen2.5-72B-Instruct-Turbo", "Qwen/Qwen2.5-72B-Instruct-Turbo"),
    ] {
        assert_eq!(TOGETHER.registered(name).await, id);
    }
}

#[tokio::test]
async fn models_that_chat_or_embed_are_offered() {
    let offered = TOGETHER.offered(include_str!("fixtures/models.json")).await;
    let same = |id: &str, dimension| (id.to_owned(), id.to_owned(), dimension);
    assert_eq!(
        offered,
        [
            same(TOGETHER.model, None),
            same("togethercomputer/m2-bert-80M-32k-retrieval", Some(768)),
            same("meta-llama/Meta-Llama-Guard-3-8B", None),
        ]
    );
}
