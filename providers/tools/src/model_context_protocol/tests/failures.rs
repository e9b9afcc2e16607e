//! Errors name the server and the phase, and nothing of a server is unbounded.

use super::support::{call, caller, list, provider, served, strict};
use chaski_api::ErrorKind;
use chaski_provider::{Context, ProviderConfig};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Value, json};

use crate::model_context_protocol::http::MESSAGE_BYTES;

fn method(seen: &Seen) -> String {
    if seen.method != "POST" {
        return String::new();
    }
    seen.json()["method"].as_str().unwrap_or_default().to_owned()
}

fn reply(seen: &Seen, field: &str, value: Value) -> Value {
    let mut reply = json!({ "jsonrpc": "2.0", "id": seen.json()["id"] });
    reply[field] = value;
    reply
}

/// What a call says when the server answers `method` with this, and otherwise as it should.
async fn failing(
    at: &'static str,
    answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
) -> chaski_api::Error {
    let script = move |seen: &Seen| if method(seen) == at { answer(seen) } else { served(seen) };
    let upstream = FakeUpstream::start(script).await;
    let provider = provider(json!({ "call_timeout": 2, "connect_timeout": 2 }), &upstream);
    let (cx, uri) = (Context::default(), format!("{}/mcp?key=s3cr3t", upstream.url()));
    let error = if at == "tools/list" {
        list(&provider, &cx, &uri).await.unwrap_err()
    } else {
        call(&provider, &cx, &uri).await.unwrap_err()
    };
    let shown = format!("MCP server `{}/mcp`, phase `", upstream.url());
    assert!(error.message.starts_with(&shown), "{}", error.message);
    assert!(!error.chain().contains("s3cr3t"), "{}", error.chain());
    error
}

#[tokio::test]
async fn an_error_of_the_protocol_is_told_with_its_phase() {
    for (at, phase) in
        [("initialize", "initialize"), ("tools/list", "list tools"), ("tools/call", "call")]
    {
        let error = failing(at, |seen| {
            Answer::json(reply(seen, "error", json!({ "code": -32603, "message": "out of order" })))
        })
        .await;
        assert_eq!(error.kind, ErrorKind::Upstream { status: None });
        assert!(error.message.ends_with(&format!("phase `{phase}`: it answered: out of order")));
    }
    let error = failing("tools/call", |seen| {
        Answer::json(reply(seen, "error", json!({ "code": -32602, "message": "no such tool" })))
    })
    .await;
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("no such tool"), "{}", error.message);
}

#[tokio::test]
async fn a_status_is_told_and_missing_credentials_have_a_remedy() {
    for at in ["initialize", "tools/list", "tools/call"] {
        let error = failing(at, |_| Answer::text("who are you?").status(401)).await;
        assert_eq!(error.kind, ErrorKind::Upstream { status: Some(401) });
        assert!(error.message.contains("mcp_headers"), "{}", error.message);
        let error = failing(at, |_| Answer::text("broken").status(500)).await;
        assert_eq!(error.kind, ErrorKind::Upstream { status: Some(500) });
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    for (at, phase) in [("initialize", "initialize"), ("tools/call", "call")] {
        let error = failing(at, |_| Answer::never()).await;
        assert_eq!(error.kind, ErrorKind::Timeout, "{}", error.message);
        assert!(error.message.contains(&format!("phase `{phase}`")), "{}", error.message);
    }
}

#[tokio::test]
async fn answers_that_are_none_are_told() {
    for answer in [
        Answer::json(json!({ "jsonrpc": "2.0" })),
        Answer::text("<html>hello</html>"),
        Answer::new("application/json", "{"),
        Answer::events(["not json"]),
        Answer::events(Vec::<String>::new()),
    ] {
        for at in ["initialize", "tools/call"] {
            let answer = answer.clone();
            let error = failing(at, move |_| answer.clone()).await;
            let told = matches!(error.kind, ErrorKind::Upstream { .. } | ErrorKind::Timeout);
            assert!(told, "{at}: {:?} {}", error.kind, error.message);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let large = |seen: &Seen| {
        let text = "x".repeat(MESSAGE_BYTES);
        reply(seen, "result", json!({ "content": [{ "type": "text", "text": text }] }))
    };
    let error = failing("tools/call", move |seen| Answer::json(large(seen))).await;
    assert!(matches!(error.kind, ErrorKind::Upstream { .. }), "{}", error.message);
    assert!(error.message.contains("bytes"), "{}", error.message);
    let error = failing("tools/call", move |seen| Answer::events([large(seen).to_string()])).await;
    assert!(
        matches!(error.kind, ErrorKind::Upstream { .. } | ErrorKind::Timeout),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let error = failing("tools/list", |seen| {
        let tool = json!({ "name": "t", "inputSchema": { "type": "object" } });
        Answer::json(reply(seen, "result", json!({ "tools": [tool], "nextCursor": "more" })))
    })
    .await;
    assert!(error.message.contains("pages"), "{}", error.message);
    let error = failing("tools/list", |seen| {
        let tools: Vec<Value> = (0..1001)
            .map(|n| json!({ "name": format!("t{n}"), "inputSchema": { "type": "object" } }))
            .collect();
        Answer::json(reply(seen, "result", json!({ "tools": tools })))
    })
    .await;
    assert!(error.message.contains("more than 1000 tools"), "{}", error.message);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_failed_connection() {
    let upstream = FakeUpstream::start(served).await;
    let (provider, uri) = (provider(json!({}), &upstream), format!("{}/mcp", upstream.url()));
    drop(upstream);
    let error = call(&provider, &Context::default(), &uri).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable { retry_after: None });
    assert!(error.message.contains("phase `connect`"), "{}", error.message);
}

#[tokio::test]
async fn a_program_that_is_none_is_a_failed_connection() {
    let config = json!({
        "connect_timeout": 5,
        "servers": {
            "missing": { "command": "/nowhere/at/all" },
            "silent": { "command": "/bin/true" },
        },
    });
    let provider = strict(config, &[]);
    let error = call(&provider, &Context::default(), "server:missing").await.unwrap_err();
    assert!(error.message.starts_with("MCP server `missing`, phase `connect`: "));
    let error = call(&provider, &Context::default(), "server:silent").await.unwrap_err();
    assert!(error.message.starts_with("MCP server `silent`, phase `"), "{}", error.message);
}

#[tokio::test]
async fn a_group_without_a_server_is_refused() {
    let provider = strict(json!({ "servers": { "a": { "command": "/bin/true" } } }), &[]);
    let mut group = super::support::group("x");
    group.mcp_endpoint = None;
    let error = chaski_provider::ToolRuntime::tools(&provider, &Context::default(), &group).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind, &*error.message),
        (ErrorKind::InvalidRequest, "mcp_endpoint is required")
    );
    let error = list(&provider, &caller("a", &json!({})), "server:b").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(error.message, "the configuration has no MCP server `b`; it has `a`");
}

#[test]
fn a_server_of_the_configuration_is_a_program_or_an_address() {
    let entry = chaski_provider::Entry::<dyn chaski_provider::ToolRuntimeProvider>::of::<
        crate::model_context_protocol::ModelContextProtocol,
    >();
    for (server, problem) in [
        (json!({}), "`s` has neither `command` nor `url`; give one of them"),
        (
            json!({ "command": "/bin/true", "url": "http://a" }),
            "`s` has both `command` and `url`; give one of them",
        ),
        (json!({ "command": " " }), "`s` has an empty `command`"),
        (
            json!({ "url": "file:///a" }),
            "`s` has a `url` that does not begin with `http://` or `https://`",
        ),
        (
            json!({ "command": "/bin/true", "headers": { "a": "b" } }),
            "`s` is a program, which takes no `headers`; use `env`",
        ),
    ] {
        let issues = (entry.check)(json!({ "servers": { "s": server } }));
        let [issue] = &issues[..] else { panic!("one issue: {issues:?}") };
        assert_eq!(issue.to_string(), format!("servers: {problem}"));
    }
    let sample = super::super::ModelContextProtocolConfig::sample("/d");
    assert!((entry.check)(sample).is_empty());
}
