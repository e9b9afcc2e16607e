mod contract;
mod native;
mod published;

use crate::tests::{Served, answered, build, caller, hello};
use chaski_api::{ErrorKind, models::ModelType, openai::EmbeddingRequest};
use chaski_provider::{Context, Reply};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Value, json};

/// The list of routes of a server with these routes.
fn routes(paths: &[&str]) -> Answer {
    let route = |path: &&str| json!({ "route": path, "method": "POST", "provider_types": [] });
    Answer::json(json!({ "data": paths.iter().map(route).collect::<Vec<_>>() }))
}

/// A server with OpenAI's face under `base`.
fn openai_face(seen: &Seen, base: &str) -> Answer {
    match seen.path.as_str() {
        "/v1/inspect/routes" => {
            let chat = format!("{base}/chat/completions");
            routes(&["/v1/inference/chat-completion", &chat])
        }
        path if path == format!("{base}/chat/completions") => Answer::json(answered()),
        path if path == format!("{base}/embeddings") => {
            Answer::json(json!({ "data": [{ "index": 0, "embedding": [1.0] }] }))
        }
        path => Answer::text(format!("there is no `{path}`")).status(404),
    }
}

async fn passthrough(config: Value) -> Served {
    build("remote::passthrough", config, &[]).await.unwrap()
}

fn paths(upstream: &FakeUpstream) -> Vec<String> {
    upstream.requests().into_iter().map(|seen| seen.path).collect()
}

#[tokio::test]
async fn openais_face_is_used_where_the_server_has_one_and_looked_up_once() {
    for base in ["/v1", "/v1/openai/v1"] {
        let upstream = FakeUpstream::start(move |seen| openai_face(seen, base)).await;
        let config = json!({ "url": format!("{}/v1/", upstream.url()), "api_key": "pt-key" });
        let provider = passthrough(config).await;
        for _ in 0..2 {
            provider.chat(&Context::default(), hello("m")).await.unwrap();
        }
        let body = json!({ "model": "e", "input": ["a"] });
        let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
        provider.embeddings(&Context::default(), request).await.unwrap();
        let chat = format!("{base}/chat/completions");
        let embeddings = format!("{base}/embeddings");
        assert_eq!(paths(&upstream), ["/v1/inspect/routes", chat.as_str(), &chat, &embeddings]);
        for seen in upstream.requests() {
            assert_eq!(seen.header("authorization"), "Bearer pt-key");
        }
    }
}

#[tokio::test]
async fn a_server_without_a_list_of_routes_is_asked_by_openais() {
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/v1/chat/completions" => Answer::json(answered()),
        _ => Answer::text("no").status(404),
    })
    .await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    provider.chat(&Context::default(), hello("m")).await.unwrap();
    assert_eq!(upstream.requests()[1].header("authorization"), "");
}

#[tokio::test]
async fn a_server_that_does_not_say_which_face_it_has_is_asked_again() {
    let down = Answer::text("starting").status(503);
    let up = routes(&["/v1/chat/completions"]);
    let upstream = FakeUpstream::in_turn([down, up, Answer::json(answered())]).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let error = provider.chat(&Context::default(), hello("m")).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(503) });
    provider.chat(&Context::default(), hello("m")).await.unwrap();

    let upstream = FakeUpstream::answering(Answer::json(json!({ "data": 1 }))).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let error = provider.check().await.unwrap_err();
    assert_eq!(error.message, "the Llama Stack server sent a list that cannot be understood");
}

#[tokio::test]
async fn callers_bring_their_key_under_either_name() {
    for name in ["passthrough_api_key", "api_key"] {
        let upstream = FakeUpstream::start(|seen| openai_face(seen, "/v1")).await;
        let config = json!({ "url": upstream.url(), "api_key": "pt-key" });
        let cx = caller(&json!({ name: "own" }));
        passthrough(config).await.chat(&cx, hello("m")).await.unwrap();
        assert_eq!(upstream.requests()[1].header("authorization"), "Bearer own");
        assert_eq!(upstream.requests()[1].header("x-llamastack-provider-data"), "");
    }
}

#[tokio::test]
async fn callers_name_a_server_that_must_be_public_or_listed() {
    let own = FakeUpstream::start(|seen| openai_face(seen, "/v1")).await;
    let listed = FakeUpstream::start(|seen| openai_face(seen, "/v1")).await;
    let config = json!({ "url": own.url(), "api_key": "operators-key" });
    let provider = build("remote::passthrough", config.clone(), &[&listed]).await.unwrap();
    for name in ["passthrough_url", "url"] {
        let cx = caller(&json!({ name: listed.url(), "passthrough_api_key": "k" }));
        provider.chat(&cx, hello("m")).await.unwrap();
    }
    assert!(own.requests().is_empty());
    let chat = "/v1/chat/completions";
    assert_eq!(paths(&listed), ["/v1/inspect/routes", chat, chat], "the face is known");
    assert_eq!(listed.requests()[1].header("authorization"), "Bearer k");

    // The operator's key goes nowhere else.
    let cx = caller(&json!({ "passthrough_url": listed.url() }));
    provider.chat(&cx, hello("m")).await.unwrap();
    assert_eq!(listed.requests()[3].header("authorization"), "");

    // Nor may callers reach what only this server can.
    let inner = FakeUpstream::start(|seen| openai_face(seen, "/v1")).await;
    for url in [inner.url(), "http://169.254.169.254/latest".to_owned(), "http://localhost".into()]
    {
        let cx = caller(&json!({ "passthrough_url": url }));
        let error = provider.chat(&cx, hello("m")).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{url}: {error}");
        assert!(error.message.contains("may not be"), "{url}: {error}");
    }
    assert!(inner.requests().is_empty());

    // Its own address is the operator's choice.
    let cx = caller(&json!({ "passthrough_url": format!("{}/v1/", own.url()) }));
    provider.chat(&cx, hello("m")).await.unwrap();
    assert_eq!(own.requests()[1].header("authorization"), "Bearer operators-key");
}

#[tokio::test]
async fn without_a_url_a_caller_is_told_how_to_name_one() {
    for config in [json!({}), json!({ "url": null }), json!({ "url": " " })] {
        let provider = passthrough(config).await;
        provider.check().await.unwrap();
        assert!(provider.offered().await.unwrap().is_none());
        let error = provider.chat(&Context::default(), hello("m")).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains("`{\"passthrough_url\": \"<the URL>\"}`"), "{error}");
    }
    let error = build("remote::passthrough", json!({ "url": "localhost:8321" }), &[]).await;
    let message = error.err().unwrap().message;
    let expected = "the URL of the Llama Stack server is not a web address; \
                    use one such as `http://localhost:8321`";
    assert_eq!(message, expected);
    let cx = caller(&json!({ "passthrough_url": "nonsense" }));
    let error = passthrough(json!({})).await.chat(&cx, hello("m")).await.err().unwrap();
    assert_eq!(error.message, expected);
}

#[tokio::test]
async fn the_models_of_the_server_are_offered_by_either_form_of_its_list() {
    let list = json!({ "data": [
        { "identifier": "llama", "provider_resource_id": "x", "type": "model", "metadata": {},
          "provider_id": "vllm", "model_type": "llm" },
        { "identifier": "mini", "metadata": { "embedding_dimension": 384 },
          "model_type": "embedding" },
        { "id": "gpt-9", "object": "model" },
        { "object": "model" },
    ]});
    let upstream = FakeUpstream::answering(Answer::json(list)).await;
    let provider = passthrough(json!({ "url": upstream.url() })).await;
    let offered = provider.offered().await.unwrap().unwrap();
    let ids: Vec<&str> = offered.iter().map(|model| model.identifier.as_str()).collect();
    assert_eq!(ids, ["llama", "mini", "gpt-9"]);
    assert_eq!(offered[0].provider_resource_id, "llama", "the name that the server knows");
    assert_eq!(offered[1].model_type, ModelType::Embedding);
    assert_eq!(offered[1].embedding_dimension(), Some(384));
    assert_eq!(upstream.only_request().path, "/v1/models");
    let silent = json!({ "url": upstream.url(), "refresh_models": false });
    assert!(passthrough(silent).await.offered().await.unwrap().is_none());
}

/// The answer at once.
async fn whole(provider: &Served, request: chaski_api::openai::ChatRequest) -> Value {
    let reply = provider.chat(&Context::default(), request).await.unwrap();
    let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
    serde_json::to_value(answer.into_value().unwrap()).unwrap()
}
