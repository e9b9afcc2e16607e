//! Who is let in.

use super::harness::{Running, chat, start, status_of};
use crate::{AuthOptions, ForwardHeaders, ServerOptions};
use chaski_testkit::{Answer, FakeUpstream, Gate, Seen};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Lets tokens in that begin with `ok`; some break the service in a way of their own.
fn decide(seen: &Seen) -> Answer {
    let key = seen.json()["api_key"].as_str().unwrap().to_owned();
    match key.split('-').next().unwrap() {
        "ok" => Answer::json(json!({ "principal": key, "attributes": { "roles": ["user"] } })),
        "plain" => Answer::text("welcome"),
        "odd" => Answer::json(json!({ "principal": 7 })),
        "close" => Answer::text("").cut_after(0),
        "redirect" => Answer::text("").status(302).header("location", "/ok"),
        "error" => Answer::text("").status(500),
        "slow" => Answer::text("").held_by(&Gate::closed()),
        _ => Answer::text("").status(401),
    }
}

async fn guarded(adapt: impl FnOnce(&mut AuthOptions)) -> (Running, FakeUpstream) {
    let service = FakeUpstream::start(decide).await;
    let endpoint = chaski_upstream::Url::parse(&format!("{}/auth", service.url())).unwrap();
    let mut auth = AuthOptions::new(endpoint);
    auth.timeout = Duration::from_millis(500);
    adapt(&mut auth);
    let server = start(ServerOptions { auth: Some(auth), ..ServerOptions::default() }).await;
    (server, service)
}

async fn with_token(server: &Running, path: &str, token: &str) -> super::harness::Answer {
    server.get_with(path, &[("authorization", &format!("Bearer {token}"))]).await
}

const MISSING: &str = r#"401 {"error": {"message": "Missing or invalid Authorization header"}}"#;
const FAILED: &str = r#"401 {"error": {"message": "Authentication failed"}}"#;

#[tokio::test]
async fn every_route_but_health_and_version_needs_a_token() {
    let (server, service) = guarded(|_| ()).await;
    for endpoint in chaski_api::endpoints::all() {
        let method = Method::from_bytes(endpoint.spec.method.as_str().as_bytes()).unwrap();
        let path = endpoint.spec.path.replace(['{', '}'], "").replace(":path", "");
        let answer = server.send(server.request(method, &path)).await;
        if endpoint.spec.public {
            assert_eq!(answer.status, 200, "{path}");
        } else {
            assert_eq!(answer.status, 401, "{path}");
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
        }
    }
    for path in ["/v1/nope", "/openapi.json", "/v1/models/", "//v1/health", "/v1/health%2f"] {
        assert_eq!(server.get(path).await.line(), MISSING, "{path}");
    }
    let openai = server.get("/v1/openai/v1/models").await;
    assert_eq!((openai.status, &openai.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    assert_eq!(service.requests().len(), 0);
}

#[tokio::test]
async fn the_service_decides_and_says_who_it_is() {
    let (server, _service) = guarded(|_| ()).await;
    for token in ["ok-1", "plain", "ok-it's \"quoted\" -- ;"] {
        assert_eq!(with_token(&server, "/v1/models", token).await.status, 200, "{token}");
    }
    for token in ["bad", "redirect", "error"] {
        assert_eq!(with_token(&server, "/v1/models", token).await.line(), FAILED, "{token}");
    }
    let who = async |token: &str| {
        let headers = [("x-api-key", token)];
        let answer = server.post_with("/v1/chat/completions", &chat("who", false), &headers).await;
        let content = answer.json()["choices"][0]["message"]["content"].clone();
        serde_json::from_str::<Value>(content.as_str().unwrap()).unwrap()[0].clone()
    };
    assert_eq!(who("ok-alice").await, "ok-alice");
    // Never nobody: without a name, callers are told apart by their tokens.
    let plain = who("plain-1").await;
    assert!(plain.as_str().unwrap().starts_with("token-") && !plain.to_string().contains("plain"));
    assert_ne!(plain, who("plain-2").await);
}

#[tokio::test]
async fn a_service_that_breaks_is_503_and_lets_nobody_in() {
    let (server, service) = guarded(|_| ()).await;
    for token in ["close", "slow", "odd"] {
        let answer = with_token(&server, "/v1/models", token).await;
        assert_eq!(answer.status, 503, "{token}: {}", answer.text);
        assert!(!answer.header("retry-after").is_empty());
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    }
    // It is asked again.
    let before = service.requests().len();
    with_token(&server, "/v1/models", "close").await;
    assert!(service.requests().len() > before);
    drop(service);
    assert_eq!(with_token(&server, "/v1/models", "ok-new").await.status, 503);
    assert_eq!(server.get("/v1/health").await.status, 200);
    assert_eq!(with_token(&server, "/v1/health", "ok-new").await.status, 200);
}

#[tokio::test]
async fn credentials_that_are_shown_to_a_public_route_are_to_be_right() {
    let (server, _service) = guarded(|_| ()).await;
    assert_eq!(with_token(&server, "/v1/health", "bad").await.line(), FAILED);
    let basic = server.get_with("/v1/health", &[("authorization", "Basic x")]).await;
    assert_eq!(basic.line(), MISSING);
    assert_eq!(with_token(&server, "/v1/health", "ok").await.status, 200);
}

#[tokio::test]
async fn equal_questions_are_asked_once() {
    let (server, service) = guarded(|_| ()).await;
    let asks = (0..12).map(|_| with_token(&server, "/v1/models", "ok-crowd"));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(service.requests().len(), 1);
    for _ in 0..3 {
        assert_eq!(with_token(&server, "/v1/models", "bad-one").await.status, 401);
    }
    assert_eq!(service.requests().len(), 2);
    // Another token, however alike, and another route are other questions.
    with_token(&server, "/v1/models", "ok-crowd2").await;
    with_token(&server, "/v1/providers", "ok-crowd").await;
    assert_eq!(service.requests().len(), 4);
}

#[tokio::test]
async fn nothing_is_remembered_where_that_is_wanted() {
    let (server, service) = guarded(|auth| {
        (auth.ttl, auth.negative_ttl) = (Duration::ZERO, Duration::ZERO);
    })
    .await;
    for _ in 0..3 {
        with_token(&server, "/v1/models", "ok").await;
    }
    assert_eq!(service.requests().len(), 3);
    let (server, service) = guarded(|auth| auth.ttl = Duration::ZERO).await;
    for _ in 0..3 {
        with_token(&server, "/v1/models", "ok").await;
    }
    assert_eq!(service.requests().len(), 3);
}

#[tokio::test]
async fn the_service_is_told_no_secrets_unless_that_is_wanted() {
    let headers = [
        ("authorization", "Bearer ok"),
        ("cookie", "session=1"),
        ("x-llamastack-provider-data", "{}"),
        ("x-trace", "7"),
    ];
    for (forward, expected) in [
        (ForwardHeaders::Safe, vec!["x-trace"]),
        (ForwardHeaders::All, headers.iter().map(|(name, _)| *name).collect()),
        (ForwardHeaders::None, vec![]),
    ] {
        let (server, service) = guarded(|auth| auth.forward_headers = forward).await;
        server.get_with("/v1/models?a=1&a=2&b=", &headers).await;
        let question = service.only_request().json();
        assert_eq!(question["request"]["path"], "/v1/models");
        assert_eq!(question["request"]["params"], json!({ "a": ["1", "2"] }));
        let told = question["request"]["headers"].as_object().unwrap();
        for (name, _) in headers {
            assert_eq!(told.contains_key(name), expected.contains(&name), "{forward:?} {name}");
        }
    }
}

#[tokio::test]
async fn nothing_is_read_before_the_decision() {
    let (server, _service) = guarded(|_| ()).await;
    // The body never comes, is far too large, compressed, or broken.
    for headers in [
        "content-length: 100\r\n",
        "content-length: 99999999999\r\n",
        "content-encoding: gzip\r\ncontent-length: 0\r\n",
    ] {
        let head =
            format!("POST /v1/models HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        assert_eq!(status_of(&server.raw(head).await), 401, "{headers}");
    }
}

#[tokio::test]
async fn reserved_names_in_headers_and_bodies_give_nobody_an_identity() {
    let (server, _service) = guarded(|_| ()).await;
    let mut request = chat("who", false);
    for name in ["__authenticated_user", "principal", "user"] {
        request[name] = "root".into();
    }
    let headers = [
        ("authorization", "Bearer ok-bob"),
        ("x-principal", "root"),
        ("x-llamastack-provider-data", r#"{"__authenticated_user": "root", "principal": "root"}"#),
    ];
    let answer = server.post_with("/v1/chat/completions", &request, &headers).await;
    let content = answer.json()["choices"][0]["message"]["content"].clone();
    assert_eq!(content, r#"["ok-bob",null,null]"#);
}

#[tokio::test]
async fn odd_credentials_are_refused_and_break_nothing() {
    let (server, service) = guarded(|_| ()).await;
    let raw = async |header: &[u8]| {
        let head = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".as_slice();
        status_of(&server.raw([head, header, b"\r\n\r\n"].concat()).await)
    };
    assert_eq!(raw(b"authorization: Bearer \xff\xfe").await, 401);
    assert_eq!(raw(b"authorization: Bearer a\r\nauthorization: Bearer ok").await, 401);
    assert_eq!(raw(b"authorization: bearer ok").await, 401);
    assert_eq!(raw(b"api-key: ok").await, 401);
    assert_eq!(raw(b"authorization: Bearer a\0b").await, 400);
    let long = format!("authorization: Bearer {}", "x".repeat(1 << 20));
    let status = raw(long.as_bytes()).await;
    assert!(matches!(status, 431 | 0), "{status}");
    assert_eq!(server.get("/v1/models?api_key=ok&access_token=ok").await.status, 401);
    assert_eq!(service.requests().len(), 0);
}

#[tokio::test]
async fn the_version_is_checked_after_the_token() {
    let (server, _service) = guarded(|_| ()).await;
    let version = ("x-llamastack-client-version", "9.9.9");
    assert_eq!(server.get_with("/v1/models", &[version]).await.status, 401);
    let headers = [version, ("authorization", "Bearer ok")];
    assert_eq!(server.get_with("/v1/models", &headers).await.status, 426);
}

#[tokio::test]
async fn web_pages_of_other_origins_are_kept_out_unless_configured() {
    let closed = start(ServerOptions::default()).await;
    let origin = ("origin", "https://ui.example");
    let asking = |server: &Running| {
        super::harness::adorned(
            server.request(Method::OPTIONS, "/v1/models"),
            &[origin, ("access-control-request-method", "POST")],
        )
    };
    let answer = closed.send(asking(&closed)).await;
    assert_eq!(answer.status, 405);
    assert!(answer.header("access-control-allow-origin").is_empty());
    let answer = closed.post_with("/v1/models", &json!({ "model_id": "x" }), &[origin]).await;
    assert_eq!(answer.status, 403);
    let answer = closed.get_with("/v1/models", &[origin]).await;
    assert!(answer.header("access-control-allow-origin").is_empty());

    let cors = vec!["https://ui.example".to_owned()];
    let open = start(ServerOptions { cors, ..ServerOptions::default() }).await;
    let answer = open.send(asking(&open)).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://ui.example");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, POST, DELETE");
    let answer = open.post_with("/v1/models", &json!({ "model_id": "x" }), &[origin]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://ui.example");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let other = open.get_with("/v1/models", &[("origin", "https://evil.example")]).await;
    assert!(other.header("access-control-allow-origin").is_empty());
}

#[tokio::test]
async fn foreign_names_do_not_reach_a_server_of_this_machine_only() {
    let server = start(ServerOptions::default()).await;
    let raw = async |line: &str, host: &str| {
        let head = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        status_of(&server.raw(head).await)
    };
    assert_eq!(raw("GET /v1/models", "localhost").await, 200);
    assert_eq!(raw("GET /v1/models", "127.0.0.1:1").await, 200);
    assert_eq!(raw("GET /v1/models", "evil.example").await, 403);
    assert_eq!(raw("GET http://evil.example/v1/models", "localhost").await, 403);
    for odd in ["a/b.example", "a?b.example", "a#b.example", "a\\b.example", "x@evil.example"] {
        assert!((400..500).contains(&raw("GET /v1/models", odd).await), "{odd}");
    }
    let (guarded, _service) = guarded(|_| ()).await;
    let head = "GET /v1/models HTTP/1.1\r\nhost: box.example\r\nauthorization: Bearer ok\r\nconnection: close\r\n\r\n";
    assert_eq!(status_of(&guarded.raw(head).await), 200);
}
