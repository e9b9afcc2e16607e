//! Models with several targets, with the providers and the limits that a configuration has unless it
//! says otherwise, in front of scripted upstreams that count what they are sent.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by it")]

use chaski_api::{ErrorKind, Result, Wire, anthropic::MessagesRequest, openai::ChatRequest};
use chaski_provider::{Context, Deps, Documents, ProviderData, Reply, Routers, Tasks};
use chaski_stack::{Catalog, Data, RunConfig, Stack, StackOptions};
use chaski_store::Memory;
use chaski_testkit::{Answer, FakeUpstream, eventually};
use chaski_upstream::{Http, HttpOptions};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// An upstream that lists no models and gives these answers to calls, the last one again and again.
async fn upstream(answers: impl IntoIterator<Item = Answer>) -> FakeUpstream {
    let answers: Vec<Answer> = answers.into_iter().collect();
    let next = AtomicUsize::new(0);
    FakeUpstream::start(move |seen| {
        if seen.method == "GET" {
            return Answer::json(json!({ "object": "list", "data": [] }));
        }
        let turn = next.fetch_add(1, Ordering::Relaxed);
        answers[turn.min(answers.len() - 1)].clone()
    })
    .await
}

/// How many calls came.
fn calls(upstream: &FakeUpstream) -> usize {
    upstream.requests().iter().filter(|seen| seen.method == "POST").count()
}

fn works() -> Answer {
    let message = json!({ "role": "assistant", "content": "hi" });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    Answer::json(json!({ "id": "c", "object": "chat.completion", "choices": [choice] }))
}

fn streams() -> Answer {
    let choice = json!({ "index": 0, "delta": { "content": "hi" }, "finish_reason": "stop" });
    let event = json!({ "id": "c", "object": "chat.completion.chunk", "choices": [choice] });
    Answer::events([event.to_string(), "[DONE]".to_owned()])
}

fn fails(status: u16) -> Answer {
    Answer::json(json!({ "error": { "message": "no" } })).status(status)
}

/// A failure that may be repeated at once.
fn busy(status: u16) -> Answer {
    fails(status).header("retry-after-ms", "1")
}

/// A stack with the model `m`, whose targets are `a`, `b`, ... at these upstreams of OpenAI's API.
async fn stack(upstreams: &[&FakeUpstream]) -> Arc<Stack> {
    let speaking = |upstream| ("remote::openai", upstream);
    stack_of("fallback", upstreams.iter().copied().map(speaking)).await
}

/// The same with providers of these types.
async fn stack_of(
    strategy: &str,
    upstreams: impl IntoIterator<Item = (&'static str, &FakeUpstream)>,
) -> Arc<Stack> {
    let provider = |(id, (provider_type, upstream)): (&str, (&str, &FakeUpstream))| {
        // Clients of Anthropic's API add the version themselves.
        let path = if provider_type == "remote::openai" { "/v1" } else { "" };
        let url = format!("{}{path}", upstream.url());
        let config = json!({ "base_url": url, "api_key": "key-of-the-operator" });
        json!({ "provider_id": id, "provider_type": provider_type, "config": config })
    };
    let providers: Vec<Value> = ["a", "b", "c"].into_iter().zip(upstreams).map(provider).collect();
    let targets: Vec<Value> =
        providers.iter().map(|one| json!({ "provider_id": one["provider_id"] })).collect();
    let model = json!({
        "model_id": "m", "targets": targets, "strategy": strategy, "cooldown_seconds": 3600,
    });
    let config = json!({
        "version": "2", "image_name": "t", "providers": { "inference": providers },
        "models": [model],
    });
    let deps = Deps {
        http: Http::new(HttpOptions::default()).unwrap(),
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: chaski_provider::Cpu::new(1),
        documents: Documents::in_process(),
        environment: chaski_provider::Environment::default(),
        tasks: Tasks::default(),
        routers: Routers::default(),
    };
    let stack = Stack::start(StackOptions {
        config: RunConfig::from_json(config).unwrap(),
        raw: Value::Null,
        catalog: Catalog { inference: chaski_providers_inference::ALL, ..Catalog::default() },
        deps,
        store: Arc::new(Memory::default()),
        data: Data::in_memory(&std::env::temp_dir().join("chaski-stack-tests")).unwrap(),
    })
    .await
    .unwrap();
    let is_up = || stack.providers().iter().all(|one| one.health.status.as_str() == "OK");
    eventually("all providers are up", is_up).await;
    stack
}

async fn ask_with(stack: &Stack, cx: &Context, stream: bool) -> Result<()> {
    let mut request = ChatRequest::new("m", vec![json!({ "role": "user", "content": "hi" })]);
    request.body.insert("stream".to_owned(), stream.into());
    match stack.inference.chat(cx, request).await? {
        Reply::Full(_) => Ok(()),
        Reply::Stream(mut events) => {
            while let Some(event) = events.next().await {
                event?;
            }
            Ok(())
        }
    }
}

/// How many attempts a chat takes, if it is answered.
async fn ask(stack: &Stack) -> Result<u32> {
    let cx = Context::default();
    ask_with(stack, &cx, false).await?;
    Ok(cx.trail.attempts())
}

/// The requests and the failures of each target.
fn usage(stack: &Stack) -> Vec<(i64, i64)> {
    stack.usage().iter().map(|one| (one.requests, one.failures)).collect()
}

#[tokio::test]
async fn the_next_target_is_asked_before_one_is_asked_again() {
    for failure in [
        fails(429).header("retry-after", "4"),
        fails(503).header("retry-after", "60"),
        fails(500),
        fails(502).header("x-should-retry", "true"),
    ] {
        for (stream, answer) in [(false, works()), (true, streams())] {
            let (a, b) = (upstream([failure.clone()]).await, upstream([answer]).await);
            let stack = stack(&[&a, &b]).await;
            let cx = Context::default();
            ask_with(&stack, &cx, stream).await.unwrap();
            assert_eq!((calls(&a), calls(&b)), (1, 1));
            assert_eq!(cx.trail.attempts(), 2);
            assert_eq!(usage(&stack), [(1, 1), (1, 0)]);
        }
    }
}

#[tokio::test]
async fn the_last_target_is_asked_again_and_every_request_is_counted() {
    let (a, b) = (upstream([busy(429)]).await, upstream([busy(503), busy(500), works()]).await);
    let stack = stack(&[&a, &b]).await;
    assert_eq!(ask(&stack).await.unwrap(), 4);
    assert_eq!((calls(&a), calls(&b)), (1, 3));
    assert_eq!(usage(&stack), [(1, 1), (3, 2)]);
}

#[tokio::test]
async fn where_the_other_targets_rest_one_is_asked_again_before_them() {
    let a = upstream([busy(500)]).await;
    let b = upstream([works(), busy(500), works(), busy(500)]).await;
    let stack = stack(&[&a, &b]).await;
    assert_eq!(ask(&stack).await.unwrap(), 2);
    assert_eq!(ask(&stack).await.unwrap(), 2, "`b` works at the second attempt");
    assert_eq!((calls(&a), calls(&b)), (1, 3));
    let cx = Context::default();
    let error = ask_with(&stack, &cx, false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(500) });
    assert_eq!((calls(&a), calls(&b)), (4, 6), "both are asked three times before giving up");
    assert_eq!(cx.trail.attempts(), 6);
    // Both rest now: nobody waits for the first of them.
    let cx = Context::default();
    ask_with(&stack, &cx, false).await.unwrap_err();
    assert_eq!((calls(&a), calls(&b)), (5, 9));
}

#[tokio::test]
async fn a_model_with_one_provider_is_asked_again_and_every_request_is_counted() {
    let a = upstream([busy(429), busy(503), works()]).await;
    let stack = stack(&[&a]).await;
    assert_eq!(ask(&stack).await.unwrap(), 3);
    assert_eq!((calls(&a), usage(&stack)), (3, vec![(3, 2)]));
}

#[tokio::test]
async fn where_the_key_of_the_operator_is_refused_the_next_target_answers() {
    for status in [401, 402, 403, 404] {
        let (a, b) = (upstream([fails(status)]).await, upstream([works()]).await);
        let stack = stack(&[&a, &b]).await;
        assert_eq!(ask(&stack).await.unwrap(), 2, "{status}");
        assert_eq!(ask(&stack).await.unwrap(), 1, "{status}: `a` rests");
        assert_eq!((calls(&a), calls(&b)), (1, 2), "{status}");
    }
}

#[tokio::test]
async fn where_the_key_of_the_caller_is_refused_that_is_the_answer() {
    let key = json!({ "openai_api_key": "key-of-the-caller" });
    let provider_data = ProviderData::new(key.as_object().unwrap().clone());
    for status in [401, 402, 403, 404] {
        let (a, b) = (upstream([fails(status)]).await, upstream([works()]).await);
        let stack = stack(&[&a, &b]).await;
        let cx = Context { provider_data: provider_data.clone(), ..Context::default() };
        let error = ask_with(&stack, &cx, false).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Upstream { status: Some(status) });
        assert_eq!((calls(&a), calls(&b)), (1, 0), "{status}");
        assert_eq!(usage(&stack), [(1, 1), (0, 0)]);
        assert!(stack.usage().iter().all(|one| !one.resting), "{status}: others may use it");
    }
}

/// A question in the form of Anthropic's API, with a part that no other form has.
fn message() -> MessagesRequest {
    let content = json!([{
        "type": "text", "text": "hi", "cache_control": { "type": "ephemeral" },
    }]);
    let messages = json!([{ "role": "user", "content": content }]);
    let request = json!({ "model": "m", "max_tokens": 5, "messages": messages });
    MessagesRequest::from_json(request).unwrap()
}

fn answers_a_message() -> Answer {
    let content = json!([{ "type": "text", "text": "hi" }]);
    let usage = json!({ "input_tokens": 3, "output_tokens": 1 });
    Answer::json(json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": "stop_sequence", "stop_sequence": "x", "usage": usage,
    }))
}

const CLAUDE: &str = "remote::anthropic";
const GPT: &str = "remote::openai";

/// Whether a question in Anthropic's form is answered in it, and after how many attempts.
async fn ask_as_anthropic(stack: &Stack) -> (bool, u32) {
    let cx = Context::default();
    let answer = stack.inference.messages(&cx, "m", &message()).await.unwrap();
    (answer.is_some(), cx.trail.attempts())
}

#[tokio::test]
async fn targets_that_speak_anthropics_api_are_asked_in_it() {
    let a = upstream([answers_a_message(), busy(529)]).await;
    let b = upstream([answers_a_message()]).await;
    let c = upstream([works()]).await;
    let stack = stack_of("fallback", [(CLAUDE, &a), (CLAUDE, &b), (GPT, &c)]).await;
    assert_eq!(ask_as_anthropic(&stack).await, (true, 1));
    let seen = a.requests().into_iter().find(|seen| seen.method == "POST").unwrap();
    let cached = &seen.json()["messages"][0]["content"][0]["cache_control"];
    assert_eq!(*cached, json!({ "type": "ephemeral" }), "it goes on as it came");
    assert_eq!(ask_as_anthropic(&stack).await, (true, 2), "the second one answers");
    assert_eq!(ask_as_anthropic(&stack).await, (true, 1), "the first one rests");
    assert_eq!((calls(&a), calls(&b), calls(&c)), (2, 2, 0));
    assert_eq!(usage(&stack), [(2, 1), (2, 0), (0, 0)]);
}

#[tokio::test]
async fn targets_that_do_not_speak_anthropics_api_are_asked_in_another_way() {
    let (a, b) = (upstream([busy(529)]).await, upstream([works()]).await);
    let stack = stack_of("fallback", [(CLAUDE, &a), (GPT, &b)]).await;
    let cx = Context::default();
    assert!(stack.inference.messages(&cx, "m", &message()).await.unwrap().is_none());
    ask_with(&stack, &cx, false).await.unwrap();
    assert_eq!((calls(&a), calls(&b)), (1, 1), "nothing is asked twice");
    assert_eq!(cx.trail.attempts(), 2);
    assert_eq!(ask_as_anthropic(&stack).await, (false, 0), "the first one rests");
    assert_eq!((calls(&a), calls(&b)), (1, 1));
}

#[tokio::test]
async fn a_refusal_in_anthropics_form_is_the_answer() {
    let (a, b) = (upstream([fails(400)]).await, upstream([works()]).await);
    let stack = stack_of("fallback", [(CLAUDE, &a), (GPT, &b)]).await;
    let error = stack.inference.messages(&Context::default(), "m", &message()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(400) });
    assert_eq!((calls(&a), calls(&b)), (1, 0));
}

#[tokio::test]
async fn targets_that_are_drawn_are_asked_in_anthropics_form_if_all_speak_it() {
    for strategy in ["weighted", "least-busy"] {
        let a = upstream([answers_a_message()]).await;
        let b = upstream([answers_a_message()]).await;
        let c = upstream([works()]).await;
        let both = stack_of(strategy, [(CLAUDE, &a), (CLAUDE, &b)]).await;
        assert_eq!(ask_as_anthropic(&both).await, (true, 1), "{strategy}");
        let mixed = stack_of(strategy, [(CLAUDE, &a), (GPT, &c)]).await;
        assert_eq!(ask_as_anthropic(&mixed).await, (false, 0), "{strategy}");
        assert_eq!((calls(&a) + calls(&b), calls(&c)), (1, 0), "{strategy}");
    }
}
