//! Questions and answers of a scripted instance.

use super::Searxng;
use crate::support::{deps, group, text_of, tool, traced};
use chaski_api::{ErrorKind, Result};
use chaski_provider::{Context, Provider, ProviderData, ToolRuntimeProvider};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Map, Value, json};
use std::sync::Arc;

async fn provider(config: Value, allow: &[String]) -> Result<Arc<dyn ToolRuntimeProvider>> {
    let config = chaski_api::Wire::from_json(config).unwrap();
    Searxng::build(config, deps(allow)).await
}

async fn ask(provider: &dyn ToolRuntimeProvider, data: Value) -> Result<String> {
    let provider_data = ProviderData::new(data.as_object().unwrap().clone());
    let cx = Context { provider_data, ..Context::default() };
    let arguments = Map::from_iter([("query".to_owned(), json!("quipu knots?"))]);
    provider.invoke(&cx, &group(), &tool("web_search"), arguments).await.map(text_of)
}

fn found() -> Answer {
    let result = |n: u32| {
        json!({
            "title": format!("t{n}"), "url": "http://a", "content": "c", "engine": "e", "score": 1,
        })
    };
    let results: Vec<Value> = (0..5).map(result).collect();
    Answer::json(json!({ "query": "q", "results": results, "answers": ["42"], "infoboxes": [] }))
}

#[tokio::test]
async fn the_first_results_come_back_with_the_fields_that_say_what_they_are() {
    for path in ["", "/", "/search", "/sub/"] {
        let upstream = FakeUpstream::answering(found()).await;
        let config = json!({ "url": format!("{}{path}", upstream.url()), "max_results": 2, "language": "es" });
        let provider = provider(config, &[]).await.unwrap();
        let said: Value = serde_json::from_str(&ask(&*provider, json!({})).await.unwrap()).unwrap();
        let result = |title: &str| json!({ "title": title, "url": "http://a", "content": "c" });
        assert_eq!(
            said,
            json!({ "query": "quipu knots?", "top_k": [result("t0"), result("t1")], "answers": ["42"] })
        );
        let seen = upstream.only_request();
        let below = if path == "/sub/" { "/sub" } else { "" };
        assert_eq!(seen.path, format!("{below}/search?q=quipu+knots%3F&format=json&language=es"));
    }
}

#[tokio::test]
async fn a_callers_instance_is_asked_where_the_configuration_has_none_and_only_if_it_is_public() {
    let upstream = FakeUpstream::answering(found()).await;
    let own = json!({ "searxng_url": upstream.url() });
    let strict = provider(json!({ "url": "" }), &[]).await.unwrap();
    let error = ask(&*strict, own.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest, "{}", error.message);
    assert_eq!(upstream.accepted(), 0);
    let open = provider(json!({}), &[upstream.address().to_string()]).await.unwrap();
    ask(&*open, own).await.unwrap();
    let error = ask(&*open, json!({})).await.unwrap_err();
    assert!(error.message.contains("\"searxng_url\""), "{}", error.message);
}

#[tokio::test]
async fn an_instance_that_gives_no_json_has_a_remedy() {
    for (answer, status, told) in [
        (Answer::text("no").status(403), Some(403), "`search.formats`"),
        (Answer::text("busy").status(429), Some(429), "SearXNG"),
        (Answer::text("<html>"), None, "does not have its form"),
    ] {
        let upstream = FakeUpstream::answering(answer).await;
        let provider = provider(json!({ "url": upstream.url() }), &[]).await.unwrap();
        let error = ask(&*provider, json!({})).await.unwrap_err();
        let limited = matches!(error.kind, ErrorKind::RateLimited { .. });
        assert!(limited || error.kind == ErrorKind::Upstream { status }, "{:?}", error.kind);
        assert!(error.message.contains(told), "{}", error.message);
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_the_start() {
    for url in ["localhost", "file:///etc/hosts"] {
        let Err(error) = provider(json!({ "url": url }), &[]).await else { panic!("{url}") };
        assert!(error.message.contains("SearXNG"), "{}", error.message);
    }
}

#[tokio::test]
async fn the_instance_is_told_of_the_trace() {
    let upstream = FakeUpstream::answering(found()).await;
    let provider = provider(json!({ "url": upstream.url() }), &[]).await.unwrap();
    let (cx, parent) = traced();
    let arguments = Map::from_iter([("query".to_owned(), json!("q"))]);
    provider.invoke(&cx, &group(), &tool("web_search"), arguments).await.unwrap();
    assert_eq!(upstream.only_request().header("traceparent"), parent);
}
