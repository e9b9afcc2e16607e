use crate::tests::{
    Served, answered, build, caller, hello, llm,
    published::{Published, Says},
};
use chaski_api::{ErrorKind, models::ModelType};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};

const MODELS: &str = include_str!("fixtures/models.json");

const OPENAI: Published = Published {
    provider_type: "remote::openai",
    config: |url| json!({ "base_url": format!("{url}/v1"), "api_key": "sk-config" }),
    model: "openai/gpt-4o-mini",
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

#[tokio::test]
async fn the_published_form_is_understood() {
    let error = "This project has used up its quota.";
    let text = "Hello! How can I help you?";
    OPENAI.is_understood(&Says { text, tokens: (8, 9), error: (429, error) }).await;
}

async fn openai(upstream: &FakeUpstream, key: Option<&str>) -> Served {
    let config = json!({ "api_key": key, "base_url": format!("{}/v1", upstream.url()) });
    build("remote::openai", config, &[]).await.unwrap()
}

#[tokio::test]
async fn the_callers_key_wins_over_the_configured_one() {
    let upstream = FakeUpstream::answering(Answer::json(answered())).await;
    let provider = openai(&upstream, Some("sk-config")).await;
    for (data, key) in [
        (json!({}), "Bearer sk-config"),
        (json!({ "openai_api_key": "sk-own" }), "Bearer sk-own"),
        (json!({ "openai_api_key": "" }), "Bearer sk-config"),
        (json!({ "openai_api_key": 7 }), "Bearer sk-config"),
        (json!({ "groq_api_key": "sk-other" }), "Bearer sk-config"),
    ] {
        provider.chat(&caller(&data), hello("gpt-4o")).await.unwrap();
        let requests = upstream.requests();
        assert_eq!(requests.last().unwrap().header("authorization"), key, "{data}");
    }
}

#[tokio::test]
async fn without_a_key_the_caller_is_told_how_to_send_one() {
    let provider = build("remote::openai", json!({ "api_key": null }), &[]).await.unwrap();
    let error = provider.chat(&Context::default(), hello("gpt-4o")).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert_eq!(
        error.message,
        "no key for OpenAI: pass it in the header `X-LlamaStack-Provider-Data` as \
         `{\"openai_api_key\": \"<your API key>\"}`, or set `api_key` in the run configuration"
    );
    // Nothing is asked without a key, and callers may bring theirs.
    provider.check().await.unwrap();
    assert!(provider.offered().await.unwrap().is_none());
}

#[tokio::test]
async fn requests_take_the_form_that_openai_accepts() {
    let upstream = FakeUpstream::answering(Answer::json(answered())).await;
    let provider = openai(&upstream, None).await;
    let messages = json!([{ "role": "user", "content": "hello" }]);
    let send = async |model: &str| {
        let mut request = hello(model);
        for (name, value) in [
            ("max_tokens", json!(7)),
            ("top_k", json!(3)),
            ("repetition_penalty", json!(1.2)),
            ("temperature", json!(0.5)),
        ] {
            request.body.insert(name.to_owned(), value);
        }
        provider.chat(&Context::default(), request).await.unwrap();
        upstream.requests().last().unwrap().json()
    };
    assert_eq!(
        send("openai/gpt-4o").await,
        json!({ "model": "gpt-4o", "messages": messages, "max_tokens": 7, "temperature": 0.5 })
    );
    assert_eq!(
        send("openai/o4-mini").await,
        json!({
            "model": "o4-mini", "messages": messages, "temperature": 0.5, "max_completion_tokens": 7,
        })
    );
}

#[tokio::test]
async fn chat_and_embedding_models_are_offered_under_openais_name() {
    let upstream = FakeUpstream::answering(Answer::new("application/json", MODELS)).await;
    let provider = openai(&upstream, Some("sk-config")).await;
    let offered = provider.offered().await.unwrap().unwrap();
    let found: Vec<_> = offered
        .iter()
        .map(|model| (model.identifier.as_str(), model.provider_resource_id.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("openai/gpt-4o-mini", "gpt-4o-mini"),
            ("openai/text-embedding-3-small", "text-embedding-3-small"),
            ("openai/o4-mini", "o4-mini"),
        ]
    );
    assert_eq!(offered[1].model_type, ModelType::Embedding);
    let metadata =
        json!({ "created": 1_705_948_997, "embedding_dimension": 1536, "context_length": 8192 });
    assert_eq!(Value::Object(offered[1].metadata.clone()), metadata);
    provider.check().await.unwrap();
    assert_eq!(upstream.requests()[0].header("authorization"), "Bearer sk-config");
}

#[tokio::test]
async fn any_model_may_be_registered() {
    let provider = build("remote::openai", json!({}), &[]).await.unwrap();
    let model = provider.on_register(llm("openai/gpt-9")).await.unwrap();
    assert_eq!(model.provider_resource_id, "openai/gpt-9");
}
