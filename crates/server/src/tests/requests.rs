//! What requests are answered.

use super::harness::{Running, chat, llama_chat, start, start_with, status_of};
use crate::ServerOptions;
use http::Method;
use serde_json::{Value, json};

async fn server() -> Running {
    start(ServerOptions::default()).await
}

#[tokio::test]
async fn health_version_and_providers_are_as_in_the_reference() {
    let server = server().await;
    assert_eq!(server.get("/v1/health").await.line(), r#"200 {"status":"OK"}"#);
    assert_eq!(server.get("/v1/version").await.line(), r#"200 {"version":"0.1.7"}"#);
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    let row = &server.get("/v1/providers").await.json()["data"][0];
    assert_eq!((&row["api"], &row["provider_id"]), (&json!("inference"), &json!("told")));
    assert_eq!(row["health"]["status"], "OK");
    assert_eq!(server.get("/v1/providers/told").await.json(), *row);
    assert_eq!(
        server.get("/v1/providers/nope").await.line(),
        r#"400 {"detail":"Invalid value: Provider nope not found"}"#
    );
    let summary = server.get("/v1/inspect/providers").await.json();
    assert_eq!(
        summary,
        json!({ "data": [{
            "api": "inference", "provider_id": "told", "provider_type": "remote::vllm",
        }] })
    );
}

#[tokio::test]
async fn all_declared_routes_are_listed_with_the_providers_of_their_api() {
    let rows = server().await.get("/v1/inspect/routes").await.json();
    let rows = rows["data"].as_array().unwrap();
    assert_eq!(rows.len(), chaski_api::endpoints::all().count());
    let row = |route: &str| rows.iter().find(|row| row["route"] == route).unwrap();
    let chat = row("/v1/inference/chat-completion");
    assert_eq!(chat["method"], "post");
    assert_eq!(chat["provider_types"], json!(["remote::vllm"]));
    assert_eq!(row("/v1/models/{model_id:path}")["provider_types"], json!([]));
    assert_eq!(row("/mcp")["method"], "post");
}

#[tokio::test]
async fn models_are_listed_found_registered_and_removed_on_both_faces() {
    let server = server().await;
    for list in ["/v1/models", "/v1/openai/v1/models"] {
        let list = server.get(list).await.json();
        assert_eq!(list["object"], "list");
        assert_eq!(list["data"][0]["identifier"], "m");
        assert_eq!(list["data"][0]["id"], "m");
    }
    for path in ["/v1/models/a/b", "/v1/models/a%2Fb", "/v1/openai/v1/models/a/b"] {
        assert_eq!(server.get(path).await.json()["identifier"], "a/b", "{path}");
    }
    assert_eq!(
        server.get("/v1/models/").await.line(),
        r#"400 {"detail":"Invalid value: Model '' not found"}"#
    );
    let missing = server.get("/v1/openai/v1/models/nope").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["code"], "model_not_found");

    let made = server.post("/v1/models", &json!({ "model_id": "x/y" })).await;
    assert_eq!(
        made.line(),
        r#"200 {"identifier":"x/y","provider_resource_id":"x/y","provider_id":"told","type":"model","metadata":{},"model_type":"llm"}"#
    );
    let removal = server.request(Method::DELETE, "/v1/models/x/y");
    assert_eq!(server.send(removal).await.line(), "200 null");
    assert_eq!(server.get("/v1/models/x/y").await.status, 400);
}

#[tokio::test]
async fn a_chat_is_answered_on_both_faces_and_both_mounts() {
    let server = server().await;
    for path in ["/v1/chat/completions", "/v1/openai/v1/chat/completions"] {
        let answer = server.post(path, &chat("say hello", false)).await;
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "hello", "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let answer =
        server.post("/v1/inference/chat-completion", &llama_chat("say hello", false)).await;
    assert_eq!(answer.json()["completion_message"]["content"], "hello");
    // A null at the top means nothing, on the face of Llama Stack.
    let mut request = llama_chat("say hello", false);
    request["stream"] = Value::Null;
    request["unknown"] = json!(1);
    assert_eq!(server.post("/v1/inference/chat-completion", &request).await.status, 200);
}

fn missing(names: &[&str]) -> String {
    let errors: Vec<Value> = names
        .iter()
        .map(|name| json!({ "loc": ["body", name], "msg": "Field required", "type": "missing" }))
        .collect();
    format!("400 {}", json!({ "error": { "detail": { "errors": errors } } }))
}

#[tokio::test]
async fn bodies_are_read_as_the_reference_reads_them() {
    let server = server().await;
    let all = missing(&["model_id", "provider_model_id", "provider_id", "metadata", "model_type"]);
    let required = missing(&["model_id"]);
    let invalid = |at: usize| {
        let error =
            json!({ "loc": ["body", at], "msg": "JSON decode error", "type": "json_invalid" });
        format!("400 {}", json!({ "error": { "detail": { "errors": [error] } } }))
    };
    let stored = r#"200 {"identifier":"m","provider_resource_id":"m","provider_id":"told","type":"model","metadata":{},"model_type":"llm"}"#;
    let table: &[(&str, &[u8], &str)] = &[
        ("application/json", b"", &required),
        ("text/plain", b"", &required),
        ("application/json", b"null", &required),
        ("application/json", b"{}", &required),
        ("application/json", b"{\"model_id\":null}", &required),
        ("application/json", b"[1]", &all),
        ("application/json", b"\"x\"", &all),
        ("application/json", b"5", &all),
        ("text/plain", b"{\"model_id\":\"m\"}", &all),
        ("application/x-www-form-urlencoded", b"model_id=m", &all),
        ("application/json", b"{\"model_id\": ", &invalid(13)),
        ("application/json", b"{\"model_id\": \"x\",}", &invalid(17)),
        (
            "application/json",
            b"{\"model_id\":\"\xff\"}",
            r#"400 {"detail":"There was an error parsing the body"}"#,
        ),
        ("", b"{\"model_id\":\"m\"}", stored),
        ("application/json; charset=utf-8", b"{\"model_id\":\"m\"}", stored),
        ("application/vnd.api+json", b"{\"model_id\":\"m\"}", stored),
        ("application/json", b"\xef\xbb\xbf{\"model_id\":\"m\"}", stored),
        ("application/json", b"{\"model_id\":\"nope\",\"model_id\":\"m\"}", stored),
    ];
    for (content_type, body, expected) in table {
        let headers = if content_type.is_empty() {
            String::new()
        } else {
            format!("content-type: {content_type}\r\n")
        };
        let answer = server.raw_request("POST /v1/models", &headers, body).await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let found = format!("{} {text}", status_of(head));
        assert_eq!(found, *expected, "{content_type} {}", String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn the_openai_face_says_in_one_sentence_what_is_wrong() {
    let server = server().await;
    let check = async |body: &[u8], content_type: &str, message: &str, param: Value| {
        let headers = format!("content-type: {content_type}\r\n");
        let answer = server.raw_request("POST /v1/chat/completions", &headers, body).await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(status_of(head), 400);
        let error = serde_json::from_str::<Value>(text).unwrap()["error"].clone();
        assert_eq!(error["message"], message);
        assert_eq!(error["param"], param);
        assert_eq!(error["type"], "invalid_request_error");
    };
    let json = "application/json";
    check(b"[]", json, "the body must be a JSON object, not a list", Value::Null).await;
    check(b"{", json, "the body is not JSON: JSON decode error at character 1", Value::Null).await;
    let plain = "the body must be JSON (`content-type: application/json`), not `text/plain`";
    check(b"{}", "text/plain", plain, Value::Null).await;
    let body = br#"{"model":"m","messages":[],"n":1e9}"#;
    check(body, json, "n: must be an integer from 1 to 128, not 1000000000.0", json!("n")).await;
}

#[tokio::test]
async fn failures_have_the_status_and_the_envelope_of_their_face() {
    let server = server().await;
    for (order, status, detail) in [
        ("fail 402", 402, "the upstream says no"),
        ("fail 503", 503, "the upstream says no"),
        ("fail nothing", 502, "the upstream says no"),
        ("fail timeout", 504, "Operation timed out: nobody answered"),
        ("fail internal", 500, "Internal server error: An unexpected error occurred."),
        ("panic", 500, "Internal server error: An unexpected error occurred."),
    ] {
        let answer = server.post("/v1/inference/chat-completion", &llama_chat(order, false)).await;
        assert_eq!(answer.line(), format!("{status} {}", json!({ "detail": detail })));
        let answer = server.chat(order).await;
        assert_eq!(answer.status, status);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
        assert!(!answer.header("x-request-id").is_empty());
    }
    let limited = server.chat("fail limit").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "7"));
    assert_eq!(server.chat("fail internal").await.header("x-should-retry"), "false");
    let unknown = json!({ "model": "nope", "messages": [] });
    let unknown = server.post("/v1/chat/completions", &unknown).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn paths_and_methods_lead_where_they_should() {
    let server = server().await;
    let not_found = r#"404 {"detail":"Not Found"}"#;
    for path in ["/", "/v1/nope", "/health", "//v1/health", "/v1/./health", "/V1/health"] {
        let raw = server.raw_request(&format!("GET {path}"), "", b"").await;
        let (head, text) = raw.split_once("\r\n\r\n").unwrap();
        assert_eq!(format!("{} {text}", status_of(head)), not_found, "{path}");
    }
    for (method, path, allow) in [
        (Method::HEAD, "/v1/health", "GET"),
        (Method::OPTIONS, "/v1/inference/chat-completion", "POST"),
        (Method::PUT, "/v1/models/a/b", "GET, DELETE"),
        (Method::PATCH, "/v1/models", "GET, POST"),
        (Method::GET, "/v1/chat/completions", "POST"),
    ] {
        let answer = server.send(server.request(method, path)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{path}");
    }
    let slash = server.get("/v1/health/?x=1").await;
    let location = format!("http://{}/v1/health?x=1", server.address);
    assert_eq!((slash.status, slash.header("location")), (307, location.as_str()));
    let unknown = server.get("/v1/openai/v1/nope").await;
    assert_eq!(unknown.json()["error"]["code"], "unknown_url");
}

#[tokio::test]
async fn what_this_build_does_not_serve_says_so() {
    let server =
        start_with(ServerOptions::default(), json!({ "apis": ["inference", "agents"] })).await;
    let agents = server.get("/v1/agents").await;
    assert_eq!(agents.status, 501);
    let detail = agents.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("Not implemented: ") && detail.contains("agents"), "{detail}");
    // An API that the configuration leaves out is not there at all.
    assert_eq!(server.get("/v1/shields").await.line(), r#"404 {"detail":"Not Found"}"#);
}

#[tokio::test]
async fn the_documentation_is_served_and_loads_nothing_from_elsewhere() {
    let server = server().await;
    let document = server.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/chat/completions"]["post"].is_object());
    let page = server.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"));
    for path in ["/docs/page.js", "/docs/page.css"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = server().await;
    let given = server.get_with("/v1/health", &[("x-request-id", "abc-1.2_3")]).await;
    assert_eq!(given.header("x-request-id"), "abc-1.2_3");
    for odd in ["a b", "", "a\"b", &"x".repeat(129)] {
        let own = server.get_with("/v1/nope", &[("x-request-id", odd)]).await;
        assert_eq!(own.header("x-request-id").len(), 32, "{odd}");
    }
}

#[tokio::test]
async fn clients_of_another_version_are_refused_everywhere() {
    let server = server().await;
    let old = [("x-llamastack-client-version", "0.2.0")];
    let expected = r#"426 {"error": {"message": "Client version 0.2.0 is not compatible with server version 0.1.7. Please update your client."}}"#;
    for path in ["/v1/health", "/v1/nope", "/openapi.json"] {
        assert_eq!(server.get_with(path, &old).await.line(), expected, "{path}");
    }
    let lax = start(ServerOptions { version_check: false, ..ServerOptions::default() }).await;
    assert_eq!(lax.get_with("/v1/health", &old).await.status, 200);
}

#[tokio::test]
async fn a_provider_sees_the_keys_that_it_declares_and_no_others() {
    let server = server().await;
    let data = r#"{"told_api_key": "k1", "other_api_key": "k2"}"#;
    for name in ["x-llamastack-provider-data", "x-chaski-provider-data"] {
        let answer =
            server.post_with("/v1/chat/completions", &chat("who", false), &[(name, data)]).await;
        let content = answer.json()["choices"][0]["message"]["content"].clone();
        assert_eq!(content, r#"[null,"k1",null]"#, "{name}");
    }
    for broken in ["{", "[1]", "x"] {
        let headers = [("x-llamastack-provider-data", broken)];
        let answer = server.post_with("/v1/chat/completions", &chat("who", false), &headers).await;
        assert_eq!(answer.status, 200, "{broken}");
    }
}
