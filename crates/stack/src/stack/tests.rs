use super::{Served, Stack, open_store};
use crate::{
    config::{RunConfig, StorageConfig},
    testing::{config, deps, entry, eventually, script, start, start_on},
};
use chaski_api::{
    Api, ErrorKind, Wire,
    inspect::HealthStatus,
    models::Model,
    openai::{ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{Context, ProviderData, Reply};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use std::sync::{Arc, atomic::Ordering};

fn context() -> Context {
    let data = json!({ "fake_api_key": "mine", "other_api_key": "not yours" });
    let Value::Object(data) = data else { return Context::default() };
    Context { provider_data: ProviderData::new(data), ..Context::default() }
}

fn chat(model: &str) -> ChatRequest {
    ChatRequest::new(model, vec![json!({ "role": "user", "content": "hi" })])
}

fn health(stack: &Stack, id: &str) -> (HealthStatus, Option<String>) {
    let provider = stack.providers().into_iter().find(|one| one.provider_id == id).unwrap();
    (provider.health.status, provider.health.message)
}

async fn up(stack: &Stack, id: &str) {
    eventually("the provider is up", || health(stack, id).0 == HealthStatus::Ok).await;
}

fn message<T>(result: chaski_api::Result<T>) -> String {
    result.err().map(|error| error.message).unwrap_or_default()
}

#[tokio::test]
async fn a_chat_goes_to_the_provider_of_its_model_under_the_providers_name() {
    let script = script("fake://chat");
    let stack = start(config(
        json!([entry("v", "fake://chat")]),
        json!([{ "model_id": "mine", "provider_model_id": "theirs" }]),
    ))
    .await;
    let mut request = chat("mine");
    request.body.insert("unknown_field".to_owned(), json!({ "kept": true }));
    let Reply::Stream(events) = stack.inference.chat(&context(), request).await.unwrap() else {
        panic!("the fake streams");
    };
    let events: Vec<bool> = events.map(|event| event.is_ok()).collect().await;
    assert_eq!(events, [true, false], "nothing follows the first error");

    let bodies = script.bodies.lock().unwrap();
    assert_eq!(bodies[0]["model"], "theirs");
    assert_eq!(bodies[0]["unknown_field"], json!({ "kept": true }));
    let keys = script.keys.lock().unwrap();
    assert_eq!(keys[0], (Some("mine".to_owned()), None), "only declared keys reach the provider");
}

#[tokio::test]
async fn a_model_is_asked_only_for_what_it_does() {
    let stack = start(config(
        json!([entry("v", "fake://kinds")]),
        json!([
            { "model_id": "talks" },
            { "model_id": "embeds", "model_type": "embedding", "metadata": { "embedding_dimension": 3 } },
        ]),
    ))
    .await;
    let cx = context();
    let embed =
        |model: &str| EmbeddingRequest::from_json(json!({ "model": model, "input": "x" })).unwrap();
    let complete = |model: &str| {
        TextCompletionRequest::from_json(json!({ "model": model, "prompt": "x" })).unwrap()
    };
    assert!(stack.inference.embeddings(&cx, embed("embeds")).await.is_ok());
    assert!(stack.inference.completion(&cx, complete("talks")).await.is_ok());
    assert_eq!(
        message(stack.inference.embeddings(&cx, embed("talks")).await),
        "Model 'talks' is an LLM model and does not support embeddings"
    );
    let text = "Model 'embeds' is an embedding model and does not support chat completions";
    assert_eq!(message(stack.inference.chat(&cx, chat("embeds")).await), text);
    assert_eq!(message(stack.inference.completion(&cx, complete("embeds")).await), text);

    let error = stack.inference.chat(&cx, chat("nope")).await.err().unwrap();
    assert_eq!(error.message, "Model 'nope' not found");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.code.as_deref(), Some("model_not_found"));
}

#[tokio::test]
async fn a_provider_that_cannot_be_built_does_not_stop_the_others() {
    let broken = script("fake://unbuilt");
    broken.build.fails("the model file is missing");
    let stack = start(config(
        json!([entry("broken", "fake://unbuilt"), entry("works", "fake://works")]),
        json!([{ "model_id": "a", "provider_id": "broken" }, { "model_id": "b", "provider_id": "works" }]),
    ))
    .await;
    assert!(stack.inference.chat(&context(), chat("b")).await.is_ok());
    assert_eq!(stack.models.list().len(), 2);

    let expected = (HealthStatus::Degraded, Some("the model file is missing".to_owned()));
    assert_eq!(health(&stack, "broken"), expected);
    let error = stack.inference.chat(&context(), chat("a")).await.err().unwrap();
    assert_eq!(error.message, "provider `broken` is not available: the model file is missing");
    assert!(matches!(error.kind, ErrorKind::Unavailable { retry_after: Some(_) }));

    broken.build.works();
    up(&stack, "broken").await;
    assert!(stack.inference.chat(&context(), chat("a")).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_comes_back_by_itself() {
    let script = script("fake://unreachable");
    script.check.fails("connection refused");
    let stack =
        start(config(json!([entry("v", "fake://unreachable")]), json!([{ "model_id": "a" }])))
            .await;
    eventually("the check has failed", || health(&stack, "v").0 == HealthStatus::Degraded).await;
    let error = stack.inference.chat(&context(), chat("a")).await.err().unwrap();
    assert_eq!(error.message, "provider `v` is not available: connection refused");
    assert!(script.registered.lock().unwrap().is_empty(), "it is not asked while it is down");

    script.check.works();
    up(&stack, "v").await;
    assert!(stack.inference.chat(&context(), chat("a")).await.is_ok());
    assert_eq!(*script.registered.lock().unwrap(), ["a"], "it learns its models when it is up");
}

#[tokio::test]
async fn start_does_not_wait_for_a_check() {
    let script = script("fake://slow");
    script.check.hangs();
    let stack = tokio::time::timeout(
        std::time::Duration::from_secs(5),
        start(config(json!([entry("v", "fake://slow")]), json!([{ "model_id": "a" }]))),
    )
    .await
    .unwrap();
    assert_eq!(health(&stack, "v"), (HealthStatus::Starting, None));
    assert!(stack.inference.chat(&context(), chat("a")).await.is_ok());
    stack.shutdown().await;
}

#[tokio::test]
async fn a_provider_completes_the_models_declared_for_it() {
    let script = script("fake://completes");
    *script.prefix.lock().unwrap() = "hub/".to_owned();
    let stack =
        start(config(json!([entry("v", "fake://completes")]), json!([{ "model_id": "a" }]))).await;
    up(&stack, "v").await;
    assert_eq!(stack.models.list()[0].provider_resource_id, "hub/a");
}

#[tokio::test]
async fn a_declared_model_that_its_provider_refuses_stays_listed() {
    let script = script("fake://refuses");
    script.register.fails("no such model");
    let stack =
        start(config(json!([entry("v", "fake://refuses")]), json!([{ "model_id": "a" }]))).await;
    up(&stack, "v").await;
    assert_eq!(stack.models.list().len(), 1);
}

#[tokio::test]
async fn types_that_this_build_lacks_are_shown_and_answer_why() {
    let stack = start(config(
        json!([
            { "provider_id": "tgi0", "provider_type": "remote::tgi",
              "config": { "url": "http://u:pw@h", "api_token": "t" } },
            { "provider_id": "", "provider_type": "remote::vllm", "config": {} },
        ]),
        json!([{ "model_id": "a" }]),
    ))
    .await;
    let shown = stack.providers();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0].health.status, HealthStatus::Unavailable);
    assert_eq!(
        Value::Object(shown[0].config.clone()),
        json!({ "url": "http://u:********@h", "api_token": "********" })
    );
    assert_eq!(
        (shown[1].provider_id.as_str(), shown[1].health.status),
        ("", HealthStatus::Disabled)
    );
    assert_eq!(stack.provider_types(Api::Inference), ["remote::tgi", "remote::vllm"]);
    assert_eq!(stack.provider_types(Api::Models), Vec::<String>::new());

    let error = stack.inference.chat(&context(), chat("a")).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("`remote::tgi`"), "{}", error.message);
    assert_eq!(
        stack.served(Api::Inference),
        Served::Unavailable(
            "no provider for `inference` is available: this build does not contain `remote::tgi` yet"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn what_is_served_follows_the_configuration() {
    let read = |value: Value| RunConfig::from_json(value).unwrap();
    let empty = start(read(json!({ "image_name": "t", "providers": {} }))).await;
    assert_eq!(empty.served(Api::Models), Served::Yes);
    assert_eq!(empty.served(Api::Inference), Served::Yes);
    assert_eq!(empty.served(Api::Inspect), Served::Yes);
    assert!(matches!(empty.served(Api::Shields), Served::Unavailable(_)));
    assert_eq!(empty.models.list(), []);

    let narrow = start(read(json!({
        "image_name": "t", "apis": ["telemetry"],
        "providers": { "telemetry": [
            { "provider_id": "m", "provider_type": "inline::meta-reference", "config": {} },
        ] },
    })))
    .await;
    assert_eq!(narrow.served(Api::Models), Served::NotServed);
    assert_eq!(narrow.served(Api::Inference), Served::NotServed);
    assert_eq!(narrow.served(Api::Providers), Served::Yes);
    assert!(matches!(narrow.served(Api::Telemetry), Served::Unavailable(_)));
}

#[tokio::test]
async fn a_configuration_that_cannot_run_is_refused() {
    let config =
        config(json!([{ "provider_id": "a", "provider_type": "x", "config": {} }]), json!([]));
    let options = super::StackOptions {
        config,
        raw: Value::Null,
        catalog: crate::testing::catalog(),
        deps: deps(),
        store: Arc::new(chaski_store::Memory::default()),
        data: crate::testing::data(),
    };
    let error = Stack::start(options).await.err().unwrap();
    assert_eq!(error.issues.len(), 1);
}

#[tokio::test]
async fn shutdown_stops_every_provider() {
    let script = script("fake://stops");
    let stack =
        start(config(json!([entry("a", "fake://stops"), entry("b", "fake://stops")]), json!([])))
            .await;
    stack.shutdown().await;
    assert_eq!(script.stopped.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_registry_survives_a_restart_and_is_found_below_the_configuration_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(json!([entry("v", "fake://restart")]), json!([{ "model_id": "a" }]));
    for round in 0..2 {
        let store = open_store(&config, folder.path()).unwrap();
        let stack = start_on(config.clone(), store).await;
        assert_eq!(stack.models.list().len(), 1 + round);
        let model = Model { identifier: "b".to_owned(), ..stack.models.list()[0].clone() };
        stack.models.register(model).await.unwrap();
        stack.shutdown().await;
    }
    assert!(folder.path().join("distributions/t/kvstore.db").is_file());
}

#[test]
fn stores_that_this_build_lacks_are_refused_with_the_remedy() {
    let mut config = config(json!([]), json!([]));
    for kind in ["redis", "mongodb", "postgres"] {
        let store = StorageConfig::from_json(json!({ "type": kind, "user": "u" })).unwrap();
        config.metadata_store = Some(store);
        let error = open_store(&config, "/nowhere".as_ref()).err().unwrap();
        assert!(error.message.contains(kind) && error.message.contains("sqlite"), "{error}");
    }
    let memory = json!({ "type": "sqlite", "db_path": ":memory:" });
    config.metadata_store = Some(StorageConfig::from_json(memory).unwrap());
    assert!(open_store(&config, "/nowhere".as_ref()).is_ok());
}

#[tokio::test]
async fn discovered_models_are_used_like_declared_ones() {
    let script = script("fake://offers");
    let model = Model::from_json(json!({
        "identifier": "offered", "provider_resource_id": "offered", "provider_id": "",
        "metadata": Map::new(),
    }))
    .unwrap();
    *script.offered.lock().unwrap() = Some(vec![model]);
    let stack = start(config(json!([entry("v", "fake://offers")]), json!([]))).await;
    eventually("the offer is listed", || !stack.models.list().is_empty()).await;
    assert!(stack.inference.chat(&context(), chat("offered")).await.is_ok());
}
