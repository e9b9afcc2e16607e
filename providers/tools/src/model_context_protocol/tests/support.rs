//! A scripted MCP server, and a provider to ask it with.

use crate::{
    model_context_protocol::{ModelContextProtocol, ModelContextProtocolConfig},
    support,
};
use chaski_api::{
    Result, Wire,
    inference::Url,
    tools::{ToolDef, ToolGroup, ToolInvocationResult},
};
use chaski_provider::{Context, Principal, ProviderData, ToolRuntime};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A provider that may call this server although its address is private.
pub(super) fn provider(config: Value, upstream: &FakeUpstream) -> ModelContextProtocol {
    strict(config, &[upstream.address().to_string()])
}

pub(super) fn strict(config: Value, allow: &[String]) -> ModelContextProtocol {
    let config = ModelContextProtocolConfig::from_json(config).unwrap();
    ModelContextProtocol::new(config, support::deps(allow))
}

pub(super) fn group(uri: &str) -> ToolGroup {
    ToolGroup { mcp_endpoint: Some(Url { uri: uri.to_owned() }), ..support::group() }
}

/// A caller with this name and this provider data.
pub(super) fn caller(name: &str, data: &Value) -> Context {
    let principal = Principal { id: name.to_owned(), attributes: Map::new() };
    Context {
        principal: Some(Arc::new(principal)),
        provider_data: ProviderData::new(data.as_object().unwrap().clone()),
        ..Context::default()
    }
}

pub(super) async fn list(
    provider: &ModelContextProtocol,
    cx: &Context,
    uri: &str,
) -> Result<Vec<ToolDef>> {
    provider.tools(cx, &group(uri)).await
}

pub(super) async fn call(
    provider: &ModelContextProtocol,
    cx: &Context,
    uri: &str,
) -> Result<ToolInvocationResult> {
    let arguments = Map::from_iter([("text".to_owned(), json!("hello"))]);
    provider.invoke(cx, &group(uri), &support::tool("echo"), arguments).await
}

/// What a server of streamable HTTP answers to each method that works.
pub(super) fn served(seen: &Seen) -> Answer {
    answered(seen, "s-1", &json!({}))
}

/// The same, with this session and these capabilities of tools.
pub(super) fn answered(seen: &Seen, session: &str, capabilities: &Value) -> Answer {
    if seen.method == "GET" {
        return Answer::json(json!({})).status(405);
    }
    if seen.method == "DELETE" {
        return Answer::json(json!({}));
    }
    let request = seen.json();
    let result = match request["method"].as_str().unwrap() {
        "initialize" => json!({
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": { "tools": capabilities },
            "serverInfo": { "name": "scripted", "version": "1" },
        }),
        "tools/list" => json!({ "tools": [{
            "name": "echo", "description": "Says it again.",
            "inputSchema": {
                "type": "object",
                "properties": { "text": { "type": "string" }, "loud": { "type": "boolean" } },
                "required": ["text"],
            },
        }] }),
        "tools/call" => json!({
            "content": [{ "type": "text", "text": request["params"]["arguments"]["text"] }],
        }),
        _ => return Answer::text("").status(202),
    };
    let reply = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
    Answer::json(reply).header("mcp-session-id", session)
}

/// How often a method was asked for.
pub(super) fn count(upstream: &FakeUpstream, method: &str) -> usize {
    let seen = upstream.requests();
    let posts = seen.iter().filter(|seen| seen.method == "POST");
    posts.filter(|seen| seen.json()["method"] == method).count()
}
