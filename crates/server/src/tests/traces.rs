//! Traces of requests: what is in them, whose they are, and what goes in and out.

use super::harness::{Running, adorned, chat, llama_chat, start_with};
use crate::{AuthOptions, ServerOptions};
use chaski_testkit::{Answer, FakeUpstream, Gate, Seen, within};
use http::Method;
use serde_json::{Value, json};
use std::collections::HashSet;

const CHAT: &str = "/v1/chat/completions";
const TRACES: &str = "/v1/telemetry/traces";
const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn telemetry() -> Value {
    json!([{ "provider_id": "kept", "provider_type": "inline::meta-reference",
             "config": { "sinks": "console" } }])
}

/// The configuration of a server that keeps traces in memory.
fn config() -> Value {
    json!({ "providers": {
        "inference": [{ "provider_id": "told", "provider_type": "remote::vllm", "config": {} }],
        "telemetry": telemetry(),
    } })
}

async fn traced() -> Running {
    start_with(ServerOptions::default(), config()).await
}

async fn traces(server: &Running, token: &str, question: Value) -> Vec<Value> {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let answer = server.post_with(TRACES, &question, &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].as_array().unwrap().clone()
}

/// The traces, once there are so many: the span of a request ends after the client has its answer.
async fn settled(server: &Running, token: &str, count: usize) -> Vec<Value> {
    within("the traces", async {
        loop {
            let found = traces(server, token, json!({ "limit": 10_000 })).await;
            if found.len() >= count && count_of_roots(server, token).await >= count {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// How many spans of requests have ended.
async fn count_of_roots(server: &Running, token: &str) -> usize {
    spans(server, token, &["__root__"]).await.len()
}

/// The spans that have these attributes.
async fn spans(server: &Running, token: &str, attributes: &[&str]) -> Vec<Value> {
    let question = json!({ "attribute_filters": [], "attributes_to_return": attributes });
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let answer = server.post_with("/v1/telemetry/spans", &question, &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].as_array().unwrap().clone()
}

/// The tree of the root of a trace, level by level.
async fn tree(server: &Running, trace: &Value) -> Vec<Value> {
    let path = format!("/v1/telemetry/spans/{}/tree", trace["root_span_id"].as_str().unwrap());
    let answer = server.post(&path, &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].as_object().unwrap().values().cloned().collect()
}

#[tokio::test]
async fn a_request_is_a_trace_with_the_calls_that_it_makes() {
    for (path, body, status, ended, call) in [
        (CHAT, chat("say hello", false), 200, "ok", "chat_completion"),
        (CHAT, chat("say hello", true), 200, "ok", "chat_completion"),
        (CHAT, chat("fail 503", false), 503, "error", "chat_completion"),
        (CHAT, chat("break a", true), 200, "error", "chat_completion"),
        (
            "/v1/inference/chat-completion",
            llama_chat("say hello", true),
            200,
            "ok",
            "chat_completion",
        ),
        ("/v1/embeddings", json!({ "model": "e", "input": "x" }), 200, "ok", "embeddings"),
    ] {
        let server = traced().await;
        let headers = [("x-request-id", "the-request")];
        let answer = server.post_with(path, &body, &headers).await;
        assert_eq!(answer.status, status, "{path} {body}");
        let [trace] = settled(&server, "", 1).await.try_into().unwrap();
        let [root, child] = tree(&server, &trace).await.try_into().unwrap();
        assert_eq!(
            (&root["name"], &root["status"]),
            (&json!(path), &json!(ended)),
            "{path} {body}"
        );
        let attributes = &root["attributes"];
        assert_eq!(attributes["__root__"], true);
        assert_eq!(attributes["__location__"], "server");
        assert_eq!(attributes["request_id"], "the-request");
        assert_eq!(attributes["http.request.method"], "POST");
        assert_eq!(attributes["http.response.status_code"], status);
        assert_eq!(child["name"], format!("InferenceRouter.{call}"));
        assert_eq!((&child["parent_span_id"], &child["status"]), (&root["span_id"], &json!(ended)));
        assert_eq!(child["attributes"]["gen_ai.provider.name"], "told");
        assert_eq!(
            child["attributes"]["gen_ai.request.model"],
            body.get("model").unwrap_or(&json!("m")).clone()
        );
        assert!(child["end_time"].as_str() <= root["end_time"].as_str());
    }
}

#[tokio::test]
async fn the_span_of_a_stream_ends_when_the_stream_does() {
    let server = traced().await;
    let request = server.request(Method::POST, CHAT).json(chat("stall one two", true).to_string());
    let mut events = server.open(adorned(request, &[])).await;
    let first = within("an event", futures_util::StreamExt::next(&mut events)).await;
    assert!(first.is_some_and(|event| event.is_ok()));
    assert_eq!(traces(&server, "", json!({})).await, [Value::Null; 0], "it is under way");
    drop(events);
    let [trace] = settled(&server, "", 1).await.try_into().unwrap();
    assert_eq!(tree(&server, &trace).await.len(), 2);
}

#[tokio::test]
async fn requests_at_the_same_time_have_traces_of_their_own() {
    let server = traced().await;
    let requests = (0..100).map(|_| server.chat("say hello"));
    futures_util::future::join_all(requests).await;
    let found = settled(&server, "", 100).await;
    let ids: HashSet<&str> =
        found.iter().map(|trace| trace["trace_id"].as_str().unwrap()).collect();
    assert_eq!((found.len(), ids.len()), (100, 100));
    for trace in &found {
        let [root, child] = tree(&server, trace).await.try_into().unwrap();
        assert_eq!(child["parent_span_id"], root["span_id"]);
        assert_eq!(
            (&root["trace_id"], &child["trace_id"]),
            (&trace["trace_id"], &trace["trace_id"])
        );
    }
}

#[tokio::test]
async fn probes_and_questions_about_traces_are_not_traced() {
    let server = traced().await;
    for path in ["/v1/health", "/v1/version", "/v1/providers", "/v1/telemetry/traces/nope", "/nope"]
    {
        server.get(path).await;
    }
    server.chat("say hello").await;
    assert_eq!(settled(&server, "", 1).await.len(), 1);
}

/// An upstream of OpenAI's form, and a server in front of it.
async fn relaying(telemetry: &Value) -> (FakeUpstream, Running) {
    let upstream = FakeUpstream::start(|_| {
        let message = json!({ "role": "assistant", "content": "hello" });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        Answer::json(json!({ "id": "c", "object": "chat.completion", "choices": [choice] }))
    })
    .await;
    let config = json!({
        "providers": {
            "inference": [{ "provider_id": "far", "provider_type": "remote::openai",
                            "config": { "url": upstream.url() } }],
            "telemetry": telemetry,
        },
        "models": [{ "model_id": "m", "provider_id": "far" }],
    });
    let server = start_with(ServerOptions::default(), config).await;
    (upstream, server)
}

#[tokio::test]
async fn the_trace_of_the_caller_goes_on_and_upstreams_get_it() {
    let (upstream, server) = relaying(&telemetry()).await;
    let headers = [("traceparent", GIVEN), ("tracestate", "vendor=1")];
    assert_eq!(server.post_with(CHAT, &chat("hi", false), &headers).await.status, 200);
    let [trace] = settled(&server, "", 1).await.try_into().unwrap();
    assert_eq!(trace["trace_id"], TRACE);
    let [root, child] = tree(&server, &trace).await.try_into().unwrap();
    assert_eq!(root["parent_span_id"], "b7ad6b7169203331");
    let seen = upstream.only_request();
    let span = child["span_id"].as_str().unwrap();
    assert_eq!(seen.header("traceparent"), format!("00-{TRACE}-{span}-01"));
    assert_eq!(seen.header("tracestate"), "vendor=1");
}

#[tokio::test]
async fn malformed_contexts_are_ignored() {
    let (upstream, server) = relaying(&telemetry()).await;
    let long = format!("{GIVEN}-01");
    for wrong in [
        "",
        "x",
        "00-0-0-00",
        long.as_str(),
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        let headers = [("traceparent", wrong), ("tracestate", "vendor=1")];
        assert_eq!(server.post_with(CHAT, &chat("hi", false), &headers).await.status, 200);
    }
    for seen in upstream.requests() {
        assert!(!seen.header("traceparent").contains(TRACE));
        assert_eq!(seen.header("tracestate"), "");
    }
}

#[tokio::test]
async fn without_telemetry_the_context_of_the_caller_is_passed_on_and_nothing_is_kept() {
    let (upstream, server) = relaying(&json!([])).await;
    server.post_with(CHAT, &chat("hi", false), &[("traceparent", GIVEN)]).await;
    server.chat("hi").await;
    let parents = upstream
        .requests()
        .iter()
        .map(|seen| seen.header("traceparent").to_owned())
        .collect::<Vec<_>>();
    assert_eq!(parents, [GIVEN, ""]);
    let answer = server.post(TRACES, &json!({})).await;
    assert_eq!(answer.status, 501);
    assert!(answer.text.contains("providers.telemetry"), "{}", answer.text);
}

#[tokio::test]
async fn spans_cannot_be_saved_where_datasets_are_not_served() {
    let server = traced().await;
    let body = json!({ "attribute_filters": [], "attributes_to_save": [], "dataset_id": "d" });
    let answer = server.post("/v1/telemetry/spans/export", &body).await;
    assert_eq!(answer.status, 501);
    assert!(answer.text.contains("providers.datasetio"), "{}", answer.text);
}

/// A server whose callers are whom their tokens name.
async fn guarded() -> (FakeUpstream, Running) {
    let service = FakeUpstream::start(|seen: &Seen| {
        let principal = seen.json()["api_key"].as_str().unwrap().to_owned();
        Answer::json(json!({ "principal": principal, "attributes": {} }))
    })
    .await;
    let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
    let options =
        ServerOptions { auth: Some(AuthOptions::new(endpoint)), ..ServerOptions::default() };
    (service, start_with(options, config()).await)
}

/// No work carries the identity of an earlier request.
#[tokio::test]
async fn a_thousand_requests_of_fifty_callers_are_seen_by_their_callers_alone() {
    const CALLERS: usize = 50;
    const EACH: usize = 20;
    let (_service, server) = guarded().await;
    let send = |number: usize| {
        let server = &server;
        async move {
            let token = format!("Bearer user{}", number % CALLERS);
            let id = format!("user{}-{number}", number % CALLERS);
            let headers = [("authorization", token.as_str()), ("x-request-id", id.as_str())];
            match number % 4 {
                0 => drop(server.post_with(CHAT, &chat("say hello", true), &headers).await),
                1 => drop(server.post_with(CHAT, &chat("fail 503", false), &headers).await),
                2 => drop(server.post_with(CHAT, &chat("say hello", false), &headers).await),
                // One who leaves before the end.
                _ => {
                    let body = chat("stall one two", true).to_string();
                    let request = server.request(Method::POST, CHAT).json(body);
                    let mut events = server.open(adorned(request, &headers)).await;
                    let _first = futures_util::StreamExt::next(&mut events).await;
                }
            }
        }
    };
    let requests = futures_util::stream::iter((0..CALLERS * EACH).map(send));
    futures_util::StreamExt::collect::<Vec<()>>(futures_util::StreamExt::buffer_unordered(
        requests, 40,
    ))
    .await;
    for caller in 0..CALLERS {
        let token = format!("user{caller}");
        assert_eq!(settled(&server, &token, EACH).await.len(), EACH);
        let roots = spans(&server, &token, &["request_id"]).await;
        let own = format!("{token}-");
        let foreign = roots
            .iter()
            .filter(|root| !root["attributes"]["request_id"].as_str().unwrap().starts_with(&own));
        assert_eq!((roots.len(), foreign.count()), (EACH, 0), "{token}");
    }
}

/// What is secret, and what is said to models, is not in the traces.
#[tokio::test]
async fn traces_hold_no_secrets_and_no_prompts() {
    let (_service, server) = guarded().await;
    let headers = [
        ("authorization", "Bearer canary-token"),
        ("x-llamastack-provider-data", r#"{"told_api_key": "canary-key"}"#),
        ("cookie", "canary-cookie"),
    ];
    for stream in [false, true] {
        server
            .post_with(
                &format!("{CHAT}?key=canary-query"),
                &chat("say canary-prompt", stream),
                &headers,
            )
            .await;
    }
    let found = settled(&server, "canary-token", 2).await;
    let mut all = spans(&server, "canary-token", &[]).await;
    for span in &all.clone() {
        let path = format!("/v1/telemetry/spans/{}/tree", span["span_id"].as_str().unwrap());
        all.push(server.post_with(&path, &json!({}), &headers[..1]).await.json());
    }
    let text = format!("{found:?}{all:?}");
    assert!(text.contains("InferenceRouter.chat_completion"));
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn one_who_does_not_wait_for_an_answer_leaves_a_trace_all_the_same() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = FakeUpstream::start(move |_| Answer::json(json!({})).held_by(&held)).await;
    let config = json!({
        "providers": {
            "inference": [{ "provider_id": "far", "provider_type": "remote::openai",
                            "config": { "url": upstream.url() } }],
            "telemetry": telemetry(),
        },
        "models": [{ "model_id": "m", "provider_id": "far" }],
    });
    let server = start_with(ServerOptions::default(), config).await;
    {
        let asking = server.chat("hi");
        tokio::pin!(asking);
        tokio::select! {
            _ = &mut asking => panic!("the upstream does not answer"),
            () = upstream.received(1) => {}
        }
    }
    assert_eq!(settled(&server, "", 1).await.len(), 1);
    gate.open();
}
