//! The entries of the reference with the tiny model under the name of a Llama model.

use super::MetaReference;
use crate::{
    inline_vllm::InlineVllm,
    local::tests::{deps, weights_dir},
    meta_reference_quantized::{MetaReferenceQuantized, MetaReferenceQuantizedConfig},
    tests::llm as model,
};
use chaski_api::{
    ErrorKind, Wire,
    inspect::HealthStatus,
    models::{Model, ModelType},
    openai::ChatRequest,
};
use chaski_provider::{Context, Deps, InferenceProvider, Provider, ProviderConfig, Reply};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;

const TINY: &str = "smollm2-135m-instruct";

/// A folder in which the tiny model has this name.
fn folder(file: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tiny = weights_dir(TINY).join(format!("{TINY}.gguf"));
    std::os::unix::fs::symlink(tiny, folder.path().join(file)).unwrap();
    folder
}

async fn start<P: Provider<Api = dyn InferenceProvider>>(
    config: Value,
    deps: Deps,
) -> Arc<dyn InferenceProvider> {
    P::build(P::Config::from_json(config).unwrap(), deps).await.unwrap()
}

async fn answer(provider: &Arc<dyn InferenceProvider>, model: &str, max_tokens: Value) -> Value {
    let mut request = ChatRequest::new(model, vec![json!({ "role": "user", "content": "hi" })]);
    request.body.insert("max_tokens".to_owned(), max_tokens);
    request.body.insert("temperature".to_owned(), 1.5.into());
    match provider.chat(&Context::default(), request).await.unwrap() {
        Reply::Full(payload) => serde_json::to_value(payload.into_value().unwrap()).unwrap(),
        Reply::Stream(_) => panic!("no stream was asked for"),
    }
}

#[tokio::test]
async fn both_names_of_a_llama_model_mean_its_file_and_the_notice_is_shown() {
    let folder = folder("Llama-3.2-1B-Instruct-Q4_K_M.gguf");
    let config = json!({ "model": "Llama3.2-1B-Instruct", "torch_seed": 7, "max_seq_len": "512" });
    let provider = start::<MetaReference>(config, deps(folder.path().to_owned())).await;
    provider.check().await.unwrap();
    let mut texts = Vec::new();
    for name in ["meta-llama/Llama-3.2-1B-Instruct", "Llama3.2-1B-Instruct"] {
        assert_eq!(provider.on_register(model(name)).await.unwrap().provider_resource_id, name);
        let answer = answer(&provider, name, 8.into()).await;
        assert_eq!(answer["model"], name);
        texts.push(answer["choices"][0]["message"]["content"].clone());
    }
    assert_eq!(texts[0], texts[1], "the seed of the configuration counts");
    let health = provider.health();
    assert_eq!(health.status, HealthStatus::Ok);
    assert!(health.message.unwrap().contains("in place of PyTorch or vLLM"));
}

#[tokio::test]
async fn an_absent_file_is_named_with_the_command_that_fetches_one() {
    let empty = tempfile::tempdir().unwrap();
    let config = json!({ "model": "Llama3.2-3B-Instruct" });
    let provider = start::<MetaReference>(config, deps(empty.path().to_owned())).await;
    let error = provider.check().await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unavailable { .. }));
    assert!(error.message.contains("put `Llama3.2-3B-Instruct.gguf` there"), "{error}");
    assert!(error.message.contains("`chaski model pull hf://"), "{error}");
    let error = provider.on_register(model("meta-llama/Llama-3.1-8B")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("`Llama-3.1-8B.gguf`"), "{error}");
    let file = json!({ "checkpoint_dir": "/nowhere/a.gguf", "quantization": { "type": "int4" } });
    let provider = start::<MetaReferenceQuantized>(file, deps(empty.path().to_owned())).await;
    let error = provider.on_register(model("Llama3.1-8B")).await.unwrap_err();
    assert!(error.message.contains("no file `/nowhere/a.gguf`"), "{error}");
}

#[tokio::test]
async fn a_checkpoint_may_be_a_file_or_a_folder() {
    let folder = folder("weights.gguf");
    let named = |path: &Path| json!({ "checkpoint_dir": path.to_str().unwrap() });
    let config = named(&folder.path().join("weights.gguf"));
    let provider = start::<MetaReference>(config, deps("/nowhere".into())).await;
    assert!(provider.on_register(model("Llama3.1-8B")).await.is_ok());
    let provider = start::<MetaReference>(named(folder.path()), deps("/nowhere".into())).await;
    assert!(provider.on_register(model("Llama3.1-8B")).await.is_err());
    assert!(provider.on_register(model("weights")).await.is_ok());
    let embedding = Model { model_type: ModelType::Embedding, ..model("weights") };
    assert!(provider.on_register(embedding).await.is_err());
}

#[tokio::test]
async fn the_limit_of_vllm_counts_for_requests_without_one() {
    let folder = folder("tiny.gguf");
    let config = json!({ "max_tokens": "3", "max_model_len": 256, "enforce_eager": "False" });
    let provider = start::<InlineVllm>(config, deps(folder.path().to_owned())).await;
    let cut = answer(&provider, "tiny", Value::Null).await;
    assert_eq!(cut["usage"]["completion_tokens"], 3);
    assert_eq!(answer(&provider, "tiny", 5.into()).await["usage"]["completion_tokens"], 5);
}

#[test]
fn a_kind_of_numbers_that_the_reference_does_not_know_is_refused() {
    let read = |kind: &str| {
        MetaReferenceQuantizedConfig::from_json(json!({ "quantization": { "type": kind } }))
    };
    assert!(read("fp8").is_ok());
    assert!(read("int3").is_err());
    let sample = MetaReferenceQuantizedConfig::sample("/d");
    assert!(MetaReferenceQuantizedConfig::from_json(sample).is_ok());
}
