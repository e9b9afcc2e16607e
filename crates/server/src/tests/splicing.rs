//! Ids and bodies that mean to lead elsewhere, at the routes of tools and agents.

use super::{
    harness::{Running, start_with, status_of},
    tools::listed,
};
use crate::{AuthOptions, ServerOptions};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};

fn config() -> Value {
    json!({
        "providers": {
            "inference": [
                { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
            ],
            "tool_runtime": [
                { "provider_id": "calc", "provider_type": "inline::code-interpreter", "config": {} },
                { "provider_id": "other", "provider_type": "remote::wolfram-alpha", "config": {} },
            ],
            "agents": [
                { "provider_id": "agents", "provider_type": "inline::meta-reference",
                  "config": { "persistence_store": { "db_path": ":memory:" } } },
            ],
        },
        "models": [{ "model_id": "m", "provider_id": "told" }],
        "tool_groups": [{ "toolgroup_id": "builtin::math", "provider_id": "calc" }],
    })
}

async fn server() -> Running {
    let server = start_with(ServerOptions::default(), config()).await;
    listed(&server).await;
    server
}

/// An agent with a session.
async fn agent(server: &Running) -> (String, String) {
    let config = json!({ "agent_config": { "model": "m", "instructions": "secret words" } });
    let made = server.post("/v1/agents", &config).await.json();
    let agent = made["agent_id"].as_str().unwrap().to_owned();
    let session = json!({ "session_name": "s" });
    let made = server.post(&format!("/v1/agents/{agent}/session"), &session).await.json();
    (agent, made["session_id"].as_str().unwrap().to_owned())
}

/// The body of a raw answer.
fn body_of(raw: &str) -> &str {
    raw.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// What is put in the place of an id, or behind one.
const ODD: &[&str] = &[
    "%2e%2e%2f",
    "..%2f",
    "%2e%2e",
    "..",
    "%2e",
    "..%2f..%2fmodels%2fm",
    "%2e%2e%2f%2e%2e%2fproviders%2fcalc",
    "../../providers/calc",
    "%252e%252e%252f",
    "..%5c..%5cmodels",
    "%2f%2f198.51.100.7%2fx",
    "//198.51.100.7/x",
    "http:%2f%2f198.51.100.7%2f",
    "%3fprovider_id=other",
    "%23other",
    "%00",
    "%0d%0ax-admin:%201",
    "%ff%fe",
];

/// An id is looked for as it stands, and is part of no path.
#[tokio::test]
async fn ids_that_are_paths_lead_nowhere() {
    let server = server().await;
    let (agent, session) = agent(&server).await;
    let inside = |text: &str| {
        ["secret words", "told", "\"object\":\"list\"", "toolgroup_id\":\"builtin"]
            .iter()
            .any(|word| text.contains(word))
    };
    for odd in ODD {
        let session_path = format!("/v1/agents/{agent}/session");
        for (method, path) in [
            ("GET", format!("/v1/toolgroups/{odd}")),
            ("DELETE", format!("/v1/toolgroups/{odd}")),
            ("GET", format!("/v1/toolgroups/builtin::math{odd}")),
            ("DELETE", format!("/v1/toolgroups/builtin::math{odd}")),
            ("GET", format!("/v1/tools/{odd}")),
            ("GET", format!("/v1/tools/add{odd}")),
            ("GET", format!("/v1/tools?toolgroup_id={odd}")),
            ("GET", format!("/v1/tool-runtime/list-tools?tool_group_id={odd}")),
            ("GET", format!("/v1/agents/{odd}")),
            ("GET", format!("/v1/agents/{agent}{odd}")),
            ("DELETE", format!("/v1/agents/{agent}{odd}")),
            ("GET", format!("/v1/agents/{odd}/session/{session}")),
            ("GET", format!("{session_path}/{odd}")),
            ("GET", format!("{session_path}/{session}{odd}")),
            ("DELETE", format!("{session_path}/{session}{odd}")),
            ("POST", format!("{session_path}/{odd}/turn")),
            ("GET", format!("{session_path}/{session}/turn/{odd}")),
            ("POST", format!("{session_path}/{session}/turn/{odd}/resume")),
            ("GET", format!("{session_path}/{session}/turn/{odd}/step/{odd}")),
        ] {
            let body = if path.ends_with("/turn") {
                r#"{"messages": [{"role": "user", "content": "hi"}]}"#
            } else {
                r#"{"tool_responses": []}"#
            };
            let body = if method == "POST" { body } else { "" };
            let answer = server.raw_request(&format!("{method} {path}"), "", body.as_bytes()).await;
            let what = format!("{method} {path}: {answer}");
            assert!((200..500).contains(&status_of(&answer)), "{what}");
            assert!(!inside(body_of(&answer)), "{what}");
            assert!(!answer.to_lowercase().contains("\nx-admin"), "{what}");
            // A server that goes by the path alone sends nobody to another host.
            let leads = answer.lines().find_map(|line| line.strip_prefix("location: "));
            assert!(leads.is_none_or(|to| to.starts_with("http://localhost/v1/")), "{what}");
        }
    }
    // Nothing was removed and nothing was begun.
    assert_eq!(server.get("/v1/toolgroups/builtin::math").await.json()["provider_id"], "calc");
    assert_eq!(server.get("/v1/tools/add").await.json()["identifier"], "add");
    let kept = server.get(&format!("/v1/agents/{agent}/session/{session}")).await.json();
    assert_eq!(kept["turns"], json!([]));
}

#[tokio::test]
async fn a_group_whose_id_is_a_path_is_itself_and_nothing_else() {
    let server = server().await;
    let gone = server.request(http::Method::DELETE, "/v1/toolgroups/builtin::math");
    assert_eq!(server.send(gone).await.line(), "200 null");
    for (id, encoded) in [
        ("../../models/m", "%2e%2e%2f%2e%2e%2fmodels%2fm"),
        ("a?b#c", "a%3Fb%23c"),
        ("%2e%2e%2f", "%252e%252e%252f"),
    ] {
        let body = json!({ "toolgroup_id": id, "provider_id": "calc" });
        assert_eq!(server.post("/v1/toolgroups", &body).await.line(), "200 null", "{id}");
        let path = format!("/v1/toolgroups/{encoded}");
        let read = server.raw_request(&format!("GET {path}"), "", b"").await;
        let read: Value = serde_json::from_str(body_of(&read)).unwrap();
        assert_eq!(read["identifier"], id);
        let gone = server.raw_request(&format!("DELETE {path}"), "", b"").await;
        assert_eq!(status_of(&gone), 200, "{gone}");
        assert_eq!(server.get("/v1/toolgroups").await.json(), json!({ "data": [] }));
        assert_eq!(server.get("/v1/models/m").await.status, 200);
    }
}

/// Settings of providers and stores have no place in a request.
#[tokio::test]
async fn settings_in_requests_change_nothing() {
    let server = server().await;
    let canary = FakeUpstream::answering(Answer::json(json!({}))).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("canary.db");
    let settings = json!({
        "provider_type": "remote::model-context-protocol",
        "config": { "url": canary.url(), "python": "/bin/sh", "servers": { "a": { "command": "/bin/true" } } },
        "providers": { "tool_runtime": [{ "provider_id": "canary" }] },
        "persistence_store": { "type": "sqlite", "db_path": path },
        "kvstore": { "db_path": path }, "storage": { "path": path }, "db_path": path,
        "url": canary.url(), "base_url": canary.url(), "api_base": canary.url(),
        "endpoint": canary.url(), "api_key": "canary", "owner": "canary", "tenant": "canary",
        "command": "/bin/true", "args_env": { "PATH": "canary" },
    });
    let with = |body: Value| {
        let mut whole = settings.as_object().unwrap().clone();
        whole.extend(body.as_object().unwrap().clone());
        Value::Object(whole)
    };
    let mut read = Vec::new();
    // What a request does not know changes nothing.
    let group = with(json!({ "toolgroup_id": "builtin::math", "provider_id": "calc" }));
    let answer = server.post("/v1/toolgroups", &group).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    read.push(server.get("/v1/toolgroups").await);
    let call = with(json!({ "tool_name": "add", "kwargs": { "a": 1, "b": 2 } }));
    let answer = server.post("/v1/tool-runtime/invoke", &call).await;
    assert_eq!(answer.json()["content"], "add: 3", "{}", answer.text);
    let config = with(json!({ "model": "m", "instructions": "x" }));
    let answer = server.post("/v1/agents", &with(json!({ "agent_config": config }))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let agent = answer.json()["agent_id"].as_str().unwrap().to_owned();
    read.push(server.get(&format!("/v1/agents/{agent}")).await);
    let sessions = format!("/v1/agents/{agent}/session");
    let session = server.post(&sessions, &with(json!({ "session_name": "s" }))).await.json();
    let session = format!("{sessions}/{}", session["session_id"].as_str().unwrap());
    let turn = with(json!({ "messages": [{ "role": "user", "content": "say hello" }] }));
    read.push(server.post(&format!("{session}/turn"), &turn).await);
    read.push(server.get(&session).await);
    read.push(server.get("/v1/providers").await);
    for answer in read {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(!answer.text.contains("canary"), "{}", answer.text);
        assert!(!answer.text.contains(&canary.url()), "{}", answer.text);
    }
    assert_eq!(canary.accepted(), 0);
    assert!(!path.exists());
}

/// Which provider answers is no matter of the caller.
#[tokio::test]
async fn headers_and_suffixes_choose_no_provider() {
    let server = server().await;
    let call = json!({ "tool_name": "add", "kwargs": { "a": 1, "b": 2 } });
    let plain = server.post("/v1/tool-runtime/invoke", &call).await.line();
    assert!(plain.starts_with("200 "), "{plain}");
    for name in [
        "x-chaski-provider",
        "x-chaski-model",
        "x-provider-id",
        "x-llamastack-provider",
        "x-backend",
        "x-backend-index",
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
    ] {
        for value in ["other", "nope", "1", "/v1/providers"] {
            let headers = [(name, value)];
            let chosen = server.post_with("/v1/tool-runtime/invoke", &call, &headers).await;
            assert_eq!(chosen.line(), plain, "{name}: {value}");
        }
    }
    let queries = ["?provider_id=nope", "?provider=other", "?index=1"];
    for query in queries {
        let path = format!("/v1/tool-runtime/invoke{query}");
        assert_eq!(server.post(&path, &call).await.line(), plain, "{query}");
    }
    for name in [
        "add@other",
        "other/add",
        "calc/add",
        "other::add",
        "calc::add",
        "builtin::math/add",
        "add?provider_id=other",
        "add#other",
        "add:1",
        "add/0",
        "ADD",
        " add",
    ] {
        let call = json!({ "tool_name": name, "kwargs": { "a": 1 } });
        let answer = server.post("/v1/tool-runtime/invoke", &call).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text);
        let params = json!({ "name": name, "arguments": { "a": 1 } });
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let answer = server.post("/mcp", &message).await;
        assert_eq!(answer.json()["error"]["code"], -32602, "{name}: {}", answer.text);
    }
}

/// Who decides on tokens is told what is documented, whatever is asked for.
#[tokio::test]
async fn who_decides_on_tokens_sees_neither_cookies_nor_keys_nor_bodies() {
    let service = FakeUpstream::answering(Answer::json(json!({ "principal": "ann" }))).await;
    let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
    let auth = Some(AuthOptions::new(endpoint));
    let server = start_with(ServerOptions { auth, ..ServerOptions::default() }, config()).await;
    let headers = [
        ("authorization", "Bearer shown"),
        ("cookie", "canary-cookie=1"),
        ("x-llamastack-provider-data", r#"{"mcp_tokens": {"http://x/": "canary-token"}}"#),
        ("x-chaski-provider-data", r#"{"tavily_search_api_key": "canary-key"}"#),
    ];
    let mcp = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "params": { "x": "canary" } });
    let call = json!({ "tool_name": "canary", "kwargs": { "a": "canary" } });
    for (path, body) in [("/mcp", mcp), ("/v1/tool-runtime/invoke", call)] {
        let answer = server.post_with(path, &body, &headers).await;
        assert_ne!(answer.status, 401, "{}", answer.text);
    }
    let seen = service.requests();
    assert!(!seen.is_empty());
    for seen in seen {
        let all = format!("{:?} {}", seen.headers, String::from_utf8_lossy(&seen.body));
        assert!(all.contains("shown") && !all.contains("canary"), "{all}");
    }
}
