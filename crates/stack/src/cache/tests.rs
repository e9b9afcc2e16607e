//! Remembered answers, over scripted providers.

use crate::{
    Stack,
    testing::{Script, catalog, deps, entry, eventually, script},
};
use chaski_api::{
    Error, ErrorKind, Result, Wire,
    openai::{ChatRequest, EmbeddingRequest, TextCompletionRequest},
};
use chaski_provider::{
    CacheControl, ChatReply, Context, Payload, Principal, ProviderData, Remembered, Reply,
};
use chaski_testkit::{PATIENCE, eventually_some};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Map, Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A stack that remembers answers, with the model `m` and the embedding model `e`.
async fn with(name: &str, cache: Value) -> (Arc<Stack>, Arc<Script>) {
    let url = format!("fake://cache/{name}");
    let config = json!({
        "image_name": "t",
        "providers": { "inference": [entry("v", &url)] },
        "models": [
            { "model_id": "m", "cost": { "prompt_per_million": 1 } },
            { "model_id": "e", "model_type": "embedding", "metadata": { "embedding_dimension": 3 } },
        ],
        "response_cache": cache,
    });
    let stack = Stack::start(crate::StackOptions {
        config: crate::RunConfig::from_json(config).unwrap(),
        raw: Value::Null,
        catalog: catalog(),
        deps: deps(),
        store: Arc::new(chaski_store::Memory::default()),
        data: crate::testing::data(),
    });
    let script = script(&url);
    numbered(&script);
    let stack = stack.await.unwrap();
    // What the provider makes of a model changes what is remembered for it.
    eventually("the provider is up", || stack.providers()[0].health.status.as_str() == "OK").await;
    (stack, script)
}

/// Every answer is another one.
fn numbered(script: &Script) {
    let count = AtomicUsize::new(0);
    script.chats(move |request| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let text = |form: &str, part: &str| {
            let usage = json!({ "prompt_tokens": 4, "completion_tokens": 2 });
            let choice = json!({ form: { "content": format!("{part}{number}") } });
            json!({ "id": "c", "choices": [choice], "usage": usage }).to_string()
        };
        let reply: ChatReply = if request.stream() {
            let events = ["a", "b", "c"].map(|part| Ok(Payload::Raw(text("delta", part).into())));
            Reply::Stream(stream::iter(events).boxed())
        } else {
            Reply::Full(Payload::Raw(text("message", "whole").into()))
        };
        std::future::ready(Ok(reply)).boxed()
    });
}

fn caller(id: &str) -> Context {
    let principal = Principal { id: id.to_owned(), attributes: Map::new() };
    Context { principal: Some(Arc::new(principal)), ..Context::default() }
}

fn request(more: &Value) -> ChatRequest {
    let mut body = json!({
        "model": "m", "messages": [{ "role": "user", "content": "hi" }], "temperature": 0,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ChatRequest::from_json(body).unwrap()
}

/// The events of an answer, or the whole of it, up to the first failure.
async fn heard(stack: &Stack, cx: &Context, request: ChatRequest) -> Vec<Result<String>> {
    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    match stack.inference.chat(cx, request).await {
        Ok(Reply::Full(answer)) => vec![Ok(text(answer.into_bytes()))],
        Ok(Reply::Stream(events)) => {
            events.map(|event| event.map(|event| text(event.into_bytes()))).collect().await
        }
        Err(error) => vec![Err(error)],
    }
}

async fn texts(stack: &Stack, cx: &Context, more: Value) -> Vec<String> {
    heard(stack, cx, request(&more)).await.into_iter().map(Result::unwrap).collect()
}

/// How often the provider is asked for these two requests.
async fn asked(
    stack: &Stack,
    script: &Script,
    one: (&Context, Value),
    two: (&Context, Value),
) -> usize {
    let before = script.asked();
    heard(stack, &again(one.0), request(&one.1)).await;
    heard(stack, &again(two.0), request(&two.1)).await;
    script.asked() - before
}

/// The context of another request like this one.
fn again(cx: &Context) -> Context {
    Context { trail: Arc::default(), ..cx.clone() }
}

#[tokio::test]
async fn the_same_request_is_answered_from_memory_whole_and_as_a_stream() {
    let (stack, script) = with("same", json!({})).await;
    for more in [json!({}), json!({ "stream": true })] {
        let cx = caller("me");
        let first = texts(&stack, &cx, more.clone()).await;
        assert_eq!(cx.trail.remembered(), Some(Remembered::Miss));
        let cx = caller("me");
        assert_eq!(texts(&stack, &cx, more.clone()).await, first, "event by event");
        assert_eq!(cx.trail.remembered(), Some(Remembered::Hit));
        assert_eq!((cx.trail.attempts(), cx.trail.tokens().prompt), (0, 4));
        let served = cx.trail.served().unwrap();
        assert_eq!((&served.provider[..], &served.cost), (&b"v"[..], &None), "it costs nothing");
        assert!(cx.trail.is_settled());
    }
    assert_eq!(script.asked(), 2);
    let usage = &stack.usage()[0];
    assert_eq!((usage.requests, usage.prompt_tokens), (2, 8), "only what was sent is counted");
}

#[tokio::test]
async fn callers_credentials_and_requests_are_told_apart() {
    let (stack, script) = with("apart", json!({})).await;
    let (me, you, nobody) = (caller("me"), caller("you"), Context::default());
    let keyed = |key: &str| {
        let Value::Object(data) = json!({ "fake_api_key": key }) else { unreachable!() };
        Context { provider_data: ProviderData::new(data), ..caller("me") }
    };
    let plain = || json!({});
    for (name, one, two) in [
        ("callers", (&me, plain()), (&you, plain())),
        (
            "no caller and one without a name",
            (&nobody, json!({ "seed": 1 })),
            (&caller(""), json!({ "seed": 1 })),
        ),
        ("credentials", (&keyed("a"), json!({ "seed": 2 })), (&keyed("b"), json!({ "seed": 2 }))),
        ("fields", (&me, json!({ "max_tokens": 3 })), (&me, json!({ "max_tokens": 4 }))),
        ("streams", (&me, json!({ "seed": 3, "stream": true })), (&me, json!({ "seed": 3 }))),
        (
            "the order inside a field",
            (&me, json!({ "response_format": { "a": 1, "b": 2 } })),
            (&me, json!({ "response_format": { "b": 2, "a": 1 } })),
        ),
    ] {
        assert_eq!(asked(&stack, &script, one, two).await, 2, "{name}");
    }
    let one = (&me, json!({ "top_p": 0.5, "max_tokens": 9 }));
    let two = (&me, json!({ "max_tokens": 9, "top_p": 0.5 }));
    assert_eq!(asked(&stack, &script, one, two).await, 1, "the order of fields means nothing");
}

#[tokio::test]
async fn what_a_model_would_answer_differently_is_remembered_only_if_wished() {
    let me = caller("me");
    let sampled = [json!({ "temperature": 0.7 }), json!({ "temperature": null })];
    let repeatable = [json!({ "temperature": 0.7, "seed": 5 }), json!({ "temperature": 0 })];
    let (stack, script) = with("sampled-off", json!({})).await;
    for more in &sampled {
        assert_eq!(asked(&stack, &script, (&me, more.clone()), (&me, more.clone())).await, 2);
    }
    for more in &repeatable {
        assert_eq!(asked(&stack, &script, (&me, more.clone()), (&me, more.clone())).await, 1);
    }
    let (stack, script) = with("sampled-on", json!({ "sampled": true })).await;
    for more in sampled.iter().chain(&repeatable) {
        assert_eq!(asked(&stack, &script, (&me, more.clone()), (&me, more.clone())).await, 1);
    }
}

#[tokio::test]
async fn callers_may_ask_for_a_new_answer_or_for_none_to_be_kept() {
    let (stack, _script) = with("control", json!({})).await;
    let with = |cache: CacheControl| Context { cache, ..caller("me") };
    let first = texts(&stack, &with(CacheControl::Use), json!({})).await;
    let cx = with(CacheControl::Refresh);
    let second = texts(&stack, &cx, json!({})).await;
    assert_eq!(cx.trail.remembered(), Some(Remembered::Miss));
    assert_ne!(first, second);
    assert_eq!(texts(&stack, &with(CacheControl::Use), json!({})).await, second, "it was kept");
    let cx = with(CacheControl::Bypass);
    let third = texts(&stack, &cx, json!({})).await;
    assert_eq!(cx.trail.remembered(), None);
    assert_ne!(third, second);
    assert_eq!(texts(&stack, &with(CacheControl::Use), json!({})).await, second);
}

#[tokio::test]
async fn failures_and_streams_that_end_early_are_not_remembered() {
    let (stack, script) = with("broken", json!({})).await;
    let me = caller("me");
    let fail = || Error::new(ErrorKind::Upstream { status: Some(503) }, "told to");
    script.chats(move |request| {
        let broken = vec![Ok(Payload::Raw("{}".into())), Err(fail())];
        std::future::ready(if request.stream() {
            Ok(Reply::Stream(stream::iter(broken).boxed()))
        } else {
            Err(fail())
        })
        .boxed()
    });
    let stream = || json!({ "stream": true });
    assert_eq!(asked(&stack, &script, (&me, json!({})), (&me, json!({}))).await, 2);
    assert_eq!(asked(&stack, &script, (&me, stream()), (&me, stream())).await, 2);

    numbered(&script);
    let before = script.asked();
    let Ok(Reply::Stream(mut left)) = stack.inference.chat(&again(&me), request(&stream())).await
    else {
        panic!("a stream was asked for");
    };
    left.next().await.unwrap().unwrap();
    drop(left);
    heard(&stack, &again(&me), request(&stream())).await;
    assert_eq!(script.asked() - before, 2, "a listener who left has left nothing");
    heard(&stack, &again(&me), request(&stream())).await;
    assert_eq!(script.asked() - before, 2);
}

#[tokio::test]
async fn answers_that_no_face_can_use_are_not_remembered() {
    let (stack, script) = with("unsound", json!({})).await;
    let me = caller("me");
    let function = json!({ "name": "f", "arguments": "{\"a\": " });
    let calls = json!({ "tool_calls": [{ "id": "c", "function": function }] });
    for choices in [json!([]), json!([{ "message": calls, "delta": calls }])] {
        let body = json!({ "id": "c", "choices": choices }).to_string();
        script.chats(move |request| {
            let body = Payload::Raw(body.clone().into());
            let reply: ChatReply = if request.stream() {
                let body = body.into_bytes();
                Reply::Stream(stream::iter([Ok(Payload::Raw(body))]).boxed())
            } else {
                Reply::Full(body)
            };
            std::future::ready(Ok(reply)).boxed()
        });
        for more in [json!({}), json!({ "stream": true })] {
            let again = asked(&stack, &script, (&me, more.clone()), (&me, more)).await;
            assert_eq!(again, 2, "{choices}");
        }
    }
}

#[tokio::test]
async fn memory_is_bounded_in_time_number_and_size() {
    let me = caller("me");
    let (stack, script) = with("time", json!({ "ttl_seconds": 0.05 })).await;
    let start = script.asked();
    eventually_some(PATIENCE, "answers to expire", async || {
        heard(&stack, &again(&me), request(&json!({}))).await;
        (script.asked() >= start + 3).then_some(())
    })
    .await;

    let (stack, script) = with("size", json!({ "max_answer_bytes": 40 })).await;
    for more in [json!({}), json!({ "stream": true })] {
        let long = (&me, more.clone());
        assert_eq!(asked(&stack, &script, long, (&me, more)).await, 2, "too long to remember");
    }

    let (stack, script) = with("number", json!({ "max_entries": 2 })).await;
    for seed in 0..20 {
        heard(&stack, &again(&me), request(&json!({ "seed": seed }))).await;
    }
    let before = script.asked();
    for seed in 0..20 {
        heard(&stack, &again(&me), request(&json!({ "seed": seed }))).await;
    }
    let remembered = 20 - (script.asked() - before);
    assert!(remembered <= 2, "{remembered}");
}

#[tokio::test]
async fn a_model_that_is_registered_anew_is_another_one() {
    let (stack, script) = with("anew", json!({})).await;
    let me = caller("me");
    heard(&stack, &again(&me), request(&json!({}))).await;
    let again_registered = json!({ "model_id": "m", "provider_model_id": "other" });
    let again_registered =
        chaski_api::endpoints::models::RegisterModelRequest::from_json(again_registered).unwrap();
    stack.models.register_model(again_registered).await.unwrap();
    heard(&stack, &again(&me), request(&json!({}))).await;
    assert_eq!(script.asked(), 2);
    stack.models.unregister("m").await.unwrap();
    assert!(heard(&stack, &again(&me), request(&json!({}))).await[0].is_err());
}

#[tokio::test]
async fn completions_and_embeddings_are_remembered_each_for_itself() {
    let (stack, script) = with("others", json!({})).await;
    let body = json!({ "model": "m", "prompt": "x", "temperature": 0 });
    let embed = json!({ "model": "e", "input": "x" });
    let cx = caller("me");
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = TextCompletionRequest::from_json(body.clone()).unwrap();
        assert!(stack.inference.completion(&cx, request).await.is_ok());
        let request = EmbeddingRequest::from_json(embed.clone()).unwrap();
        answers.push(stack.inference.embeddings(&cx, request).await.unwrap().into_bytes());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(script.asked(), 2);
}
