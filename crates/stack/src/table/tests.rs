use crate::{
    config::SafetyConfig,
    testing::{config, entry, eventually, script, start, start_on},
};
use chaski_api::{ErrorKind, Wire, endpoints::models::RegisterModelRequest, models::Model};
use chaski_store::{KvStore, Memory};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

fn request(value: Value) -> RegisterModelRequest {
    RegisterModelRequest::from_json(value).unwrap()
}

fn offer(id: &str) -> Model {
    Model::from_json(json!({
        "identifier": id, "provider_resource_id": id, "provider_id": "", "metadata": {},
    }))
    .unwrap()
}

fn ids(models: &[Model]) -> Vec<&str> {
    models.iter().map(|model| model.identifier.as_str()).collect()
}

fn message<T>(result: chaski_api::Result<T>) -> String {
    result.err().map(|error| error.message).unwrap_or_default()
}

const RECORD: &str = "distributions:registry:v8::model:foo";

#[tokio::test]
async fn a_record_has_the_bytes_of_the_reference() {
    let store = Arc::new(Memory::default());
    let config = config(json!([entry("vllm", "fake://bytes")]), json!([{ "model_id": "foo" }]));
    start_on(config, Arc::clone(&store) as Arc<dyn KvStore>).await;
    assert_eq!(
        store.get(RECORD).await.unwrap().as_deref(),
        Some(
            r#"{"identifier":"foo","provider_resource_id":"foo","provider_id":"vllm","type":"model","metadata":{},"model_type":"llm"}"#
        )
    );
}

#[tokio::test]
async fn registering_answers_what_is_stored() {
    let script = script("fake://stored");
    *script.prefix.lock().unwrap() = "p/".to_owned();
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let stack =
        start_on(config(json!([entry("vllm", "fake://stored")]), json!([])), Arc::clone(&store))
            .await;

    let first = stack
        .models
        .register_model(request(
            json!({ "model_id": "bar", "provider_model_id": "foo", "metadata": { "a": 1 } }),
        ))
        .await
        .unwrap();
    assert_eq!(
        serde_json::to_value(&first).unwrap(),
        json!({
            "identifier": "bar", "provider_resource_id": "p/foo", "provider_id": "vllm", "type": "model",
            "metadata": { "a": 1 }, "model_type": "llm",
        })
    );
    let again = request(json!({ "model_id": "bar", "metadata": { "a": 2 } }));
    let second = stack.models.register_model(again).await.unwrap();
    assert_eq!(second.metadata["a"], 2);
    assert_eq!(stack.models.get("bar").await.unwrap(), second);
    let stored = store.get("distributions:registry:v8::model:bar").await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Model>(&stored).unwrap(), second);
}

#[tokio::test]
async fn what_models_with_shields_may_rely_on_is_changed_in_the_configuration_only() {
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let plain = || {
        let models = json!([{ "model_id": "foo", "metadata": { "a": 1 } }]);
        config(json!([entry("vllm", "fake://fixed")]), models)
    };
    let worse = json!({ "model_id": "foo", "provider_model_id": "worse" });
    let stack = start_on(plain(), Arc::clone(&store)).await;
    stack.models.register_model(request(worse.clone())).await.unwrap();
    assert_eq!(stack.models.get("foo").await.unwrap().provider_resource_id, "worse");

    let mut guarded = plain();
    guarded.safety = Some(SafetyConfig::from_json(json!({ "shields": {} })).unwrap());
    let stack = start_on(guarded, store).await;
    let declared = stack.models.get("foo").await.unwrap();
    assert_eq!(declared.provider_resource_id, "foo", "the configuration counts again");
    for change in [worse, json!({ "model_id": "foo", "metadata": { "a": 2 } })] {
        let error = stack.models.register_model(request(change)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(error.message.contains("Model 'foo' is declared in the configuration"), "{error}");
    }
    assert_eq!(stack.models.unregister("foo").await.unwrap_err().kind, ErrorKind::Conflict);
    let same = json!({ "model_id": "foo", "metadata": { "a": 1 } });
    assert_eq!(stack.models.register_model(request(same)).await.unwrap(), declared);
    stack.models.register_model(request(json!({ "model_id": "bar" }))).await.unwrap();
    stack.models.unregister("bar").await.unwrap();
    assert_eq!(stack.models.list(), [declared]);
}

#[tokio::test]
async fn no_request_takes_the_name_of_an_offer_that_shields_may_rely_on() {
    let script = script("fake://guards");
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let plain = || config(json!([entry("a", "fake://guards")]), json!([]));
    let worse = json!({ "model_id": "guard", "provider_model_id": "worse" });
    let stack = start_on(plain(), Arc::clone(&store)).await;
    stack.models.register_model(request(worse.clone())).await.unwrap();

    *script.offered.lock().unwrap() = Some(vec![offer("guard")]);
    let mut guarded = plain();
    guarded.safety = Some(SafetyConfig::from_json(json!({ "shields": {} })).unwrap());
    let stack = start_on(guarded, store).await;
    let leads_to = || stack.models.list().first().map(|model| model.provider_resource_id.clone());
    eventually("the offer counts", || leads_to().as_deref() == Some("guard")).await;
    let below = json!({ "model_id": "a/guard", "provider_model_id": "worse" });
    for taken in [worse, below] {
        let error = stack.models.register_model(request(taken)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(error.message.contains("is offered by provider `a`"), "{error}");
    }
    stack.models.register_model(request(json!({ "model_id": "other" }))).await.unwrap();
    assert_eq!(ids(&stack.models.list()), ["other", "guard"]);
    // What is left of the older record can be removed.
    stack.models.unregister("guard").await.unwrap();
    assert!(message(stack.models.unregister("guard").await).contains("offered by provider `a`"));
}

#[tokio::test]
async fn no_request_gives_a_shielded_model_a_name_without_shields() {
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let with = |model: Value, others: Value| {
        let mut config = config(json!([entry("a", "fake://names")]), json!([model]));
        config.safety = Some(SafetyConfig::from_json(others).unwrap());
        config
    };
    let shields = json!({ "input": ["s"] });
    let plain = json!({ "model_id": "m", "provider_model_id": "big" });
    let mut shielded = plain.clone();
    shielded["shields"] = shields.clone();
    let renamed = |id: &str| json!({ "model_id": id, "provider_model_id": "big" });

    let stack = start_on(with(plain.clone(), json!({})), Arc::clone(&store)).await;
    stack.models.register_model(request(renamed("before"))).await.unwrap();

    let stack = start_on(with(shielded.clone(), json!({})), Arc::clone(&store)).await;
    assert_eq!(ids(&stack.models.list()), ["m"], "an older name does not count");
    let error = stack.models.register_model(request(renamed("after"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.message.contains("'after' would lead to where 'm' leads"), "{error}");
    stack.models.register_model(request(json!({ "model_id": "small" }))).await.unwrap();

    let covered = with(shielded, json!({ "shields": shields }));
    let stack = start_on(covered, store).await;
    stack.models.register_model(request(renamed("after"))).await.unwrap();
    assert_eq!(ids(&stack.models.list()), ["m", "before", "small", "after"]);
}

#[tokio::test]
async fn registration_is_refused_in_the_words_of_the_reference() {
    let one = start(config(json!([entry("vllm", "fake://words")]), json!([]))).await;
    let register = |value: Value| one.models.register_model(request(value));
    assert_eq!(
        message(register(json!({ "model_id": "e", "model_type": "embedding" })).await),
        "Embedding model must have an embedding dimension in its metadata"
    );
    let sized = json!({ "model_id": "e", "model_type": "embedding", "metadata": { "embedding_dimension": 8 } });
    assert!(register(sized).await.is_ok());
    let unknown = register(json!({ "model_id": "a", "provider_id": "nope" })).await.err().unwrap();
    assert_eq!(unknown.message, "Provider `nope` not found");
    assert_eq!(unknown.kind, ErrorKind::InvalidRequest);

    let two =
        start(config(json!([entry("a", "fake://words"), entry("b", "fake://words")]), json!([])))
            .await;
    assert_eq!(
        message(two.models.register_model(request(json!({ "model_id": "x" }))).await),
        "No provider specified and multiple providers available. Please specify a provider_id. \
         Available providers: dict_keys(['a', 'b'])"
    );
    let none = start(config(json!([]), json!([]))).await;
    assert!(
        message(none.models.register_model(request(json!({ "model_id": "x" }))).await)
            .ends_with("Available providers: dict_keys([])")
    );
}

#[tokio::test]
async fn a_model_registered_with_another_provider_moves_there() {
    let providers = json!([entry("a", "fake://moves"), entry("b", "fake://moves")]);
    let stack = start(config(providers, json!([{ "model_id": "foo", "provider_id": "a" }]))).await;
    let moved = request(json!({ "model_id": "foo", "provider_id": "b", "metadata": { "q": 1 } }));
    stack.models.register_model(moved).await.unwrap();
    assert_eq!(stack.models.list().len(), 1);
    assert_eq!(stack.models.get("foo").await.unwrap().provider_id, "b");
}

#[tokio::test]
async fn models_are_listed_in_the_order_of_registration() {
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let config = config(
        json!([entry("v", "fake://order")]),
        json!([{ "model_id": "z" }, { "model_id": "m" }]),
    );
    let stack = start_on(config.clone(), Arc::clone(&store)).await;
    for id in ["b", "a", "c"] {
        stack.models.register_model(request(json!({ "model_id": id }))).await.unwrap();
    }
    stack.models.register_model(request(json!({ "model_id": "b" }))).await.unwrap();
    assert_eq!(ids(&stack.models.list()), ["z", "m", "b", "a", "c"]);
    let again = start_on(config, store).await;
    assert_eq!(ids(&again.models.list()), ["z", "m", "b", "a", "c"]);
}

#[tokio::test]
async fn a_removed_model_is_gone() {
    let script = script("fake://removed");
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let stack =
        start_on(config(json!([entry("v", "fake://removed")]), json!([])), Arc::clone(&store))
            .await;
    stack.models.register_model(request(json!({ "model_id": "a/b c" }))).await.unwrap();
    stack.models.unregister("a/b c").await.unwrap();
    assert_eq!(*script.unregistered.lock().unwrap(), ["a/b c"]);
    for result in
        [stack.models.get("a/b c").await.map(drop), stack.models.unregister("a/b c").await]
    {
        let error = result.err().unwrap();
        assert_eq!(error.message, "Model 'a/b c' not found");
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
    assert_eq!(store.range("", "~").await.unwrap(), []);
}

#[tokio::test]
async fn a_changed_configuration_wins_and_an_unchanged_one_leaves_requests_be() {
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let with = |model: Value| config(json!([entry("v", "fake://wins")]), json!([model]));
    let size = |size: i64| json!({ "model_id": "foo", "metadata": { "size": size } });

    start_on(with(size(1)), Arc::clone(&store)).await;
    let stack = start_on(with(size(2)), Arc::clone(&store)).await;
    assert_eq!(stack.models.list()[0].metadata["size"], 2);

    stack.models.register_model(request(size(3))).await.unwrap();
    let stack = start_on(with(size(2)), Arc::clone(&store)).await;
    assert_eq!(stack.models.list()[0].metadata["size"], 3, "the file has not changed since");

    let stack = start_on(with(size(4)), Arc::clone(&store)).await;
    assert_eq!(stack.models.list()[0].metadata["size"], 4);

    stack.models.register_model(request(json!({ "model_id": "by-hand" }))).await.unwrap();
    let stack = start_on(with(json!({ "model_id": "bar" })), Arc::clone(&store)).await;
    assert_eq!(ids(&stack.models.list()), ["by-hand", "bar"], "what the file dropped is gone");
}

#[tokio::test]
async fn a_record_of_the_reference_yields_to_the_configuration_and_is_kept_otherwise() {
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let record = |id: &str| {
        json!({ "identifier": id, "provider_resource_id": id, "provider_id": "v", "type": "model",
                "metadata": { "old": true }, "model_type": "llm" })
        .to_string()
    };
    for id in ["foo", "other"] {
        let key = format!("distributions:registry:v8::model:{id}");
        store.set(&key, &record(id), None).await.unwrap();
    }
    store.set("distributions:registry:v7::model:older", &record("older"), None).await.unwrap();
    store.set("distributions:registry:v8::model:torn", "{\"identifier\":", None).await.unwrap();
    let config = config(json!([entry("v", "fake://theirs")]), json!([{ "model_id": "foo" }]));
    let stack = start_on(config, store).await;
    assert_eq!(ids(&stack.models.list()), ["foo", "other"]);
    assert!(stack.models.get("foo").await.unwrap().metadata.is_empty());
    assert_eq!(stack.models.get("other").await.unwrap().metadata["old"], true);
}

#[tokio::test]
async fn records_of_a_vanished_provider_say_so_and_can_be_removed() {
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let old = config(json!([entry("vllm", "fake://old")]), json!([{ "model_id": "declared" }]));
    let stack = start_on(old, Arc::clone(&store)).await;
    stack.models.register_model(request(json!({ "model_id": "e1" }))).await.unwrap();

    let new = config(json!([entry("vllm9", "fake://new")]), json!([]));
    let stack = start_on(new, store).await;
    assert_eq!(ids(&stack.models.list()), ["declared", "e1"]);
    let error = stack.models.route("e1").await.err().unwrap();
    assert_eq!(
        error.message,
        "Model `e1` belongs to provider `vllm`, which is not configured any more; configure it \
         again, or delete the model"
    );
    stack.models.unregister("e1").await.unwrap();
    assert_eq!(ids(&stack.models.list()), ["declared"]);
}

#[tokio::test]
async fn an_unrouted_id_names_the_providers_in_the_words_of_the_reference() {
    let one = start(config(json!([entry("a", "fake://route")]), json!([]))).await;
    assert_eq!(
        message(one.models.route("nope").await),
        "Model `nope` not served by provider: `a`. Make sure there is an Inference provider serving this model."
    );
    let two =
        start(config(json!([entry("a", "fake://route"), entry("b", "fake://route")]), json!([])))
            .await;
    assert_eq!(
        message(two.models.route("nope").await),
        "Model `nope` not served by any of the providers: a, b. Make sure there is an Inference \
         provider serving this model."
    );
}

#[tokio::test]
async fn offers_of_providers_are_listed_marked_and_never_stored() {
    let script = script("fake://discovery");
    *script.offered.lock().unwrap() = Some(vec![offer("one"), offer("mine"), offer("two")]);
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let providers = json!([entry("a", "fake://discovery"), entry("declares", "fake://discovery")]);
    let models = json!([{ "model_id": "mine", "provider_id": "declares" }]);
    let stack = start_on(config(providers, models), Arc::clone(&store)).await;
    eventually("the offers are listed", || stack.models.list().len() == 4).await;

    let listed = stack.models.list();
    assert_eq!(ids(&listed), ["mine", "one", "a/mine", "two"]);
    assert!(!listed[0].metadata.contains_key("discovered"), "a declared model is as declared");
    assert_eq!((&*listed[1].provider_id, &listed[1].metadata["discovered"]), ("a", &json!(true)));
    assert_eq!(listed[2].provider_resource_id, "mine");
    assert!(store.range("", "~").await.unwrap().iter().all(|(key, _)| key.ends_with(":mine")));

    assert!(message(stack.models.unregister("one").await).contains("offered by provider `a`"));

    *script.offered.lock().unwrap() = Some(vec![offer("two"), offer("three")]);
    assert!(stack.models.get("three").await.is_ok(), "a miss asks again");
    assert_eq!(ids(&stack.models.list()), ["mine", "two", "three"]);
    *script.offered.lock().unwrap() = Some(vec![offer("four")]);
    assert!(stack.models.get("four").await.is_err(), "but not on every miss");
    stack.models.refresh(None).await;
    assert_eq!(ids(&stack.models.list()), ["mine", "four"]);
}

#[tokio::test]
async fn a_registered_model_hides_an_offer_of_the_same_name() {
    let script = script("fake://hides");
    *script.offered.lock().unwrap() = Some(vec![offer("x")]);
    let stack = start(config(json!([entry("a", "fake://hides")]), json!([]))).await;
    eventually("the offer is listed", || stack.models.list().len() == 1).await;
    let named = request(json!({ "model_id": "x", "metadata": { "named": true } }));
    stack.models.register_model(named).await.unwrap();
    let model = stack.models.get("x").await.unwrap();
    assert_eq!(model.metadata, *json!({ "named": true }).as_object().unwrap());
}

#[tokio::test]
async fn a_look_at_the_list_makes_the_next_one_fresh() {
    let script = script("fake://fresh");
    let stack = start(config(json!([entry("a", "fake://fresh")]), json!([]))).await;
    let table = Arc::clone(&stack.models);
    let fresh = tokio::spawn(async move { table.keep_fresh(Duration::from_millis(1)).await });
    for id in ["one", "two", "three"] {
        *script.offered.lock().unwrap() = Some(vec![offer(id)]);
        eventually("the new offer is listed", || ids(&stack.models.list()) == [id]).await;
    }
    fresh.abort();
}
