//! Sessions are used again by the same caller, and by nobody else.

use super::support::{answered, call, caller, count, list, provider, served, strict};
use chaski_api::{ErrorKind, inference::InterleavedContent};
use chaski_provider::{Context, Lifecycle};
use chaski_testkit::{Answer, FakeUpstream, Gate, Seen, eventually};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[tokio::test]
async fn a_tool_is_listed_and_called_in_one_session() {
    let upstream = FakeUpstream::start(served).await;
    let provider = provider(json!({}), &upstream);
    let (cx, uri) = (Context::default(), format!("{}/mcp", upstream.url()));
    let tools = list(&provider, &cx, &uri).await.unwrap();
    let [tool] = &tools[..] else { panic!("one tool: {tools:?}") };
    assert_eq!((&*tool.name, tool.description.as_deref()), ("echo", Some("Says it again.")));
    assert_eq!(tool.metadata.as_ref().unwrap()["endpoint"], *uri);
    let required: Vec<bool> =
        tool.parameters.iter().flatten().map(|parameter| parameter.required).collect();
    assert_eq!(required, [true, false]);
    for _ in 0..3 {
        let result = call(&provider, &cx, &uri).await.unwrap();
        assert_eq!(result.content, InterleavedContent::Text("hello".to_owned()));
        assert_eq!(result.error_code, Some(0));
    }
    assert_eq!(list(&provider, &cx, &uri).await.unwrap(), tools);
    assert_eq!((count(&upstream, "initialize"), count(&upstream, "tools/list")), (1, 1));
    let last = upstream.requests().pop().unwrap();
    assert_eq!(last.header("mcp-session-id"), "s-1");
    assert!(!last.header("mcp-protocol-version").is_empty());
}

#[tokio::test]
async fn no_session_is_shared_between_callers_or_credentials() {
    let upstream = FakeUpstream::start(served).await;
    let provider = provider(json!({}), &upstream);
    let uri = format!("{}/mcp", upstream.url());
    let with = |key: &str| json!({ "mcp_headers": { &uri: { "X-Key": key } } });
    let callers = [
        caller("ann", &json!({})),
        caller("ben", &json!({})),
        caller("ann", &with("a")),
        caller("ann", &with("b")),
        caller("ben", &with("a")),
        caller("ben", &json!({ "mcp_tokens": { &uri: "t" } })),
    ];
    for cx in &callers {
        call(&provider, cx, &uri).await.unwrap();
        call(&provider, cx, &uri).await.unwrap();
    }
    assert_eq!(count(&upstream, "initialize"), callers.len());
    assert_eq!(provider.sessions.len(), callers.len());
}

#[tokio::test]
async fn credentials_reach_the_server_that_they_are_for_and_no_other() {
    let upstream = FakeUpstream::start(served).await;
    let other = FakeUpstream::start(served).await;
    let allow = [upstream.address().to_string(), other.address().to_string()];
    let provider = strict(json!({}), &allow);
    let uri = format!("{}/mcp", upstream.url());
    let data = json!({
        "mcp_headers": { format!("{uri}/"): { "X-Key": "s3cr3t" } },
        "mcp_tokens": { &uri: "t0ken" },
    });
    let cx = caller("ann", &data);
    call(&provider, &cx, &uri).await.unwrap();
    for seen in upstream.requests() {
        assert_eq!(
            (seen.header("x-key"), seen.header("authorization")),
            ("s3cr3t", "Bearer t0ken")
        );
    }
    call(&provider, &cx, &format!("{}/mcp", other.url())).await.unwrap();
    call(&provider, &cx, &format!("{}/other", upstream.url())).await.unwrap();
    let elsewhere = other
        .requests()
        .into_iter()
        .chain(upstream.requests().into_iter().filter(|seen| seen.path == "/other"));
    for seen in elsewhere {
        let headers = format!("{:?}", seen.headers);
        assert!(!headers.contains("s3cr3t") && !headers.contains("t0ken"), "{headers}");
    }
}

#[tokio::test]
async fn headers_of_the_configuration_are_sent_to_its_server_alone() {
    let upstream = FakeUpstream::start(served).await;
    let config = json!({ "servers": { "issues": {
        "url": format!("{}/mcp", upstream.url()), "headers": { "X-Operator": "k3y" },
    } } });
    // The address is private, and not listed: the operator vouches for it.
    let provider = strict(config.clone(), &[]);
    call(&provider, &Context::default(), "server:issues").await.unwrap();
    assert!(upstream.requests().iter().all(|seen| seen.header("x-operator") == "k3y"));
    // Given as an address, the same server is anybody's.
    let provider = strict(config, &[upstream.address().to_string()]);
    let before = upstream.requests().len();
    call(&provider, &Context::default(), &format!("{}/mcp", upstream.url())).await.unwrap();
    assert!(upstream.requests()[before..].iter().all(|seen| seen.header("x-operator").is_empty()));
}

#[tokio::test]
async fn headers_of_the_protocol_cannot_be_given() {
    let upstream = FakeUpstream::start(served).await;
    let provider = provider(json!({}), &upstream);
    let uri = format!("{}/mcp", upstream.url());
    for (headers, named) in [
        (json!({ "Host": "evil.example" }), "`host`"),
        (json!({ "Mcp-Session-Id": "x" }), "`mcp-session-id`"),
        (json!({ "Transfer-Encoding": "chunked" }), "`transfer-encoding`"),
        (json!({ "X-Key": "a\r\nHost: b" }), "`x-key`"),
        (json!({ "a b": "c" }), "`a b`"),
        (json!({ "X-Key": 1 }), "`X-Key`"),
        (json!(["X-Key"]), "`mcp_headers`"),
    ] {
        let cx = caller("ann", &json!({ "mcp_headers": { &uri: headers } }));
        let error = call(&provider, &cx, &uri).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains(named), "{}", error.message);
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_list_is_asked_for_again_once_the_server_says_that_it_changed() {
    let gate = Gate::closed();
    let streams = Arc::new(AtomicUsize::new(0));
    let script = {
        let (gate, streams) = (gate.clone(), Arc::clone(&streams));
        move |seen: &Seen| {
            if seen.method != "GET" {
                return answered(seen, "s", &json!({ "listChanged": true }));
            }
            if streams.fetch_add(1, Ordering::SeqCst) > 0 {
                return Answer::never();
            }
            let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
            let text = format!(": open\n\ndata: {changed}\n\n");
            Answer::new("text/event-stream", text).held_after(8, &gate)
        }
    };
    let upstream = FakeUpstream::start(script).await;
    let provider = provider(json!({}), &upstream);
    let (cx, uri) = (Context::default(), format!("{}/mcp", upstream.url()));
    list(&provider, &cx, &uri).await.unwrap();
    list(&provider, &cx, &uri).await.unwrap();
    assert_eq!(count(&upstream, "tools/list"), 1);
    gate.open();
    let mut listed = 1;
    while listed < 2 {
        list(&provider, &cx, &uri).await.unwrap();
        listed = count(&upstream, "tools/list");
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&upstream, "initialize"), 1);
}

#[tokio::test]
async fn idle_sessions_are_closed_and_the_server_is_told() {
    let upstream = FakeUpstream::start(served).await;
    let provider = provider(json!({ "idle_timeout": 1 }), &upstream);
    let uri = format!("{}/mcp", upstream.url());
    call(&provider, &Context::default(), &uri).await.unwrap();
    assert_eq!(provider.sessions.len(), 1);
    eventually("the session to be closed", || {
        provider.sessions.len() == 0
            && upstream.requests().iter().any(|seen| seen.method == "DELETE")
    })
    .await;
    call(&provider, &Context::default(), &uri).await.unwrap();
    assert_eq!(count(&upstream, "initialize"), 2);
}

#[tokio::test]
async fn there_are_no_more_sessions_than_configured() {
    let gate = Gate::closed();
    let script = {
        let gate = gate.clone();
        move |seen: &Seen| {
            let answer = served(seen);
            let waits = seen.method == "POST" && seen.json()["method"] == "tools/call";
            if waits { answer.held_by(&gate) } else { answer }
        }
    };
    let upstream = FakeUpstream::start(script).await;
    let provider = Arc::new(provider(json!({ "max_sessions": 2 }), &upstream));
    let uri = format!("{}/mcp", upstream.url());
    for name in ["a", "b", "c", "d"] {
        list(&provider, &caller(name, &json!({})), &uri).await.unwrap();
        assert!(provider.sessions.len() <= 2);
    }
    let busy: Vec<_> = ["c", "d"]
        .map(|name| {
            let (provider, uri) = (Arc::clone(&provider), uri.clone());
            tokio::spawn(async move { call(&provider, &caller(name, &json!({})), &uri).await })
        })
        .into_iter()
        .collect();
    eventually("the calls to arrive", || count(&upstream, "tools/call") == 2).await;
    let error = list(&provider, &caller("e", &json!({})), &uri).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
    assert!(error.message.contains("`max_sessions`"), "{}", error.message);
    gate.open();
    for call in busy {
        call.await.unwrap().unwrap();
    }
    list(&provider, &caller("e", &json!({})), &uri).await.unwrap();
}

#[tokio::test]
async fn a_server_that_forgot_the_session_is_introduced_to_again() {
    let known = Arc::new(AtomicUsize::new(1));
    let script = {
        let known = Arc::clone(&known);
        move |seen: &Seen| {
            let now = format!("s-{}", known.load(Ordering::SeqCst));
            let given = seen.header("mcp-session-id");
            if !given.is_empty() && given != now {
                return Answer::json(json!({})).status(404);
            }
            answered(seen, &now, &Value::Null)
        }
    };
    let upstream = FakeUpstream::start(script).await;
    let provider = provider(json!({}), &upstream);
    let (cx, uri) = (Context::default(), format!("{}/mcp", upstream.url()));
    call(&provider, &cx, &uri).await.unwrap();
    known.store(2, Ordering::SeqCst);
    call(&provider, &cx, &uri).await.unwrap();
    assert_eq!(count(&upstream, "initialize"), 2);
}

#[tokio::test]
async fn a_program_of_the_configuration_is_a_server() {
    // A shell is enough of an MCP server for this: it answers by the method that it reads.
    let script = r#"
        while read -r line; do
          id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
          case "$line" in
            *'"initialize"'*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"protocolVersion\":\"2025-03-26\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"sh\",\"version\":\"1\"}}}" ;;
            *'"tools/call"'*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"$GREETING|$HOME|$CHASKI_SECRET\"}]}}" ;;
          esac
        done"#;
    let config = json!({ "servers": { "shell": {
        "command": "/bin/sh", "args": ["-c", script], "env": { "GREETING": "good day" },
    } } });
    let provider = strict(config, &[]);
    let result = call(&provider, &Context::default(), "server:shell").await.unwrap();
    // Of the environment it has what the configuration gives it.
    assert_eq!(result.content, InterleavedContent::Text("good day||".to_owned()));
    call(&provider, &Context::default(), "server:shell").await.unwrap();
    assert_eq!(provider.sessions.len(), 1);
    provider.shutdown().await;
    assert_eq!(provider.sessions.len(), 0);
}

#[tokio::test]
async fn a_server_is_told_of_the_trace_in_the_message() {
    let upstream = FakeUpstream::start(served).await;
    let provider = provider(json!({}), &upstream);
    let (cx, parent) = crate::support::traced();
    call(&provider, &cx, &format!("{}/mcp", upstream.url())).await.unwrap();
    let requests = upstream.requests();
    // The request for the events of the server has no body.
    let messages = requests.iter().filter(|seen| !seen.body.is_empty());
    let called = messages.map(Seen::json).find(|message| message["method"] == "tools/call");
    assert_eq!(called.unwrap()["params"]["_meta"]["traceparent"], parent);
}
