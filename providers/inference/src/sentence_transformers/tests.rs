//! The provider with the model that it is for.

use super::{SentenceTransformers, SentenceTransformersConfig};
use crate::local::tests::{deps, weights_dir};
use base64::{Engine, prelude::BASE64_STANDARD};
use chaski_api::{
    ErrorKind, Wire,
    models::{Model, ModelType},
    openai::{ChatRequest, EmbeddingList, EmbeddingRequest, RerankRequest},
};
use chaski_provider::{Context, InferenceProvider, Provider};
use serde_json::{Value, json};
use std::sync::Arc;

const MINI: &str = "all-minilm-l6-v2";

async fn provider() -> Arc<dyn InferenceProvider> {
    let config = SentenceTransformersConfig::from_json(json!({})).unwrap();
    SentenceTransformers::build(config, deps(weights_dir(MINI))).await.unwrap()
}

async fn embed(body: Value) -> chaski_api::Result<EmbeddingList> {
    let request = EmbeddingRequest { body: body.as_object().unwrap().clone().into() };
    provider().await.embeddings(&Context::default(), request).await?.into_value()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn texts_become_vectors_under_every_name_of_the_model() {
    for model in ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", MINI] {
        let list = embed(json!({ "model": model, "input": ["hello", "world"] })).await.unwrap();
        assert_eq!((list.data.len(), list.data[1].index), (2, 1));
        assert_eq!(list.model, model);
        assert_eq!(list.usage.unwrap().prompt_tokens, 6);
        let vector = numbers(&list.data[0].embedding);
        let norm: f64 = vector.iter().map(|x| x * x).sum();
        assert_eq!(vector.len(), 384);
        assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    }
}

#[tokio::test]
async fn vectors_come_in_base64_and_shortened() {
    let plain = embed(json!({ "model": MINI, "input": "hello" })).await.unwrap();
    let packed = json!({ "model": MINI, "input": "hello", "encoding_format": "base64" });
    let packed = embed(packed).await.unwrap();
    let bytes = BASE64_STANDARD.decode(packed.data[0].embedding.as_str().unwrap()).unwrap();
    let (first, _) = bytes.split_first_chunk::<4>().unwrap();
    let own = numbers(&plain.data[0].embedding);
    assert_eq!(bytes.len(), 384 * 4);
    assert!((f64::from(f32::from_le_bytes(*first)) - own[0]).abs() < 1e-6);
    let short = json!({ "model": MINI, "input": "hello", "dimensions": 8 });
    let short = numbers(&embed(short).await.unwrap().data[0].embedding);
    assert_eq!(short.len(), 8);
    assert!((short.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-4);
    assert!((short[0] / short[1] - own[0] / own[1]).abs() < 1e-3);
}

#[tokio::test]
async fn tokens_are_counted_with_the_vocabulary_of_the_model() {
    let counter = provider().await.token_counter(&Context::default(), MINI).await.unwrap().unwrap();
    let text = "\u{dc}bergangsweise: 3.14";
    let read = embed(json!({ "model": MINI, "input": text })).await.unwrap().usage.unwrap();
    // The model reads two marks beside the text.
    assert_eq!(i64::try_from(counter.count(text)).unwrap() + 2, read.prompt_tokens);
    let error = provider().await.token_counter(&Context::default(), "no-such-model").await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_with_the_field() {
    for (body, param) in [
        (json!({ "model": MINI }), "input"),
        (json!({ "model": MINI, "input": [] }), "input"),
        (json!({ "model": MINI, "input": [[-5]] }), "input"),
        (json!({ "model": MINI, "input": "x", "dimensions": 385 }), "dimensions"),
    ] {
        let error = embed(body.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{body}");
        assert_eq!(error.param.as_deref(), Some(param), "{body}");
    }
}

#[tokio::test]
async fn a_chat_with_an_embedding_model_is_refused() {
    let request = ChatRequest::new(MINI, vec![json!({ "role": "user", "content": "hi" })]);
    let error = provider().await.chat(&Context::default(), request).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.ends_with("does not support chat completions"), "{error}");
}

#[tokio::test]
async fn the_length_of_the_vectors_is_in_the_record() {
    let provider = provider().await;
    let offered: Vec<Model> = provider.offered().await.unwrap().unwrap();
    let mini = offered.into_iter().find(|model| model.identifier == MINI).unwrap();
    assert_eq!(mini.embedding_dimension(), Some(384));
    let bare = Model { metadata: serde_json::Map::new(), ..mini.clone() };
    assert_eq!(provider.on_register(bare).await.unwrap(), mini);
    let wrong = Model { model_type: ModelType::Llm, ..mini };
    assert!(provider.on_register(wrong).await.is_err());
}

/// A folder with a tiny cross-encoder, which goes with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("chaski-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        chaski_llm::gguf::tiny::reranker(&dir.join("tiny.gguf")).unwrap();
        Self(dir)
    }

    async fn provider(&self) -> Arc<dyn InferenceProvider> {
        let config = SentenceTransformersConfig::from_json(json!({})).unwrap();
        SentenceTransformers::build(config, deps(self.0.clone())).await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_cross_encoder_in_the_folder_is_offered_and_scores_documents() {
    let folder = Folder::new("rerank");
    let provider = folder.provider().await;
    let offered = provider.offered().await.unwrap().unwrap();
    let [tiny] = offered.as_slice() else { panic!("one model: {offered:?}") };
    assert_eq!((tiny.identifier.as_str(), tiny.model_type), ("tiny", ModelType::Rerank));
    assert_eq!(provider.on_register(tiny.clone()).await.unwrap(), *tiny);

    let documents = ["a b", "x y z", ""];
    let body = json!({ "model": "tiny", "query": "a b", "documents": documents });
    let request = RerankRequest { body: body.as_object().unwrap().clone().into() };
    let list = provider.rerank(&Context::default(), request).await.unwrap().into_value().unwrap();
    let indexes: Vec<i64> = list.results.iter().map(|result| result.index).collect();
    assert_eq!(indexes, [0, 1, 2]);
    assert!(list.results.iter().all(|result| (0.0..=1.0).contains(&result.relevance_score)));
    assert_eq!(list.usage.unwrap().total_tokens, 7 + 8 + 5);
}

#[tokio::test]
async fn only_cross_encoders_are_registered_to_rank() {
    let mini = Model {
        identifier: MINI.to_owned(),
        provider_resource_id: MINI.to_owned(),
        provider_id: String::new(),
        tag: chaski_api::models::ModelTag::Model,
        metadata: serde_json::Map::new(),
        model_type: ModelType::Rerank,
    };
    let error = provider().await.on_register(mini.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("is not a rerank model"), "{error}");
    let missing = Model { provider_resource_id: "nothing".to_owned(), ..mini };
    let error = provider().await.on_register(missing).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    let body = json!({ "model": MINI, "query": "q", "documents": ["a"] });
    let request = RerankRequest { body: body.as_object().unwrap().clone().into() };
    let error = provider().await.rerank(&Context::default(), request).await.err().unwrap();
    assert!(error.message.contains("is not a rerank model"), "{error}");
}
