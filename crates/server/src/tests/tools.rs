//! Tool groups, tools and shields over HTTP.

use super::{
    guards::ENDLESS,
    harness::{Running, start_with},
};
use crate::ServerOptions;
use chaski_testkit::{PATIENCE, eventually_some};
use serde_json::{Value, json};

async fn server() -> Running {
    server_with(json!([{ "toolgroup_id": "builtin::math", "provider_id": "calc" }])).await
}

/// The same, which declares these tool groups.
async fn server_with(tool_groups: Value) -> Running {
    let server = start_with(
        ServerOptions::default(),
        json!({
            "providers": {
                "inference": [
                    { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
                ],
                "tool_runtime": [
                    { "provider_id": "calc", "provider_type": "inline::code-interpreter", "config": {} },
                    { "provider_id": "other", "provider_type": "remote::wolfram-alpha", "config": {} },
                ],
                "safety": [
                    { "provider_id": "censor", "provider_type": "inline::llama-guard", "config": {} },
                ],
            },
            "models": [{ "model_id": "m", "provider_id": "told" }],
            "tool_groups": tool_groups,
            "shields": [{ "shield_id": "declared" }],
        }),
    )
    .await;
    listed(&server).await;
    server
}

/// Waits for the tools of the declared group, which come with their provider.
pub(super) async fn listed(server: &Running) {
    eventually_some(PATIENCE, "the tools of the declared group", async || {
        let tools = server.get("/v1/tools").await.json();
        (tools["data"] != json!([])).then_some(())
    })
    .await;
}

fn group(id: &str, provider: &str) -> Value {
    json!({
        "identifier": id, "provider_resource_id": id, "provider_id": provider,
        "type": "tool_group", "mcp_endpoint": null, "args": null,
    })
}

#[tokio::test]
async fn a_declared_group_and_its_tools_are_listed() {
    let server = server().await;
    let groups = server.get("/v1/toolgroups").await.json();
    assert_eq!(groups, json!({ "data": [group("builtin::math", "calc")] }));
    let one = server.get("/v1/toolgroups/builtin::math").await.json();
    assert_eq!(one, group("builtin::math", "calc"));
    let tool = json!({
        "identifier": "add", "provider_resource_id": "add", "provider_id": "calc", "type": "tool",
        "toolgroup_id": "builtin::math", "tool_host": "distribution",
        "description": "Adds two numbers.",
        "parameters": [
            { "name": "a", "parameter_type": "integer", "description": "One number.",
              "required": true, "default": null },
            { "name": "b", "parameter_type": "integer", "description": "The other.",
              "required": false, "default": null },
        ],
        "metadata": null,
    });
    assert_eq!(server.get("/v1/tools").await.json(), json!({ "data": [tool] }));
    let of_group = server.get("/v1/tools?toolgroup_id=builtin%3A%3Amath").await.json();
    assert_eq!(of_group, json!({ "data": [tool] }));
    // A selector of one tool is not the id of a group; clients ask so and expect no failure.
    let selected = server.get("/v1/tools?toolgroup_id=builtin::math/add").await.line();
    assert_eq!(selected, r#"200 {"data":[]}"#);
    assert_eq!(server.get("/v1/tools/add").await.json(), tool);
    assert_eq!(server.get("/v1/tools/nope").await.line(), "200 null");
    assert_eq!(
        server.get("/v1/toolgroups/nope").await.line(),
        r#"400 {"detail":"Invalid value: Tool group 'nope' not found"}"#
    );
}

fn names(tools: &Value) -> Vec<&str> {
    let tools = tools["data"].as_array().unwrap().iter();
    tools.map(|tool| tool["identifier"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tool_that_is_shown_to_the_key_of_a_caller_is_not_shown_to_others() {
    let server = server().await;
    let key = [("x-llamastack-provider-data", r#"{"calculator_key": "hidden"}"#)];
    assert_eq!(names(&server.get_with("/v1/tools", &key).await.json()), ["add", "hidden"]);
    assert_eq!(server.get("/v1/tools/hidden").await.line(), "200 null");
    assert_eq!(names(&server.get("/v1/tools").await.json()), ["add"]);
}

#[tokio::test]
async fn a_group_that_is_registered_with_a_key_shows_each_caller_what_its_own_key_shows() {
    let server = server().await;
    let mine = [("x-llamastack-provider-data", r#"{"calculator_key": "mine"}"#)];
    let yours = [("x-llamastack-provider-data", r#"{"calculator_key": "yours"}"#)];
    let tags = json!({
        "toolgroup_id": "mcp::tags", "provider_id": "calc",
        "mcp_endpoint": { "uri": "http://tags.example/mcp" },
    });
    let registered = server.post_with("/v1/toolgroups", &tags, &mine).await;
    assert_eq!(registered.line(), "200 null");
    let path = "/v1/tools?toolgroup_id=mcp::tags";
    assert_eq!(names(&server.get_with(path, &yours).await.json()), ["tag", "yours"]);
    assert_eq!(names(&server.get(path).await.json()), ["tag"]);
    assert_eq!(names(&server.get_with(path, &mine).await.json()), ["tag", "mine"]);
    assert_eq!(server.get("/v1/tools/mine").await.line(), "200 null");
    let own = server.get_with("/v1/tools/mine", &mine).await.json();
    assert_eq!(own["identifier"], "mine");
    let call = json!({ "tool_name": "mine", "kwargs": { "a": 2 } });
    let invoke = "/v1/tool-runtime/invoke";
    let called = server.post_with(invoke, &call, &mine).await;
    assert_eq!(called.json()["content"], "mine: 2");
    for refused in [server.post(invoke, &call).await, server.post_with(invoke, &call, &yours).await]
    {
        assert!(refused.text.contains("`mine` not served"), "{}", refused.line());
    }
}

#[tokio::test]
async fn tools_of_a_runtime_come_as_an_array_or_as_lines() {
    let server = server().await;
    let path = "/v1/tool-runtime/list-tools";
    let all = server.get(path).await.json();
    assert_eq!(all[0]["name"], "add");
    let lines = server
        .get_with(
            &format!("{path}?tool_group_id=builtin::math"),
            &[("accept", "application/jsonl")],
        )
        .await;
    assert_eq!(lines.header("content-type"), "application/jsonl");
    let lines: Vec<Value> =
        lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, *all.as_array().unwrap());
    let elsewhere = server.get(&format!("{path}?mcp_endpoint[uri]=http://h/")).await;
    assert_eq!(elsewhere.line(), "200 []");
    assert_eq!(server.get(&format!("{path}?tool_group_id=nope")).await.status, 400);
}

#[tokio::test]
async fn a_call_is_checked_and_routed_by_the_name_of_its_tool() {
    let server = server().await;
    let call = async |tool: &str, kwargs: Value| {
        let body = json!({ "tool_name": tool, "kwargs": kwargs });
        server.post("/v1/tool-runtime/invoke", &body).await
    };
    assert_eq!(
        call("add", json!({ "a": 2, "b": 3 })).await.line(),
        r#"200 {"content":"add: 5","error_message":null,"error_code":null,"metadata":null}"#
    );
    assert_eq!(call("add", json!({ "a": 2, "session_id": "s" })).await.json()["content"], "add: 2");
    for (kwargs, named) in [
        (json!({}), "\\\"a\\\" is a required property"),
        (json!({ "a": "two" }), "`a`: \\\"two\\\" is not of type \\\"integer\\\""),
    ] {
        let answer = call("add", kwargs).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains(named), "{}", answer.text);
    }
    assert_eq!(
        call("nope", json!({})).await.line(),
        "400 {\"detail\":\"Invalid value: Tool `nope` not served by any of the providers: calc, \
         other. Make sure there is an Tools provider serving this tool.\"}"
    );
    assert_eq!(call("add", json!([])).await.status, 400);
}

#[tokio::test]
async fn a_group_is_registered_with_all_of_its_tools_or_not_at_all() {
    let server = server().await;
    let register = async |id: &str, provider: &str, args: Value| {
        let body = json!({ "toolgroup_id": id, "provider_id": provider, "args": args });
        server.post("/v1/toolgroups", &body).await
    };
    // The name of the tool is taken.
    let clash = register("mine", "other", Value::Null).await;
    assert_eq!(clash.status, 400);
    assert!(clash.text.contains("Object add already exists in registry."), "{}", clash.text);
    assert!(clash.text.contains("The tool group `builtin::math` has"), "{}", clash.text);
    assert_eq!(server.get("/v1/toolgroups/mine").await.status, 400);
    // A provider that cannot say what it has leaves nothing behind.
    let failed = register("mine", "calc", json!({ "fail": 1 })).await;
    assert_eq!(failed.status, 503);
    assert_eq!(server.get("/v1/toolgroups/mine").await.status, 400);
    assert_eq!(
        register("mine", "nope", Value::Null).await.line(),
        r#"400 {"detail":"Invalid value: Provider `nope` not found"}"#
    );
    assert_eq!(register("", "calc", Value::Null).await.status, 400);
    // Once the other group is gone, the name is free, and what the group says wins.
    let gone = server.request(http::Method::DELETE, "/v1/toolgroups/builtin::math");
    assert_eq!(server.send(gone).await.line(), "200 null");
    assert_eq!(server.get("/v1/tools").await.line(), r#"200 {"data":[]}"#);
    assert_eq!(register("mine", "other", json!({ "b": 40 })).await.line(), "200 null");
    let body = json!({ "tool_name": "add", "kwargs": { "a": 2, "b": 1 } });
    let answer = server.post("/v1/tool-runtime/invoke", &body).await.json();
    assert_eq!(answer["content"], "add: 42");
    // The same group again is an update.
    assert_eq!(register("mine", "other", Value::Null).await.line(), "200 null");
}

/// Registers the group of an MCP server.
async fn register(server: &Running, id: &str, uri: &str, args: Value) -> String {
    let body = json!({
        "toolgroup_id": id, "provider_id": "calc", "mcp_endpoint": { "uri": uri }, "args": args,
    });
    server.post("/v1/toolgroups", &body).await.line()
}

#[tokio::test]
async fn a_schema_that_no_check_ends_is_refused_and_stops_nobody() {
    let server = server().await;
    let refused = register(&server, "mcp::endless", ENDLESS, Value::Null).await;
    assert!(refused.starts_with("400 "), "{refused}");
    assert!(refused.contains("its schema has more than 10000 parts"), "{refused}");
    assert_eq!(server.get("/v1/toolgroups/mcp::endless").await.status, 400);
    assert_eq!(server.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn a_declared_tool_with_such_a_schema_is_neither_offered_nor_called() {
    let server = server_with(json!([
        { "toolgroup_id": "mcp::endless", "provider_id": "calc", "mcp_endpoint": { "uri": ENDLESS } },
        { "toolgroup_id": "builtin::math", "provider_id": "calc" },
    ]))
    .await;
    let body = json!({ "tool_name": "tag", "kwargs": { "a": 1 } });
    let refused = eventually_some(PATIENCE, "the tools of the endless group", async || {
        let answer = server.post("/v1/tool-runtime/invoke", &body).await;
        (!answer.text.contains("not served")).then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("its schema has more than 10000 parts"), "{}", refused.text);
    assert_eq!(server.get("/v1/health").await.status, 200);
    let listed = server.get("/v1/tools?toolgroup_id=mcp::endless").await.line();
    assert_eq!(listed, r#"200 {"data":[]}"#);
}

#[tokio::test]
async fn the_arguments_of_a_group_are_those_of_every_call_and_are_checked_with_it() {
    let server = server().await;
    let args = json!({ "labels": ["b"] });
    assert_eq!(register(&server, "mcp::tags", "http://tags.example/mcp", args).await, "200 null");
    let call = async |kwargs: Value| {
        let body = json!({ "tool_name": "tag", "kwargs": kwargs });
        server.post("/v1/tool-runtime/invoke", &body).await
    };
    // What the group says is not missing, and wins.
    for given in [json!({}), json!({ "labels": ["a"] })] {
        let mut kwargs = given;
        kwargs["where"] = json!({ "city": "Cusco" });
        let said = call(kwargs).await.json()["content"].as_str().unwrap().to_owned();
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said, json!({ "labels": ["b"], "where": { "city": "Cusco" } }));
    }
    assert_eq!(call(json!({ "where": {} })).await.status, 400);
    let wrong = json!({ "labels": ["c"] });
    assert_eq!(register(&server, "mcp::tags", "http://tags.example/mcp", wrong).await, "200 null");
    let refused = call(json!({ "where": { "city": "Cusco" } })).await;
    assert!(refused.text.contains("`labels/0`"), "{}", refused.text);
}

#[tokio::test]
async fn shields_are_registered_listed_and_run() {
    let server = server().await;
    let record = |id: &str, resource: &str, params: Value| {
        json!({
            "identifier": id, "provider_resource_id": resource, "provider_id": "censor",
            "type": "shield", "params": params,
        })
    };
    let body = json!({ "shield_id": "a/b", "provider_shield_id": "x", "params": { "k": 1 } });
    let made = server.post("/v1/shields", &body).await.json();
    assert_eq!(made, record("a/b", "x", json!({ "k": 1 })));
    let all = server.get("/v1/shields").await.json();
    let declared = record("declared", "declared", json!({}));
    assert_eq!(all, json!({ "data": [declared, record("a/b", "x", json!({ "k": 1 }))] }));
    assert_eq!(server.get("/v1/shields/a/b").await.json(), made);
    let refused = json!({ "shield_id": "s", "provider_shield_id": "unknown" });
    assert_eq!(
        server.post("/v1/shields", &refused).await.line(),
        r#"400 {"detail":"Invalid value: there is no such shield"}"#
    );
    let run = async |shield: &str, content: &str| {
        let messages = json!([{ "role": "user", "content": content }]);
        let body = json!({ "shield_id": shield, "messages": messages, "params": { "p": 2 } });
        server.post("/v1/safety/run-shield", &body).await.line()
    };
    assert_eq!(run("declared", "good").await, r#"200 {"violation":null}"#);
    assert_eq!(
        run("a/b", "bad").await,
        r#"200 {"violation":{"violation_level":"error","user_message":"no","metadata":{"p":2}}}"#
    );
    assert_eq!(
        run("nope", "good").await,
        "400 {\"detail\":\"Invalid value: Shield `nope` not served by provider: `censor`. Make \
         sure there is an Safety provider serving this shield.\"}"
    );
}
