//! The server as an MCP server.

use super::{
    harness::{Answer, Running, adorned, start_with},
    vector_stores,
};
use crate::{AuthOptions, ServerOptions};
use chaski_testkit::{Answer as Told, FakeUpstream};
use http::Method;
use serde_json::{Value, json};

async fn server(options: ServerOptions) -> Running {
    start_with(
        options,
        json!({
            "providers": {
                "inference": [
                    { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
                ],
                "tool_runtime": [
                    { "provider_id": "calc", "provider_type": "inline::code-interpreter", "config": {} },
                ],
            },
            "models": [{ "model_id": "m", "provider_id": "told" }],
            "tool_groups": [{ "toolgroup_id": "builtin::math", "provider_id": "calc" }],
        }),
    )
    .await
}

async fn ready() -> Running {
    let server = server(ServerOptions::default()).await;
    super::tools::listed(&server).await;
    server
}

#[expect(clippy::needless_pass_by_value, reason = "tests pass what `json!` just made")]
fn message(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

async fn result(server: &Running, method: &str, params: Value) -> Value {
    let answer = server.post("/mcp", &message(method, params)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
    answer.get("result").unwrap_or_else(|| panic!("a result: {answer}")).clone()
}

async fn call(server: &Running, name: &str, arguments: Value) -> Value {
    result(server, "tools/call", json!({ "name": name, "arguments": arguments })).await
}

fn code(answer: &Answer) -> i64 {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("an error: {}", answer.text))
}

#[tokio::test]
async fn a_client_is_introduced_in_its_version_or_in_the_newest() {
    let server = ready().await;
    for (wanted, spoken) in
        [("2025-03-26", "2025-03-26"), ("2025-11-25", "2025-11-25"), ("1999-01-01", "2025-11-25")]
    {
        let params = json!({ "protocolVersion": wanted, "capabilities": {}, "clientInfo": {} });
        let about = result(&server, "initialize", params).await;
        assert_eq!(about["protocolVersion"], spoken);
        assert_eq!(about["serverInfo"]["name"], "chaski");
        assert_eq!(about["capabilities"], json!({ "tools": {} }));
    }
    assert_eq!(result(&server, "ping", json!({})).await, json!({}));
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(server.post("/mcp", &note).await.line(), "202 ");
    let reply = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    assert_eq!(server.post("/mcp", &reply).await.line(), "202 ");
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(server.send(server.request(method, "/mcp")).await.status, 405);
    }
    let old = [("mcp-protocol-version", "1999-01-01")];
    assert_eq!(server.post_with("/mcp", &message("ping", json!({})), &old).await.status, 400);
    let new = [("mcp-protocol-version", "2025-06-18")];
    assert_eq!(server.post_with("/mcp", &message("ping", json!({})), &new).await.status, 200);
}

#[tokio::test]
async fn registered_tools_and_those_of_the_server_are_listed_and_called() {
    let server = ready().await;
    let tools = result(&server, "tools/list", json!({})).await["tools"].clone();
    let names: Vec<&str> =
        tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let expected =
        ["chat_completion", "list_models", "list_vector_stores", "search_vector_store", "add"];
    assert_eq!(names, expected);
    assert_eq!(tools[4]["inputSchema"]["required"], json!(["a"]));
    let sum = call(&server, "add", json!({ "a": 2, "b": 3 })).await;
    assert_eq!(sum, json!({ "content": [{ "type": "text", "text": "add: 5" }], "isError": false }));
    // What a model can mend is a result that it reads.
    let wrong = call(&server, "add", json!({ "a": "x" })).await;
    assert_eq!(wrong["isError"], true);
    assert!(wrong["content"][0]["text"].as_str().unwrap().contains("`a`"), "{wrong}");
    let none = message("tools/call", json!({ "name": "nope", "arguments": {} }));
    assert_eq!(code(&server.post("/mcp", &none).await), -32602);
}

#[tokio::test]
async fn models_are_asked() {
    let server = ready().await;
    let models = call(&server, "list_models", json!({})).await;
    assert_eq!(models["structuredContent"], json!({ "models": ["m"] }));
    let said = call(&server, "chat_completion", json!({ "model": "m", "prompt": "hello" })).await;
    assert_eq!(said["isError"], false, "{said}");
    let direct = server.chat("hello").await.json();
    assert_eq!(said["content"][0]["text"], direct["choices"][0]["message"]["content"]);
    for (arguments, told) in [
        (json!({ "model": "m" }), "`prompt`"),
        (json!({ "prompt": "x" }), "`model`"),
        (json!({ "model": 7, "prompt": "x" }), "`model`"),
        (json!({ "model": "none", "prompt": "x" }), "none"),
        (json!({ "model": "m", "prompt": "x", "max_tokens": "many" }), "max_tokens"),
    ] {
        let wrong = call(&server, "chat_completion", arguments).await;
        assert_eq!(wrong["isError"], true, "{wrong}");
        assert!(wrong["content"][0]["text"].as_str().unwrap().contains(told), "{wrong}");
    }
}

#[tokio::test]
async fn vector_stores_are_listed_and_searched() {
    let (server, _folder) = vector_stores::server().await;
    let (id, _) =
        vector_stores::with_text(&server, "a cab came back", json!({ "name": "n" })).await;
    let listed = call(&server, "list_vector_stores", json!({})).await;
    assert_eq!(listed["structuredContent"]["vector_stores"], json!([{ "id": id, "name": "n" }]));
    let ask = json!({ "vector_store_id": id, "query": "cab" });
    let found = call(&server, "search_vector_store", ask).await;
    assert_eq!(found["content"][0]["text"], "a cab came back", "{found}");
    assert_eq!(found["structuredContent"]["results"][0]["filename"], "a.txt");
    for (arguments, told) in [
        (json!({ "vector_store_id": "vs_none", "query": "x" }), "vs_none"),
        (json!({ "vector_store_id": id }), "`query`"),
        (json!({ "vector_store_id": id, "query": "x", "max_num_results": 0 }), "max_num_results"),
        (json!({ "vector_store_id": id, "query": "x", "max_num_results": 51 }), "max_num_results"),
    ] {
        let wrong = call(&server, "search_vector_store", arguments).await;
        assert_eq!(wrong["isError"], true, "{wrong}");
        assert!(wrong["content"][0]["text"].as_str().unwrap().contains(told), "{wrong}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_refused_in_the_terms_of_the_protocol() {
    let server = ready().await;
    let post = async |body: &str| {
        let request = server.request(Method::POST, "/mcp").json(body.to_owned());
        server.send(request).await
    };
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    for (body, expected) in [
        ("", -32600),
        ("{", -32700),
        ("nonsense", -32700),
        (deep.as_str(), -32700),
        ("[]", -32600),
        ("7", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"resources/list"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":[]}}"#,
            -32602,
        ),
    ] {
        assert_eq!(code(&post(body).await), expected, "{body}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_message_by_message() {
    let server = ready().await;
    let ping = |id: i64| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let sum = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
                      "params": { "name": "add", "arguments": { "a": 2, "b": 3 } } });
    let wrong = json!({ "jsonrpc": "2.0", "id": 3, "method": "nope" });
    let batch = json!([ping(1), note, sum, wrong, 7]);
    let answers = server.post("/mcp", &batch).await.json();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers[0], json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    assert_eq!(answers[1]["result"]["content"][0]["text"], "add: 5");
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&json!(3), &json!(-32601)));
    assert_eq!((&answers[3]["id"], &answers[3]["error"]["code"]), (&json!(null), &json!(-32600)));
    assert_eq!(answers.len(), 4);
    assert_eq!(server.post("/mcp", &json!([note])).await.line(), "202 ");
    let many = Value::from((0..65).map(ping).collect::<Vec<_>>());
    assert_eq!(code(&server.post("/mcp", &many).await), -32600);
    for (version, taken) in [("2025-03-26", true), ("2025-06-18", false), ("2025-11-25", false)] {
        let headers = [("mcp-protocol-version", version)];
        let answer = server.post_with("/mcp", &json!([ping(1)]), &headers).await.json();
        assert_eq!(answer.is_array(), taken, "{version}: {answer}");
    }
}

#[tokio::test]
async fn a_body_has_the_limits_of_all_bodies() {
    let mut options = ServerOptions::default();
    options.limits.body_bytes = 1000;
    let server = server(options).await;
    let large = message("ping", json!({ "x": "y".repeat(2000) }));
    assert_eq!(server.post("/mcp", &large).await.status, 413);
}

#[tokio::test]
async fn pages_that_reach_this_machine_by_another_name_are_refused() {
    let server = ready().await;
    let ping = message("ping", json!({}));
    for headers in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let answer = server.post_with("/mcp", &ping, &[headers]).await;
        assert_eq!(answer.status, 403, "{headers:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn callers_show_their_keys_and_see_their_own() {
    let service = FakeUpstream::start(|seen| {
        let key = seen.json()["api_key"].as_str().unwrap().to_owned();
        if key == "bad" {
            return Told::text("").status(401);
        }
        Told::json(json!({ "principal": key, "attributes": {} }))
    })
    .await;
    let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
    let auth = Some(AuthOptions::new(endpoint));
    let options = ServerOptions { auth, ..ServerOptions::default() };
    let (server, _folder) = vector_stores::server_with(options, json!([])).await;
    let ping = message("ping", json!({}));
    assert_eq!(server.post("/mcp", &ping).await.status, 401);
    for headers in [("authorization", "Bearer bad"), ("x-api-key", "bad")] {
        assert_eq!(server.post_with("/mcp", &ping, &[headers]).await.status, 401);
    }
    for headers in [("authorization", "Bearer ada"), ("x-api-key", "ada")] {
        assert_eq!(server.post_with("/mcp", &ping, &[headers]).await.status, 200);
    }
    let made = server.request(Method::POST, "/v1/vector_stores").json("{}");
    let made = server.send(adorned(made, &[("x-api-key", "ada")])).await.json();
    let ask = async |who: &str, name: &str, arguments: Value| {
        let call = message("tools/call", json!({ "name": name, "arguments": arguments }));
        server.post_with("/mcp", &call, &[("x-api-key", who)]).await.json()["result"].clone()
    };
    for (who, count) in [("ada", 1), ("bob", 0)] {
        let listed = ask(who, "list_vector_stores", json!({})).await;
        let listed = listed["structuredContent"]["vector_stores"].as_array().unwrap().len();
        assert_eq!(listed, count, "{who}");
        let search = json!({ "vector_store_id": made["id"], "query": "cab" });
        let found = ask(who, "search_vector_store", search).await;
        assert_eq!(found["isError"], json!(count == 0), "{who}: {found}");
    }
}
