//! Models with several targets, over scripted providers.

use crate::{
    Stack,
    testing::{Script, config, entry, eventually, script, start, start_on},
};
use chaski_api::{
    Error, ErrorKind, Result, Wire,
    endpoints::models::RegisterModelRequest,
    openai::{ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{ChatReply, Context, EventStream, Payload, Reply};
use chaski_store::{KvStore, Memory};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn failure(kind: &ErrorKind) -> Error {
    Error::new(kind.clone(), "told to")
}

fn answer() -> ChatReply {
    let usage = json!({ "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 });
    Reply::Full(Payload::Raw(
        json!({ "id": "c", "choices": [], "usage": usage }).to_string().into(),
    ))
}

/// A stream of events, or of failures.
fn events(events: Vec<Result<&'static str>>) -> ChatReply {
    let events = events.into_iter().map(|event| event.map(|text| Payload::Raw(text.into())));
    let events: EventStream<_> = stream::iter(events.collect::<Vec<_>>()).boxed();
    Reply::Stream(events)
}

fn works(script: &Script) {
    script.chats(|request| {
        let reply = if request.stream() { events(vec![Ok("{}"), Ok("{}")]) } else { answer() };
        std::future::ready(Ok(reply)).boxed()
    });
}

fn fails(script: &Script, kind: ErrorKind) {
    script.chats(move |_| std::future::ready(Err(failure(&kind))).boxed());
}

fn hangs(script: &Script) {
    script.chats(|_| std::future::pending().boxed());
}

fn unavailable() -> ErrorKind {
    ErrorKind::Upstream { status: Some(503) }
}

/// A stack with the model `m`, whose targets are providers with these names, and their scripts.
async fn with(name: &str, ids: &[&str], entry_of_model: Value) -> (Arc<Stack>, Vec<Arc<Script>>) {
    let url = |id: &str| format!("fake://routing/{name}/{id}");
    let providers: Vec<Value> = ids.iter().map(|id| entry(id, &url(id))).collect();
    let targets: Vec<Value> = ids
        .iter()
        .map(|id| json!({ "provider_id": id, "provider_model_id": format!("{id}-model") }))
        .collect();
    let mut model = json!({ "model_id": "m", "targets": targets });
    for (key, value) in entry_of_model.as_object().unwrap() {
        model[key] = value.clone();
    }
    let scripts: Vec<Arc<Script>> = ids.iter().map(|id| script(&url(id))).collect();
    for script in &scripts {
        works(script);
    }
    (start(config(providers.into(), json!([model]))).await, scripts)
}

fn chat(stream: bool) -> ChatRequest {
    let mut request = ChatRequest::new("m", vec![json!({ "role": "user", "content": "hi" })]);
    request.body.insert("stream".to_owned(), stream.into());
    request
}

/// Who answered a chat, and after how many attempts; or the failure.
async fn ask(stack: &Stack) -> Result<(String, u32)> {
    let cx = Context::default();
    stack.inference.chat(&cx, chat(false)).await?;
    Ok(answered(&cx))
}

fn answered(cx: &Context) -> (String, u32) {
    let served = cx.trail.served().unwrap();
    (String::from_utf8(served.provider.to_vec()).unwrap(), cx.trail.attempts())
}

/// The events of a chat: whether each is one or a failure.
async fn listen(stack: &Stack, cx: &Context) -> Vec<bool> {
    match stack.inference.chat(cx, chat(true)).await.unwrap() {
        Reply::Stream(events) => events.map(|event| event.is_ok()).collect().await,
        Reply::Full(_) => panic!("a stream was asked for"),
    }
}

fn by(id: &str, attempts: u32) -> (String, u32) {
    (id.to_owned(), attempts)
}

#[tokio::test]
async fn where_one_target_fails_the_next_one_answers() {
    let (stack, scripts) = with("next", &["a", "b", "c"], json!({})).await;
    assert_eq!(ask(&stack).await.unwrap(), by("a", 1));
    for kind in [
        ErrorKind::Upstream { status: None },
        ErrorKind::RateLimited { retry_after: None },
        ErrorKind::Unavailable { retry_after: None },
        ErrorKind::Timeout,
        ErrorKind::Unsupported,
    ] {
        let (stack, scripts) =
            with("each-kind", &["a", "b"], json!({ "cooldown_seconds": 0 })).await;
        fails(&scripts[0], kind.clone());
        assert_eq!(ask(&stack).await.unwrap(), by("b", 2), "{kind:?}");
    }
    fails(&scripts[0], unavailable());
    fails(&scripts[1], unavailable());
    let cx = Context::default();
    stack.inference.chat(&cx, chat(false)).await.unwrap();
    assert_eq!(answered(&cx), by("c", 3));
    assert_eq!(cx.trail.served().unwrap().model, "c-model");
    assert_eq!(scripts[2].bodies.lock().unwrap()[0]["model"], "c-model");
}

#[tokio::test]
async fn mistakes_of_the_caller_are_answered_by_the_first() {
    let (stack, scripts) = with("mistakes", &["a", "b"], json!({})).await;
    for kind in [
        ErrorKind::InvalidRequest,
        ErrorKind::TooLarge,
        ErrorKind::Upstream { status: Some(400) },
        ErrorKind::Upstream { status: Some(422) },
    ] {
        fails(&scripts[0], kind.clone());
        assert_eq!(ask(&stack).await.err().unwrap().kind, kind);
    }
    assert_eq!(scripts[1].asked(), 0);
    works(&scripts[0]);
    assert_eq!(ask(&stack).await.unwrap(), by("a", 1), "it does not rest for that");
}

#[tokio::test]
async fn where_all_fail_the_last_failure_is_the_answer() {
    let (stack, scripts) = with("all", &["a", "b"], json!({})).await;
    fails(&scripts[0], unavailable());
    fails(&scripts[1], ErrorKind::Timeout);
    let cx = Context::default();
    let error = stack.inference.chat(&cx, chat(false)).await.err().unwrap();
    assert_eq!((error.kind, answered(&cx)), (ErrorKind::Timeout, by("b", 2)));
    assert!(cx.trail.is_settled());
}

#[tokio::test]
async fn a_stream_falls_back_until_its_first_event_and_never_after() {
    let (stack, scripts) = with("stream", &["a", "b"], json!({ "cooldown_seconds": 0 })).await;
    scripts[0]
        .chats(|_| std::future::ready(Ok(events(vec![Err(failure(&unavailable()))]))).boxed());
    let cx = Context::default();
    assert_eq!(listen(&stack, &cx).await, [true, true]);
    assert_eq!(answered(&cx), by("b", 2));

    scripts[0].chats(|_| {
        let broken = events(vec![Ok("{}"), Err(failure(&unavailable())), Ok("{}")]);
        std::future::ready(Ok(broken)).boxed()
    });
    let cx = Context::default();
    assert_eq!(listen(&stack, &cx).await, [true, false], "nothing follows the failure");
    assert_eq!(answered(&cx), by("a", 1));
    assert_eq!(scripts[1].asked(), 1);

    fails(&scripts[0], unavailable());
    fails(&scripts[1], unavailable());
    assert_eq!(listen(&stack, &Context::default()).await, [false]);
}

#[tokio::test]
async fn a_stream_that_breaks_lets_its_target_rest() {
    let (stack, scripts) = with("breaks", &["a", "b"], json!({ "cooldown_seconds": 3600 })).await;
    scripts[0].chats(|_| {
        let broken = events(vec![Ok("{}"), Err(failure(&unavailable()))]);
        std::future::ready(Ok(broken)).boxed()
    });
    assert_eq!(listen(&stack, &Context::default()).await, [true, false]);
    assert_eq!(ask(&stack).await.unwrap(), by("b", 1));
}

#[tokio::test]
async fn a_target_that_failed_is_tried_last_until_it_has_answered() {
    let (stack, scripts) = with("rests", &["a", "b"], json!({ "cooldown_seconds": 3600 })).await;
    fails(&scripts[0], unavailable());
    assert_eq!(ask(&stack).await.unwrap(), by("b", 2));
    works(&scripts[0]);
    assert_eq!(ask(&stack).await.unwrap(), by("b", 1), "it rests");
    fails(&scripts[1], unavailable());
    assert_eq!(ask(&stack).await.unwrap(), by("a", 2), "but it is tried before giving up");
    assert_eq!(ask(&stack).await.unwrap(), by("a", 1), "and it has proved itself");
}

#[tokio::test]
async fn the_time_of_the_caller_is_not_exceeded() {
    let (stack, scripts) = with("deadline", &["a", "b"], json!({})).await;
    hangs(&scripts[0]);
    let deadline = Some(Instant::now() + Duration::from_millis(30));
    let cx = Context { deadline, ..Context::default() };
    let error = stack.inference.chat(&cx, chat(false)).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(scripts[1].asked(), 0, "there is no time left");
    assert_eq!(ask(&stack).await.unwrap(), by("b", 1), "the one that hung rests");
}

#[tokio::test]
async fn a_provider_that_is_down_is_passed_over_at_once() {
    let (down, up) = (script("fake://routing/down"), script("fake://routing/up"));
    down.check.fails("no route");
    works(&down);
    works(&up);
    let providers = json!([entry("a", "fake://routing/down"), entry("b", "fake://routing/up")]);
    let targets = json!([{ "provider_id": "a" }, { "provider_id": "b" }]);
    let stack = start(config(providers, json!([{ "model_id": "m", "targets": targets }]))).await;
    let health = || stack.providers()[0].health.status.as_str();
    eventually("the check has failed", || health() == "Degraded").await;
    assert_eq!(ask(&stack).await.unwrap(), by("b", 1));
    down.check.works();
    eventually("it is up", || health() == "OK").await;
    assert_eq!(ask(&stack).await.unwrap(), by("a", 1), "it is used as soon as it is up");
}

#[tokio::test]
async fn a_target_whose_provider_is_gone_is_passed_over() {
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let targets = json!([{ "provider_id": "old" }, { "provider_id": "kept" }]);
    let both = json!([entry("old", "fake://routing/old"), entry("kept", "fake://routing/kept")]);
    works(&script("fake://routing/kept"));
    let stack = start_on(
        config(both, json!([{ "model_id": "m", "targets": targets }])),
        Arc::clone(&store),
    )
    .await;
    let listed = stack.models.list().remove(0);
    let request = json!({ "model_id": "m", "metadata": listed.metadata });
    let request = RegisterModelRequest::from_json(request).unwrap();
    stack.models.register_model(request).await.unwrap();
    let one = json!([entry("kept", "fake://routing/kept")]);
    let stack = start_on(config(one, json!([])), store).await;
    assert_eq!(ask(&stack).await.unwrap(), by("kept", 1));
}

#[tokio::test]
async fn busy_targets_are_avoided() {
    let (stack, scripts) = with("busy", &["a", "b"], json!({ "strategy": "least-busy" })).await;
    hangs(&scripts[0]);
    hangs(&scripts[1]);
    let asking = |_| {
        let stack = Arc::clone(&stack);
        tokio::spawn(async move { ask(&stack).await })
    };
    let mut hanging: Vec<_> = (0..6).map(asking).collect();
    eventually("all were asked", || scripts[0].asked() + scripts[1].asked() == 6).await;
    assert_eq!((scripts[0].asked(), scripts[1].asked()), (3, 3));
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    for task in hanging.drain(..) {
        assert!(task.await.is_err());
    }
    for script in &scripts {
        works(script);
    }
    let Reply::Stream(mut open) =
        stack.inference.chat(&Context::default(), chat(true)).await.unwrap()
    else {
        panic!("a stream was asked for");
    };
    open.next().await.unwrap().unwrap();
    let idle = if scripts[0].asked() == 4 { "b" } else { "a" };
    for _ in 0..5 {
        assert_eq!(ask(&stack).await.unwrap().0, idle, "a stream keeps its target busy");
    }
    drop(open);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..64 {
        seen.insert(ask(&stack).await.unwrap().0);
    }
    assert_eq!(seen.len(), 2, "until it is dropped");
}

#[tokio::test]
async fn completions_and_embeddings_fall_back_too() {
    let providers =
        json!([entry("a", "fake://routing/other/a"), entry("b", "fake://routing/other/b")]);
    let targets = json!([{ "provider_id": "a" }, { "provider_id": "b" }]);
    let models = json!([
        { "model_id": "m", "targets": targets },
        { "model_id": "e", "targets": targets, "model_type": "embedding",
          "metadata": { "embedding_dimension": 3 } },
    ]);
    let stack = start(config(providers, models)).await;
    *script("fake://routing/other/a").refusal.lock().unwrap() = Some(unavailable());
    let cx = Context::default();
    let request = json!({ "model": "m", "prompt": "x" });
    let request = TextCompletionRequest::from_json(request).unwrap();
    stack.inference.completion(&cx, request).await.unwrap();
    assert_eq!(answered(&cx), by("b", 2));
    // Embeddings have no stream, whatever a request says.
    for more in [json!({}), json!({ "stream": true })] {
        let mut request = json!({ "model": "e", "input": "x" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let cx = Context::default();
        let request = EmbeddingRequest::from_json(request).unwrap();
        stack.inference.embeddings(&cx, request).await.unwrap();
        assert_eq!(answered(&cx).0, "b");
    }
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[tokio::test]
async fn as_long_as_one_target_works_there_is_an_answer() {
    let ids = ["a", "b", "c", "d"];
    let mut numbers = Numbers(42);
    for strategy in ["fallback", "weighted", "least-busy"] {
        let name = format!("property-{strategy}");
        let (stack, scripts) = with(&name, &ids, json!({ "strategy": strategy })).await;
        for round in 0..300 {
            let healthy = numbers.below(ids.len());
            for (index, script) in scripts.iter().enumerate() {
                match numbers.below(6) {
                    _ if index == healthy => works(script),
                    0 => works(script),
                    1 => fails(script, ErrorKind::Timeout),
                    2 => fails(script, ErrorKind::Upstream { status: None }),
                    3 => fails(script, ErrorKind::RateLimited { retry_after: None }),
                    4 => script.chats(|request| {
                        let broken = vec![Err(failure(&ErrorKind::Timeout))];
                        std::future::ready(if request.stream() {
                            Ok(events(broken))
                        } else {
                            Err(failure(&ErrorKind::Timeout))
                        })
                        .boxed()
                    }),
                    _ => fails(script, unavailable()),
                }
            }
            if numbers.below(2) == 0 {
                let heard = listen(&stack, &Context::default()).await;
                assert_eq!(heard, [true, true], "{strategy}, round {round}");
            } else {
                let asked = ask(&stack).await;
                assert!(asked.is_ok(), "{strategy}, round {round}: {asked:?}");
            }
        }
    }
}

#[tokio::test]
async fn targets_are_listed_completed_by_their_providers_and_kept() {
    let urls = ["fake://routing/kept/a", "fake://routing/kept/b"];
    for (url, prefix) in urls.iter().zip(["hub/", "org/"]) {
        *script(url).prefix.lock().unwrap() = prefix.to_owned();
    }
    let store: Arc<dyn KvStore> = Arc::new(Memory::default());
    let providers = json!([entry("a", urls[0]), entry("b", urls[1])]);
    let config = config(
        providers,
        json!([{
            "model_id": "m", "metadata": { "note": 1 }, "strategy": "weighted",
            "targets": [
                { "provider_id": "a", "weight": 3 },
                { "provider_id": "b", "provider_model_id": "y" },
            ],
        }]),
    );
    let expected = json!({
        "note": 1,
        "routing": {
            "strategy": "weighted",
            "targets": [
                { "provider_id": "a", "provider_model_id": "hub/m", "weight": 3 },
                { "provider_id": "b", "provider_model_id": "org/y", "weight": 1 },
            ],
            "cooldown_seconds": 10.0,
        },
    });
    for round in 0..2 {
        let stack = start_on(config.clone(), Arc::clone(&store)).await;
        eventually("both have completed their parts", || {
            Value::Object(stack.models.list()[0].metadata.clone()) == expected
        })
        .await;
        let listed = stack.models.list().remove(0);
        assert_eq!((&*listed.provider_id, &*listed.provider_resource_id), ("a", "hub/m"));
        if round == 1 {
            let again = json!({ "model_id": "m", "metadata": listed.metadata });
            let again = RegisterModelRequest::from_json(again).unwrap();
            assert_eq!(stack.models.register_model(again).await.unwrap(), listed);
            let moved = json!({ "model_id": "m", "provider_id": "b", "metadata": listed.metadata });
            let moved = RegisterModelRequest::from_json(moved).unwrap();
            let moved = stack.models.register_model(moved).await.unwrap();
            assert_eq!(moved.provider_id, "b");
            assert!(!moved.metadata.contains_key("routing"), "it belongs to that provider alone");
        }
        stack.shutdown().await;
    }
}

#[tokio::test]
async fn what_requests_took_is_counted_by_target() {
    let more = json!({ "cost": { "prompt_per_million": 2, "completion_per_million": 10 } });
    let (stack, scripts) = with("usage", &["a", "b"], more).await;
    ask(&stack).await.unwrap();
    fails(&scripts[0], unavailable());
    ask(&stack).await.unwrap();
    let usage = "{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50}}";
    scripts[1].chats(move |_| {
        let counted = events(vec![Ok("{}"), Ok("{\"usage\":null}"), Ok(usage)]);
        std::future::ready(Ok(counted)).boxed()
    });
    let cx = Context::default();
    assert_eq!(listen(&stack, &cx).await.len(), 3);
    assert_eq!((cx.trail.tokens().prompt, cx.trail.tokens().completion), (100, 50));

    let found = stack.usage();
    let numbers = |index: usize| {
        let one = &found[index];
        (one.requests, one.failures, one.prompt_tokens, one.completion_tokens, one.resting)
    };
    assert_eq!(numbers(0), (2, 1, 5, 7, true));
    assert_eq!(numbers(1), (2, 0, 105, 57, false));
    let cost = found[1].cost.unwrap();
    assert!((cost - (105.0 * 2.0 + 57.0 * 10.0) / 1e6).abs() < 1e-12, "{cost}");
    assert_eq!(found[1].currency.as_deref(), Some("USD"));
    assert_eq!((&*found[1].model_id, &*found[1].provider_model_id), ("m", "b-model"));
    assert_eq!((found[0].under_way, found[1].under_way), (0, 0));
}
