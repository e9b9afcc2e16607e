//! What holds for every provider of this crate, and helpers for their tests.

pub(crate) mod anthropic_script;
pub(crate) mod contract;
pub(crate) mod openai_script;
pub(crate) mod published;
mod subjects;

use super::ALL;
use chaski_api::{
    Result,
    models::{Model, ModelType},
    openai::ChatRequest,
};
use chaski_provider::{Context, Deps, Environment, InferenceProvider, ProviderData, Tasks};
use chaski_testkit::FakeUpstream;
use chaski_upstream::{Http, HttpOptions};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, sync::Arc};

pub(crate) type Served = Arc<dyn InferenceProvider>;

/// The provider of `provider_type`, built as the stack builds it. Images may be fetched from `from`.
pub(crate) async fn build(
    provider_type: &str,
    config: Value,
    from: &[&FakeUpstream],
) -> Result<Served> {
    let egress_allow = from.iter().map(|server| server.address().to_string().parse().unwrap());
    let options = HttpOptions { egress_allow: egress_allow.collect(), ..HttpOptions::default() };
    let deps = Deps {
        http: Http::new(options).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: chaski_provider::Cpu::new(1),
        documents: chaski_provider::Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: chaski_provider::Routers::default(),
    };
    let entry = ALL.iter().find(|entry| entry.is(provider_type)).unwrap();
    assert_eq!((entry.check)(config.clone()), []);
    (entry.build)(config, deps).await
}

pub(crate) fn model(id: &str, model_type: ModelType, metadata: Value) -> Model {
    let Value::Object(metadata) = metadata else { panic!("metadata is an object") };
    crate::adapter::offered_model(id.to_owned(), id.to_owned(), model_type, metadata)
}

pub(crate) fn llm(id: &str) -> Model {
    model(id, ModelType::Llm, json!({}))
}

pub(crate) fn hello(model: &str) -> ChatRequest {
    ChatRequest::new(model, vec![json!({ "role": "user", "content": "hello" })])
}

/// A caller with these credentials for providers.
pub(crate) fn caller(provider_data: &Value) -> Context {
    let values: Map<String, Value> = provider_data.as_object().unwrap().clone();
    Context {
        request_id: "request-1".into(),
        provider_data: ProviderData::new(values),
        ..Context::default()
    }
}

/// The shortest answer of a chat.
pub(crate) fn answered() -> Value {
    let message = json!({ "role": "assistant", "content": "hi" });
    json!({ "id": "c", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] })
}

#[test]
fn every_folder_is_a_registered_provider() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let mut folders = 0;
    for entry in std::fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // A folder beside a file of the same name holds that module's own parts.
        let is_provider = entry.path().join("mod.rs").exists();
        if !is_provider {
            continue;
        }
        folders += 1;
        assert!(text.contains(&format!("mod {name};")), "`{name}` is not declared in lib.rs");
        let registered = text.contains(&format!("Entry::of::<{name}::"));
        assert!(registered, "`{name}` is not registered in lib.rs");
    }
    assert_eq!(folders, ALL.len(), "one folder per provider");
}

#[test]
fn every_provider_describes_itself() {
    for entry in ALL {
        let name = entry.spec.provider_type;
        assert!(entry.spec.summary.ends_with('.'), "{name}");
        assert!(entry.spec.docs.len() > 100, "{name}");
        assert!(name.starts_with("remote::") || name.starts_with("inline::"), "{name}");
        assert_eq!((entry.check)((entry.sample)("~/.chaski")).len(), texts(entry), "{name}");
    }
}

/// How many problems the placeholders of a sample make: a number is one before it is substituted.
fn texts(entry: &chaski_provider::Entry<dyn InferenceProvider>) -> usize {
    let sample = (entry.sample)("~/.chaski");
    let issues = (entry.check)(sample);
    issues.iter().filter(|issue| issue.kind.ends_with("_parsing")).count()
}

#[test]
fn configurations_with_keys_that_no_longer_mean_anything_load() {
    for entry in ALL {
        let config = json!({ "url": "http://localhost:1", "an_old_key": { "a": [1] } });
        assert_eq!((entry.check)(config), [], "{}", entry.spec.provider_type);
    }
}

#[test]
fn no_two_providers_have_the_same_type() {
    for (index, entry) in ALL.iter().enumerate() {
        let same = ALL[..index].iter().any(|other| other.is(entry.spec.provider_type));
        assert!(!same, "{}", entry.spec.provider_type);
    }
}
