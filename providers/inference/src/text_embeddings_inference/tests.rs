use crate::tests::{Served, build, hello, model};
use chaski_api::{
    ErrorKind,
    models::ModelType,
    openai::{EmbeddingRequest, RerankRequest},
};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};

const MODEL: &str = "BAAI/bge-small-en-v1.5";

async fn server() -> FakeUpstream {
    FakeUpstream::start(|seen| {
        let json = |text: &'static str| Answer::new("application/json", text);
        match seen.path.as_str() {
            "/info" => json(include_str!("fixtures/info.json")),
            "/v1/embeddings" => json(include_str!("fixtures/embeddings.json")),
            "/health" => Answer::text(""),
            _ => Answer::text("no such page").status(404),
        }
    })
    .await
}

async fn provider(server: &FakeUpstream) -> Served {
    let config = json!({ "url": format!("{}/", server.url()), "api_key": "tei-key" });
    build("remote::text-embeddings-inference", config, &[]).await.unwrap()
}

fn request() -> EmbeddingRequest {
    let body = json!({ "model": MODEL, "input": ["a"], "encoding_format": "float" });
    EmbeddingRequest { body: body.as_object().unwrap().clone().into() }
}

#[tokio::test]
async fn texts_become_vectors() {
    let server = server().await;
    let answer = provider(&server).await.embeddings(&Context::default(), request()).await;
    let list = answer.unwrap().into_value().unwrap();
    assert_eq!(list.data[0].embedding, json!([0.5, -0.25, 0.125]));
    assert_eq!(list.usage.unwrap().prompt_tokens, 3);
    let seen = server.only_request();
    assert_eq!(
        (seen.path.as_str(), seen.header("authorization")),
        ("/v1/embeddings", "Bearer tei-key")
    );
    assert_eq!(seen.json(), Value::from(request().body));
}

#[tokio::test]
async fn the_length_of_the_vectors_is_found_out() {
    let server = server().await;
    let provider = provider(&server).await;
    let offered = provider.offered().await.unwrap().unwrap();
    let metadata = json!({ "embedding_dimension": 3, "context_length": 512 });
    assert_eq!(Value::Object(offered[0].metadata.clone()), metadata);
    assert_eq!(
        (offered[0].identifier.as_str(), offered[0].model_type),
        (MODEL, ModelType::Embedding)
    );
    let bare = model(MODEL, ModelType::Embedding, json!({}));
    assert_eq!(provider.on_register(bare).await.unwrap().embedding_dimension(), Some(3));
    let stated = model(MODEL, ModelType::Embedding, json!({ "embedding_dimension": 2 }));
    assert_eq!(provider.on_register(stated).await.unwrap().embedding_dimension(), Some(2));
    provider.check().await.unwrap();
}

#[tokio::test]
async fn other_models_and_other_kinds_are_refused() {
    let server = server().await;
    let provider = provider(&server).await;
    let error = provider.on_register(model("other", ModelType::Embedding, json!({}))).await;
    assert_eq!(
        error.unwrap_err().message,
        "Model other is not being served by Text Embeddings Inference. \
         Available models: BAAI/bge-small-en-v1.5"
    );
    let error = provider.on_register(model(MODEL, ModelType::Llm, json!({}))).await.unwrap_err();
    assert!(
        error.message.ends_with("serves models of the types `embedding` and `rerank` only"),
        "{error}"
    );
    let error = provider.chat(&Context::default(), hello(MODEL)).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(error.message, "Text Embeddings Inference does not support chat completions");
}

#[tokio::test]
async fn a_server_with_a_rerank_model_scores_documents() {
    let id = "BAAI/bge-reranker-base";
    let server = FakeUpstream::start(move |seen| match seen.path.as_str() {
        "/info" => Answer::json(json!({
            "model_id": id, "max_input_length": 512,
            "model_type": { "reranker": { "id2label": { "0": "LABEL_0" } } },
        })),
        "/rerank" => {
            Answer::json(json!([{ "index": 1, "score": 0.9 }, { "index": 0, "score": 0.1 }]))
        }
        _ => Answer::text("no such page").status(404),
    })
    .await;
    let provider = provider(&server).await;
    let offered = provider.offered().await.unwrap().unwrap();
    assert_eq!((offered[0].identifier.as_str(), offered[0].model_type), (id, ModelType::Rerank));
    assert_eq!(offered[0].metadata.get("context_length"), Some(&json!(512)));
    let ranks = model(id, ModelType::Rerank, json!({}));
    assert_eq!(provider.on_register(ranks.clone()).await.unwrap(), ranks);
    let embeds = model(id, ModelType::Embedding, json!({ "embedding_dimension": 3 }));
    let error = provider.on_register(embeds).await.unwrap_err();
    assert!(error.message.contains("of the type `rerank`; register it so"), "{error}");

    let body = json!({ "model": id, "query": "q", "documents": ["a", "b"], "top_n": 1 });
    let request = RerankRequest { body: body.as_object().unwrap().clone().into() };
    let list = provider.rerank(&Context::default(), request).await.unwrap().into_value().unwrap();
    assert_eq!((list.results[0].index, list.results[0].relevance_score), (1, 0.9));
    let seen = server.requests().pop().unwrap();
    assert_eq!(seen.header("authorization"), "Bearer tei-key");
    assert_eq!(
        seen.json(),
        json!({ "model": id, "query": "q", "texts": ["a", "b"], "truncate": true, "return_text": false })
    );
}

#[tokio::test]
async fn a_text_that_is_too_long_is_reported() {
    let answer = Answer::new("application/json", include_str!("fixtures/error.json")).status(413);
    let server = FakeUpstream::answering(answer).await;
    let error = provider(&server).await.embeddings(&Context::default(), request()).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(413) });
    assert_eq!(
        error.message,
        "Input validation error: `inputs` must have less than 512 tokens. Given: 700"
    );
}
