use crate::tests::{
    build, hello,
    published::{Published, Says},
};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::json;

const SAMBANOVA: Published = Published {
    provider_type: "remote::sambanova",
    config: |url| json!({ "url": format!("{url}/v1"), "api_key": "sn-key" }),
    model: "Meta-Llama-3.1-8B-Instruct",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "Requests rate limit exceeded. Please try again later.";
    let text = "Hello! What can I do for you?";
    SAMBANOVA.is_understood(&Says { text, tokens: (36, 9), error: (400, error) }).await;
}

#[tokio::test]
async fn requests_take_the_form_that_sambanova_accepts() {
    let more = json!({ "max_tokens": 7, "top_k": 3, "repetition_penalty": 1.2, "top_p": 0.9 });
    assert_eq!(
        SAMBANOVA.body_for(more).await,
        json!({ "model": SAMBANOVA.model, "top_k": 3, "top_p": 0.9, "max_completion_tokens": 7 })
    );
    let seen = SAMBANOVA.sent_for(json!({}), json!({})).await;
    assert_eq!(
        (seen.path.as_str(), seen.header("authorization")),
        ("/v1/chat/completions", "Bearer sn-key")
    );
    assert_eq!(SAMBANOVA.key_for("sambanova_api_key").await, "Bearer own-key");
}

#[tokio::test]
async fn images_at_addresses_are_sent_as_data() {
    let pictures =
        FakeUpstream::answering(Answer::new("image/png", &b"\x89PNG\r\n\x1a\n"[..])).await;
    let service = SAMBANOVA.service(Answer::text("").status(404)).await;
    let config = (SAMBANOVA.config)(&service.url());
    let provider = build(SAMBANOVA.provider_type, config, &[&pictures]).await.unwrap();
    let mut request = hello("Llama-3.2-11B-Vision-Instruct");
    let url = format!("{}/a.png", pictures.url());
    request.body["messages"][0]["content"] =
        json!([{ "type": "image_url", "image_url": { "url": url } }]);
    provider.chat(&Context::default(), request).await.map(drop).unwrap();
    let sent = service.only_request().json();
    let image = sent["messages"][0]["content"][0]["image_url"]["url"].as_str().unwrap();
    assert_eq!(image, "data:image/png;base64,iVBORw0KGgo=");
}

#[tokio::test]
async fn llama_models_are_known_by_their_names() {
    for (name, id) in [
        ("meta-llama/Llama-3.1-8B-Instruct", "Meta-Llama-3.1-8B-Instruct"),
        ("Llama3.2-90B-Vision-Instruct", "Llama-3.2-90B-Vision-Instruct"),
    ] {
        assert_eq!(SAMBANOVA.registered(name).await, id);
    }
}

#[tokio::test]
async fn models_that_chat_or_embed_are_offered() {
    let offered = SAMBANOVA.offered(include_str!("fixtures/models.json")).await;
    let same = |id: &str, dimension| (id.to_owned(), id.to_owned(), dimension);
    assert_eq!(offered, [same(SAMBANOVA.model, None), same("E5-Mistral-7B-Instruct", Some(4096))]);
}
