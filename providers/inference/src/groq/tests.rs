use crate::tests::published::{Published, Says};
use serde_json::json;

const GROQ: Published = Published {
    provider_type: "remote::groq",
    config: |url| json!({ "url": url, "api_key": "gsk-key" }),
    model: "groq/llama-3.1-8b-instant",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Rate limit reached for model `llama-3.1-8b-instant` on tokens per minute (TPM): \
                 Limit 6000, Used 5900, Requested 400.";
    let text = "Hello! How can I assist you today?";
    GROQ.is_understood(&Says { text, tokens: (36, 10), error: (400, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_groq_accepts() {
    let more = json!({
        "max_tokens": 7, "top_k": 3, "min_p": 0.1, "repetition_penalty": 1.2, "logit_bias": {},
        "temperature": 0.5,
    });
    let body = json!({ "model": "llama-3.1-8b-instant", "max_tokens": 7, "temperature": 0.5 });
    assert_eq!(GROQ.body_for(more).await, body);
    let seen = GROQ.sent_for(json!({}), json!({})).await;
    assert_eq!(seen.path, "/openai/v1/chat/completions");
    assert_eq!(seen.header("authorization"), "Bearer gsk-key");
}

#[tokio::test]
async fn the_callers_key_wins_over_the_configured_one() {
    assert_eq!(GROQ.key_for("groq_api_key").await, "Bearer own-key");
    assert_eq!(GROQ.key_for("openai_api_key").await, "Bearer gsk-key");
}

#[tokio::test]
async fn llama_models_are_known_by_their_names() {
    for (name, id) in [
        ("meta-llama/Llama-3.1-8B-Instruct", "groq/llama-3.1-8b-instant"),
        ("Llama3.1-8B-Instruct", "groq/llama-3.1-8b-instant"),
        ("meta-llama/Llama-3-8B-Instruct", "groq/llama3-8b-8192"),
        ("groq/qwen-2.5-32b", "groq/qwen-2.5-32b"),
    ] {
        assert_eq!(GROQ.registered(name).await, id);
    }
}

#[tokio::test]
async fn models_that_chat_are_offered_under_groqs_name() {
    let offered = GROQ.offered(include_str!("fixtures/models.json")).await;
    let llama = ("groq/llama-3.1-8b-instant".to_owned(), "llama-3.1-8b-instant".to_owned(), None);
    assert_eq!(offered, [llama]);
}
