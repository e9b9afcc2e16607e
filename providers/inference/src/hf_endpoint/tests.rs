use crate::tests::{
    build, caller, hello, llm,
    published::{Published, Says},
};
use chaski_api::{ErrorKind, openai::EmbeddingRequest};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A state in which the endpoint runs, and its server refuses chats.
const OVERLOADED: &str = "overloaded";
const MODEL: &str = "meta-llama/Llama-3.1-8B-Instruct";

const ENDPOINT: Published = Published {
    provider_type: "remote::hf::endpoint",
    config: |url| json!({ "endpoint_name": "o/e", "hub_url": url, "endpoints_url": url }),
    model: MODEL,
    answer: include_str!("fixtures/answer.json"),
    stream: include_str!("fixtures/stream.txt"),
    error: include_str!("fixtures/error.json"),
};

/// Hugging Face and an endpoint of it in one, in a state that may change.
struct World {
    upstream: FakeUpstream,
    state: Arc<Mutex<&'static str>>,
}

impl World {
    async fn new() -> Self {
        let state = Arc::new(Mutex::new("running"));
        let current = state.clone();
        let url: Arc<Mutex<String>> = Arc::default();
        let endpoint_url = url.clone();
        let upstream = FakeUpstream::start(move |seen: &Seen| match seen.path.as_str() {
            "/api/whoami-v2" => {
                Answer::new("application/json", include_str!("fixtures/whoami.json"))
            }
            path if path.starts_with("/v2/endpoint/") => {
                let text = include_str!("fixtures/endpoint.json");
                let mut endpoint: Value = serde_json::from_str(text).unwrap();
                let state = *current.lock().unwrap();
                let state = if state == OVERLOADED { "running" } else { state };
                endpoint["status"]["state"] = state.into();
                endpoint["status"]["url"] = endpoint_url.lock().unwrap().clone().into();
                Answer::json(endpoint)
            }
            "/info" => Answer::json(json!({ "model_id": MODEL, "max_total_tokens": 4096 })),
            "/v1/chat/completions" if *current.lock().unwrap() == OVERLOADED => {
                Answer::new("application/json", ENDPOINT.error).status(429)
            }
            "/v1/chat/completions" if seen.json()["stream"] == true => {
                Answer::new("text/event-stream", ENDPOINT.stream)
            }
            "/v1/chat/completions" => Answer::new("application/json", ENDPOINT.answer),
            _ => Answer::text("no such page").status(404),
        })
        .await;
        *url.lock().unwrap() = upstream.url();
        Self { upstream, state }
    }

    async fn provider(&self, endpoint_name: &str) -> crate::tests::Served {
        let url = self.upstream.url();
        let config = json!({
            "endpoint_name": endpoint_name, "api_token": "hf_token", "hub_url": url,
            "endpoints_url": url,
        });
        build("remote::hf::endpoint", config, &[]).await.unwrap()
    }

    fn paths(&self) -> Vec<String> {
        self.upstream.requests().into_iter().map(|seen| seen.path).collect()
    }
}

#[tokio::test]
async fn the_address_of_the_endpoint_is_asked_for_once_with_the_token() {
    let world = World::new().await;
    let provider = world.provider("my-endpoint").await;
    assert!(world.paths().is_empty(), "nothing is asked before it is needed");
    for _ in 0..2 {
        let mut request = hello(MODEL);
        request.body.insert("max_tokens".to_owned(), 7.into());
        provider.chat(&Context::default(), request).await.map(drop).unwrap();
    }
    assert_eq!(
        world.paths(),
        [
            "/api/whoami-v2",
            "/v2/endpoint/owner/my-endpoint",
            "/info",
            "/v1/chat/completions",
            "/v1/chat/completions"
        ]
    );
    for seen in world.upstream.requests() {
        assert_eq!(seen.header("authorization"), "Bearer hf_token", "{}", seen.path);
    }
}

#[tokio::test]
async fn the_published_form_is_understood() {
    let world = World::new().await;
    let provider = ENDPOINT.provider(&world.upstream).await;
    let error = (429, "Model is overloaded");
    let says = Says { text: "Hello! How can I help you?", tokens: (36, 9), error };
    says.fit(&provider, &ENDPOINT).await;
    *world.state.lock().unwrap() = OVERLOADED;
    let error = provider.chat(&caller(&json!({})), hello(MODEL)).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::RateLimited { retry_after: None });
    assert_eq!(error.message, says.error.1);
}

#[tokio::test]
async fn an_endpoint_may_be_in_another_namespace() {
    let world = World::new().await;
    let provider = world.provider("my-organisation/my endpoint").await;
    provider.check().await.unwrap();
    assert_eq!(world.paths(), ["/v2/endpoint/my-organisation/my%20endpoint"]);
}

#[tokio::test]
async fn an_endpoint_that_does_not_run_is_unavailable_until_it_does() {
    let world = World::new().await;
    let provider = world.provider("owner/my-endpoint").await;
    for state in ["pending", "initializing", "paused", "failed"] {
        *world.state.lock().unwrap() = state;
        let error = provider.check().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
        assert_eq!(
            error.message,
            format!(
                "the endpoint `my-endpoint` of Hugging Face is in the state `{state}`; \
                 it must be running"
            )
        );
        let error = provider.chat(&Context::default(), hello(MODEL)).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
    }
    for state in ["running", "scaledToZero"] {
        *world.state.lock().unwrap() = state;
        provider.check().await.unwrap();
    }
}

#[tokio::test]
async fn the_model_of_the_endpoint_is_the_only_one() {
    let world = World::new().await;
    let provider = world.provider("owner/my-endpoint").await;
    let model = provider.on_register(llm("Llama3.1-8B-Instruct")).await.unwrap();
    assert_eq!(model.provider_resource_id, MODEL);
    assert!(provider.on_register(llm("other")).await.is_err());
    assert_eq!(provider.offered().await.unwrap().unwrap()[0].identifier, MODEL);
    let body = json!({ "model": MODEL, "input": "a" });
    let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
    let error = provider.embeddings(&Context::default(), request).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_reported() {
    let answer = Answer::json(json!({ "error": "Invalid credentials in Authorization header" }));
    let upstream = FakeUpstream::answering(answer.status(401)).await;
    let config = json!({
        "endpoint_name": "e", "hub_url": upstream.url(), "endpoints_url": upstream.url(),
    });
    let provider = build("remote::hf::endpoint", config, &[]).await.unwrap();
    let error = provider.check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(401) });
    assert_eq!(error.message, "Invalid credentials in Authorization header");
    let error = build("remote::hf::endpoint", json!({}), &[]).await.err().unwrap();
    assert!(error.message.contains("`endpoint_name`"), "{error}");
}
