use crate::tests::{Served, answered, build, hello, llm, model};
use chaski_api::{ErrorKind, models::ModelType, openai::EmbeddingRequest};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

const TAGS: &str = include_str!("fixtures/tags.json");
const LLAMA: &str = include_str!("fixtures/show_llama.json");
const MINILM: &str = include_str!("fixtures/show_minilm.json");

fn json_text(text: &'static str) -> Answer {
    Answer::new("application/json", text)
}

fn script(seen: &Seen) -> Answer {
    match seen.path.as_str() {
        "/api/tags" => json_text(TAGS),
        "/api/ps" => Answer::json(json!({ "models": [] })),
        "/api/show" if seen.json()["model"] == "all-minilm:latest" => json_text(MINILM),
        "/api/show" => json_text(LLAMA),
        "/v1/chat/completions" => Answer::json(answered()),
        "/v1/embeddings" => {
            Answer::json(json!({ "data": [{ "index": 0, "embedding": [1.0, -2.5] }] }))
        }
        _ => Answer::json(json!({ "error": "no such thing" })).status(404),
    }
}

async fn ollama(upstream: &FakeUpstream) -> Served {
    build("remote::ollama", json!({ "url": upstream.url() }), &[]).await.unwrap()
}

#[tokio::test]
async fn chats_go_to_the_openai_compatible_api() {
    let upstream = FakeUpstream::start(script).await;
    for end in ["", "/", "/v1", "/v1/"] {
        let config = json!({ "url": format!("{}{end}", upstream.url()) });
        let provider = build("remote::ollama", config, &[]).await.unwrap();
        provider.chat(&Context::default(), hello("llama3.2:3b")).await.unwrap();
    }
    for seen in upstream.requests() {
        assert_eq!(seen.path, "/v1/chat/completions");
        assert_eq!(seen.header("authorization"), "");
        let messages = json!([{ "role": "user", "content": "hello" }]);
        assert_eq!(seen.json(), json!({ "model": "llama3.2:3b", "messages": messages }));
    }
}

#[tokio::test]
async fn vectors_are_written_as_the_request_says() {
    let upstream = FakeUpstream::start(script).await;
    let provider = ollama(&upstream).await;
    for (format, expected) in [("float", json!([1.0, -2.5])), ("base64", json!("AACAPwAAIMA="))] {
        let body = json!({ "model": "all-minilm", "input": "a", "encoding_format": format });
        let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
        let answer = provider.embeddings(&Context::default(), request).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.into_bytes()).unwrap();
        assert_eq!(answer["data"][0]["embedding"], expected, "{format}");
    }
    let sent = json!({ "model": "all-minilm", "input": "a" });
    assert!(upstream.requests().iter().all(|seen| seen.json() == sent));
}

#[tokio::test]
async fn a_model_must_have_been_pulled_to_be_registered() {
    let upstream = FakeUpstream::start(script).await;
    let provider = ollama(&upstream).await;
    let register = async |id: &str| {
        let registered = provider.on_register(llm(id)).await;
        registered.map(|model| model.provider_resource_id)
    };
    for (given, registered) in [
        ("llama3.2:3b", "llama3.2:3b"),
        ("Llama3.2-3B-Instruct", "llama3.2:3b"),
        ("all-minilm", "all-minilm"),
        ("all-minilm:latest", "all-minilm:latest"),
    ] {
        assert_eq!(register(given).await.unwrap(), registered);
    }
    let error = register("meta-llama/Llama-3.2-3B-Instruct").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(
        error.message,
        "Model 'llama3.2:3b-instruct-fp16' is not available in Ollama. \
         Available models: llama3.2:3b, all-minilm:latest"
    );
    assert!(upstream.requests().iter().all(|seen| seen.path == "/api/tags"));
}

#[tokio::test]
async fn an_embedding_model_is_pulled_by_its_registration() {
    let pulled = Arc::new(AtomicBool::new(false));
    let upstream = FakeUpstream::start(move |seen| match seen.path.as_str() {
        "/api/tags" if pulled.load(Ordering::SeqCst) => json_text(TAGS),
        "/api/tags" => Answer::json(json!({ "models": [] })),
        "/api/pull" if seen.json()["model"] == "all-minilm:latest" => {
            pulled.store(true, Ordering::SeqCst);
            Answer::json(json!({ "status": "success" }))
        }
        _ => Answer::json(json!({ "error": "pull model manifest: file does not exist" })),
    })
    .await;
    let provider = ollama(&upstream).await;
    let register = async |id: &str| {
        let metadata = json!({ "embedding_dimension": 384 });
        provider.on_register(model(id, ModelType::Embedding, metadata)).await
    };
    let error = register("no-such-model").await.unwrap_err();
    assert_eq!(error.message, "pull model manifest: file does not exist");
    register("all-minilm:latest").await.unwrap();
    let pull = upstream.requests().into_iter().rfind(|seen| seen.path == "/api/pull").unwrap();
    assert_eq!(pull.json(), json!({ "model": "all-minilm:latest", "stream": false }));
}

#[tokio::test]
async fn the_models_that_were_pulled_are_offered_with_their_facts() {
    let upstream = FakeUpstream::start(script).await;
    let provider = ollama(&upstream).await;
    for _ in 0..2 {
        let offered = provider.offered().await.unwrap().unwrap();
        let found: Vec<_> = offered
            .iter()
            .map(|model| {
                let metadata = Value::Object(model.metadata.clone());
                (model.identifier.as_str(), model.model_type, metadata)
            })
            .collect();
        let vectors = json!({ "context_length": 512, "embedding_dimension": 384 });
        assert_eq!(
            found,
            [
                ("llama3.2:3b", ModelType::Llm, json!({ "context_length": 131_072 })),
                ("all-minilm:latest", ModelType::Embedding, vectors),
            ]
        );
    }
    let asked = upstream.requests().iter().filter(|seen| seen.path == "/api/show").count();
    assert_eq!(asked, 2, "each model is asked about once");
}

#[tokio::test]
async fn older_servers_and_models_that_vanish_do_not_hide_the_others() {
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/api/tags" => json_text(TAGS),
        "/api/show" if seen.json()["model"] == "all-minilm:latest" => Answer::json(json!({
            "model_info": { "bert.embedding_length": 384, "bert.pooling_type": 1 },
        })),
        _ => Answer::json(json!({ "error": "model not found" })).status(404),
    })
    .await;
    let offered = ollama(&upstream).await.offered().await.unwrap().unwrap();
    let types: Vec<_> = offered.iter().map(|model| model.model_type).collect();
    assert_eq!(types, [ModelType::Llm, ModelType::Embedding]);
}

#[tokio::test]
async fn ollama_is_asked_whether_it_is_there() {
    let upstream = FakeUpstream::start(script).await;
    ollama(&upstream).await.check().await.unwrap();
    assert_eq!(upstream.only_request().path, "/api/ps");

    let broken = FakeUpstream::answering(Answer::text("<html>")).await;
    let error = ollama(&broken).await.check().await.unwrap_err();
    assert_eq!(error.message, "Ollama sent an answer that cannot be understood");
}

#[tokio::test]
async fn errors_of_ollama_keep_their_message() {
    let upstream = FakeUpstream::answering(
        Answer::json(json!({ "error": "model \"x\" not found, try pulling it first" })).status(404),
    )
    .await;
    let error = ollama(&upstream).await.chat(&Context::default(), hello("x")).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(404) });
    assert_eq!(error.message, "model \"x\" not found, try pulling it first");
}
