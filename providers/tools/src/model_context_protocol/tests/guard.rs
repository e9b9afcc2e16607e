//! Addresses of callers lead nowhere inside, and nobody names a program.

use super::support::{call, caller, count, group, list, served, strict};
use chaski_api::ErrorKind;
use chaski_provider::{Context, ToolRuntime};
use chaski_testkit::{Answer, FakeUpstream, INSIDE};
use serde_json::{Map, Value, json};

/// A server on this machine that must never be asked.
async fn canary() -> FakeUpstream {
    FakeUpstream::start(served).await
}

#[tokio::test]
async fn private_addresses_are_refused_in_every_spelling() {
    let canary = canary().await;
    let port = canary.address().port();
    let provider = strict(json!({}), &[]);
    for host in INSIDE {
        for path in ["/mcp", "/sse"] {
            let uri = format!("http://{host}:{port}{path}");
            let error = list(&provider, &Context::default(), &uri).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidRequest, "{uri}: {}", error.message);
        }
    }
    assert_eq!(canary.accepted(), 0);
}

#[tokio::test]
async fn addresses_that_parsers_read_differently_lead_nowhere() {
    let canary = canary().await;
    let at = canary.address();
    let provider = strict(json!({}), &["198.51.100.7:80".to_owned()]);
    for uri in [
        format!("http://198.51.100.7\\@{at}/"),
        format!("http://198.51.100.7@{at}/"),
        format!("http://{at}#@198.51.100.7"),
        format!("http:///{at}/"),
        format!("http://\t{at}/"),
        format!("ht\ntp://{at}/"),
        format!("  http://{at}/  "),
        format!("http://user:pass@{at}/"),
    ] {
        // What the parser takes for the listed host does not reach the canary; there is no route.
        let cx = Context {
            deadline: std::time::Instant::now().checked_add(std::time::Duration::from_secs(1)),
            ..Context::default()
        };
        let outcome =
            tokio::time::timeout(std::time::Duration::from_secs(2), list(&provider, &cx, &uri))
                .await;
        assert!(!matches!(outcome, Ok(Ok(_))), "{uri}");
    }
    assert_eq!(canary.accepted(), 0);
}

#[tokio::test]
async fn only_the_web_is_spoken_to_and_no_request_names_a_program() {
    let config = json!({ "servers": { "a": { "command": "/bin/true" } } });
    let provider = strict(config, &[]);
    for uri in [
        "",
        "x",
        "file:///bin/sh",
        "ftp://198.51.100.7/",
        "gopher://198.51.100.7/",
        "data:,x",
        "unix:///run/x.sock",
        "jar:http://198.51.100.7!/",
        "stdio:/bin/sh",
        "stdio:///bin/sh",
        "command:/bin/sh",
        "npx some-server",
        "/bin/true",
        "server:/bin/true",
        "server:",
        "server:A",
        "server:a b",
        "Server:a",
        "http:",
        "http://",
    ] {
        let error = list(&provider, &Context::default(), uri).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{uri}: {}", error.message);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let canary = canary().await;
    let to = format!("{}/mcp", canary.url());
    for status in [301, 302, 303, 307, 308] {
        let to = to.clone();
        let script = move |_: &_| Answer::text("").status(status).header("location", &to);
        let upstream = FakeUpstream::start(script).await;
        let provider = super::support::provider(json!({}), &upstream);
        let uri = format!("{}/mcp", upstream.url());
        let cx = caller("ann", &json!({ "mcp_tokens": { &uri: "t0ken" } }));
        let error = call(&provider, &cx, &uri).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Upstream { status: Some(status) });
        assert!(error.message.contains("redirect"), "{}", error.message);
    }
    assert_eq!(canary.accepted(), 0);
}

#[tokio::test]
async fn a_stream_of_events_cannot_send_messages_elsewhere() {
    let canary = canary().await;
    let to = canary.url();
    let script = move |seen: &chaski_testkit::Seen| {
        if seen.method == "POST" {
            return Answer::text("").status(405);
        }
        Answer::new("text/event-stream", format!("event: endpoint\ndata: {to}/messages\n\n"))
    };
    let upstream = FakeUpstream::start(script).await;
    let provider = super::support::provider(json!({}), &upstream);
    let uri = format!("{}/sse", upstream.url());
    let cx = caller("ann", &json!({ "mcp_tokens": { &uri: "t0ken" } }));
    let error = call(&provider, &cx, &uri).await.unwrap_err();
    assert!(error.message.contains("another origin"), "{}", error.message);
    assert_eq!(canary.accepted(), 0);
}

#[tokio::test]
async fn a_challenge_does_not_lead_to_the_authorization_server_that_it_names() {
    let canary = canary().await;
    let challenge = format!("Bearer resource_metadata=\"{}/.well-known/x\"", canary.url());
    let script = move |_: &_| Answer::text("").status(401).header("www-authenticate", &challenge);
    let upstream = FakeUpstream::start(script).await;
    let provider = super::support::provider(json!({}), &upstream);
    let error =
        call(&provider, &Context::default(), &format!("{}/mcp", upstream.url())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(401) });
    assert_eq!(canary.accepted(), 0);
}

#[tokio::test]
async fn variables_in_requests_stay_as_they_are() {
    let upstream = FakeUpstream::start(served).await;
    let provider = super::support::provider(json!({}), &upstream);
    let uri = format!("{}/mcp", upstream.url());
    let value = "${env.HOME} {{HOME}} os.environ/HOME $HOME";
    let cx = caller("ann", &json!({ "mcp_headers": { &uri: { "X-Key": value } } }));
    call(&provider, &cx, &uri).await.unwrap();
    assert!(upstream.requests().iter().all(|seen| seen.header("x-key") == value));
    assert_eq!(count(&upstream, "tools/call"), 1);
}

/// What stands in the name of a tool is no part of an address.
#[tokio::test]
async fn names_of_tools_stay_in_the_message() {
    let upstream = FakeUpstream::start(served).await;
    let provider = super::support::provider(json!({}), &upstream);
    let uri = format!("{}/mcp", upstream.url());
    let names = [
        "%2e%2e%2fadmin",
        "..%2fadmin",
        "../admin",
        "//198.51.100.7/x",
        "echo?admin=1",
        "echo#admin",
        "echo\r\nx-admin: 1",
        "tools/list",
    ];
    for name in names {
        let (cx, group, tool) = (Context::default(), group(&uri), crate::support::tool(name));
        let arguments = Map::from_iter([("text".to_owned(), json!("hello"))]);
        provider.invoke(&cx, &group, &tool, arguments).await.unwrap();
    }
    let seen = upstream.requests();
    assert!(seen.iter().all(|seen| seen.path == "/mcp" && seen.headers.get("x-admin").is_none()));
    let posts = seen.iter().filter(|seen| seen.method == "POST").map(chaski_testkit::Seen::json);
    let called: Vec<Value> = posts
        .filter(|message| message["method"] == "tools/call")
        .map(|message| message["params"]["name"].clone())
        .collect();
    assert_eq!(called, names);
}

/// Nothing that a caller shows, that another server gave, or that belongs to another
/// provider comes along.
#[tokio::test]
async fn a_server_gets_the_headers_of_the_protocol_and_those_that_are_meant_for_it() {
    let script = |seen: &chaski_testkit::Seen| {
        served(seen).header("set-cookie", "canary=from-the-server; Path=/")
    };
    let upstream = FakeUpstream::start(script).await;
    let other = FakeUpstream::start(script).await;
    let allow = [upstream.address().to_string(), other.address().to_string()];
    let provider = strict(json!({}), &allow);
    let (uri, elsewhere) = (format!("{}/mcp", upstream.url()), format!("{}/mcp", other.url()));
    let cx = caller(
        "canary-name",
        &json!({
            "mcp_headers": { &uri: { "X-Key": "meant" }, &elsewhere: { "X-Other": "canary-header" } },
            "mcp_tokens": { &elsewhere: "canary-token" },
            "tavily_search_api_key": "canary-key", "cookie": "canary-cookie",
        }),
    );
    for _ in 0..2 {
        list(&provider, &cx, &uri).await.unwrap();
        call(&provider, &cx, &uri).await.unwrap();
    }
    for seen in upstream.requests() {
        let names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
        let documented = [
            "accept",
            "content-length",
            "content-type",
            "host",
            "mcp-method",
            "mcp-name",
            "mcp-protocol-version",
            "mcp-session-id",
            "user-agent",
            "x-key",
        ];
        let more: Vec<&&str> = names.iter().filter(|name| !documented.contains(name)).collect();
        assert!(more.is_empty(), "{more:?} in {names:?}");
        let all = format!("{:?} {}", seen.headers, String::from_utf8_lossy(&seen.body));
        assert!(!all.contains("canary"), "{all}");
    }
    assert_eq!(other.accepted(), 0);
}

/// What a caller gives for a server is headers, and no settings of the connection.
#[tokio::test]
async fn provider_data_cannot_change_where_and_how_a_server_is_asked() {
    let canary = canary().await;
    let upstream = FakeUpstream::start(served).await;
    let provider = super::support::provider(json!({}), &upstream);
    let uri = format!("{}/mcp", upstream.url());
    for (name, value) in [
        ("Host", canary.address().to_string()),
        ("Mcp-Session-Id", "of-another".to_owned()),
        ("Transfer-Encoding", "chunked".to_owned()),
        ("Content-Length", "0".to_owned()),
    ] {
        let cx = caller("ann", &json!({ "mcp_headers": { &uri: { name: value } } }));
        let error = call(&provider, &cx, &uri).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{name}: {}", error.message);
    }
    let settings = json!({
        "servers": { "a": { "command": "/bin/true", "url": canary.url() } },
        "url": canary.url(), "base_url": canary.url(), "mcp_endpoint": { "uri": canary.url() },
        "egress_allow": [canary.address().to_string()], "proxy": canary.url(),
    });
    let cx = caller("ann", &settings);
    call(&provider, &cx, &uri).await.unwrap();
    for refused in ["server:a", &canary.url()] {
        assert!(call(&provider, &cx, refused).await.is_err(), "{refused}");
    }
    assert_eq!(canary.accepted(), 0);
}
