//! Pages come back as text, and addresses lead nowhere inside.

use super::WebFetch;
use crate::support::{deps, group, text_of, tool};
use chaski_api::{Error, ErrorKind, Result};
use chaski_provider::{Context, Provider, ProviderData, ToolRuntime, ToolRuntimeProvider};
use chaski_testkit::{Answer, FakeUpstream, INSIDE};
use serde_json::{Map, Value, json};
use std::sync::Arc;

async fn provider(config: Value, allow: &[String]) -> Arc<dyn ToolRuntimeProvider> {
    let config = chaski_api::Wire::from_json(config).unwrap();
    WebFetch::build(config, deps(allow)).await.unwrap()
}

async fn fetch(provider: &dyn ToolRuntime, arguments: Value) -> Result<String> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let cx = Context::default();
    provider.invoke(&cx, &group(), &tool("web_fetch"), arguments).await.map(text_of)
}

/// What a page that is answered so reads like.
async fn read(config: Value, answer: Answer) -> Result<String> {
    let upstream = FakeUpstream::answering(answer).await;
    let provider = provider(config, &[upstream.address().to_string()]).await;
    fetch(&*provider, json!({ "url": format!("{}/page?key=s3cr3t", upstream.url()) })).await
}

async fn refused(config: Value, answer: Answer) -> Error {
    let error = read(config, answer).await.unwrap_err();
    assert!(error.message.contains("/page` cannot be fetched: "), "{}", error.message);
    assert!(!error.message.contains("s3cr3t"), "{}", error.message);
    error
}

#[tokio::test]
async fn html_becomes_text() {
    let page = "<html><head><title>T</title><style>p{}</style></head><body><h1>Ropes</h1>\
                <script>alert(1)</script><p>Knots &amp; cords.</p></body></html>";
    let text = read(json!({}), Answer::new("text/html; charset=utf-8", page)).await.unwrap();
    assert!(text.contains("Ropes") && text.contains("Knots & cords."), "{text}");
    assert!(!text.contains("alert") && !text.contains("p{}") && !text.contains('<'), "{text}");
}

#[tokio::test]
async fn charsets_are_honoured() {
    let stated = Answer::new("text/plain; charset=iso-8859-1", &b"caf\xe9 \xfcber"[..]);
    assert_eq!(read(json!({}), stated).await.unwrap().trim(), "café über");
    let page = b"<meta charset=windows-1251><p>\xcf\xf0\xe8\xe2\xe5\xf2</p>";
    let text = read(json!({}), Answer::new("text/html", &page[..])).await.unwrap();
    assert_eq!(text.trim(), "Привет");
}

#[tokio::test]
async fn json_and_plain_text_stay_as_they_are() {
    let text = read(json!({}), Answer::json(json!({ "knots": 3 }))).await.unwrap();
    assert!(text.contains("knots") && text.contains('3'), "{text}");
    assert_eq!(read(json!({}), Answer::text("a <b> c")).await.unwrap().trim(), "a <b> c");
}

#[tokio::test]
async fn a_long_page_comes_in_parts() {
    let long = "é".repeat(150);
    let upstream = FakeUpstream::answering(Answer::text(long)).await;
    let allow = [upstream.address().to_string()];
    let provider = provider(json!({ "max_characters": 100 }), &allow).await;
    let ask = |start: i64| json!({ "url": upstream.url(), "start": start });
    let first = fetch(&*provider, ask(0)).await.unwrap();
    assert_eq!(first.matches('é').count(), 100);
    assert!(first.ends_with("[The page goes on: call again with `start` 100.]"), "{first}");
    assert_eq!(fetch(&*provider, ask(100)).await.unwrap(), "é".repeat(50));
    assert_eq!(fetch(&*provider, ask(1000)).await.unwrap(), "The page has only 150 characters.");
    for wrong in [json!(-1), json!("x"), json!(1.5)] {
        let arguments = json!({ "url": upstream.url(), "start": wrong });
        let error = fetch(&*provider, arguments).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
    }
}

#[tokio::test]
async fn what_is_no_text_is_refused_by_its_type() {
    for kind in ["image/png", "audio/wav", "video/mp4", "application/octet-stream"] {
        let error = refused(json!({}), Answer::new(kind, vec![0; 64])).await;
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.ends_with(&format!("there is no text in `{kind}`")));
    }
    let png = Answer::new("text/html", &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..]);
    assert_eq!(refused(json!({}), png).await.kind, ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn a_page_that_is_too_large_or_too_slow_is_given_up() {
    let large = Answer::text("x".repeat(1001));
    let error = refused(json!({ "max_bytes": 1000 }), large.clone()).await;
    assert!(error.message.contains("1000"), "{}", error.message);
    // Without a length that is announced, it is counted as it comes.
    let error = refused(json!({ "max_bytes": 1000 }), large.in_pieces_of(100)).await;
    assert!(error.message.contains("1000"), "{}", error.message);
    let error = refused(json!({ "timeout": 1 }), Answer::never()).await;
    assert_eq!(error.kind, ErrorKind::Timeout, "{}", error.message);
}

#[tokio::test]
async fn a_status_is_told() {
    let error = refused(json!({}), Answer::text("gone").status(404)).await;
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(404) });
}

#[tokio::test]
async fn addresses_inside_are_refused_in_every_spelling() {
    let canary = FakeUpstream::answering(Answer::text("inside")).await;
    let port = canary.address().port();
    let provider = provider(json!({}), &[]).await;
    let with_a_user = ["user:pw@127.0.0.1", "198.51.100.7@127.0.0.1"];
    for host in INSIDE.iter().chain(&with_a_user) {
        let arguments = json!({ "url": format!("http://{host}:{port}/") });
        let error = fetch(&*provider, arguments).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{host}: {}", error.message);
        assert!(!error.message.contains("pw@"), "{}", error.message);
    }
    assert_eq!(canary.accepted(), 0);
}

#[tokio::test]
async fn only_the_web_is_fetched() {
    let provider = provider(json!({}), &[]).await;
    for url in [
        json!("file:///etc/passwd"),
        json!("ftp://198.51.100.7/"),
        json!("gopher://198.51.100.7/"),
        json!("data:text/plain,x"),
        json!("unix:///run/x"),
        json!("jar:http://a!/b"),
        json!("http:"),
        json!("/etc/passwd"),
        json!(""),
        json!("x".repeat(5000)),
        json!(7),
        Value::Null,
    ] {
        let error = fetch(&*provider, json!({ "url": url })).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
    }
    let error = fetch(&*provider, Value::Object(Map::new())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn redirects_lead_to_allowed_addresses_only() {
    let canary = FakeUpstream::answering(Answer::text("inside")).await;
    let inside = canary.url();
    for status in [301, 302, 303, 307, 308] {
        let to = Answer::text("").status(status).header("location", &inside);
        assert_eq!(refused(json!({}), to).await.kind, ErrorKind::InvalidRequest);
    }
    assert_eq!(canary.accepted(), 0);
    // A redirect to an address that may be fetched is followed, and a circle of them has an end.
    let script = |seen: &chaski_testkit::Seen| match seen.path.as_str() {
        "/page?key=s3cr3t" => Answer::text("").status(302).header("location", "/there"),
        "/there" => Answer::text("here"),
        _ => Answer::text("").status(302).header("location", "/circle"),
    };
    let upstream = FakeUpstream::start(script).await;
    let provider = provider(json!({}), &[upstream.address().to_string()]).await;
    let page = |path: &str| json!({ "url": format!("{}{path}", upstream.url()) });
    assert_eq!(fetch(&*provider, page("/page?key=s3cr3t")).await.unwrap().trim(), "here");
    let error = fetch(&*provider, page("/circle")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(302) });
}

/// A page is asked for as by a stranger.
#[tokio::test]
async fn pages_are_asked_for_without_cookies_credentials_and_traces_of_others() {
    let script = |seen: &chaski_testkit::Seen| {
        let cookie = |answer: Answer| answer.header("set-cookie", "canary=1; Path=/");
        match seen.path.as_str() {
            "/first" => cookie(Answer::text("").status(302).header("location", "/second")),
            _ => cookie(Answer::text("here")),
        }
    };
    let upstream = FakeUpstream::start(script).await;
    let provider = provider(json!({}), &[upstream.address().to_string()]).await;
    let data = json!({
        "mcp_tokens": { upstream.url(): "canary-token" },
        "mcp_headers": { upstream.url(): { "x-key": "canary-header" } },
        "tavily_search_api_key": "canary-key",
    });
    let cx = Context {
        provider_data: ProviderData::new(data.as_object().unwrap().clone()),
        ..Context::default()
    };
    for _ in 0..2 {
        let arguments = Map::from_iter([
            ("url".to_owned(), json!(format!("{}/first", upstream.url()))),
            ("headers".to_owned(), json!({ "authorization": "canary-argument" })),
        ]);
        let fetched = provider.invoke(&cx, &group(), &tool("web_fetch"), arguments).await;
        assert_eq!(text_of(fetched.unwrap()).trim(), "here");
    }
    let seen = upstream.requests();
    assert_eq!(seen.len(), 4);
    for seen in seen {
        let names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
        let documented = ["accept", "host", "user-agent"];
        let more: Vec<&&str> = names.iter().filter(|name| !documented.contains(name)).collect();
        assert!(more.is_empty(), "{more:?} in {names:?}");
        assert!(!format!("{:?}", seen.headers).contains("canary"));
    }
}

/// Whatever stands in a path, it is the path at the host that was checked.
#[tokio::test]
async fn a_path_does_not_lead_to_another_host() {
    let canary = FakeUpstream::answering(Answer::text("inside")).await;
    let upstream = FakeUpstream::answering(Answer::text("here")).await;
    let provider = provider(json!({}), &[upstream.address().to_string()]).await;
    let at = canary.address();
    let paths = [
        format!("//{at}/x"),
        format!("/%2f%2f{at}/x"),
        format!("/..%2f..%2f@{at}/x"),
        format!("/%2e%2e%2f@{at}/x"),
        format!("/?u=http://{at}/"),
        format!("/x?//{at}"),
        format!("/\\\\{at}/x"),
        format!("/@{at}/x"),
        format!("/x#@{at}/"),
    ];
    for path in &paths {
        let arguments = json!({ "url": format!("{}{path}", upstream.url()) });
        assert_eq!(fetch(&*provider, arguments).await.unwrap().trim(), "here", "{path}");
    }
    assert_eq!(upstream.requests().len(), paths.len());
    assert_eq!(canary.accepted(), 0);
}
