//! Input that no client sends, on every declared route.

use super::harness::{Running, start, start_with, status_of};
use crate::{Limits, ServerOptions};
use chaski_api::{
    Endpoint,
    endpoints::files::{AddUploadPart, CreateFile},
};
use chaski_testkit::within;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;
use tokio::{io::AsyncWriteExt, net::TcpStream};

const DEPTH: usize = 100_000;

/// The first lines of requests to all declared routes.
fn routes() -> Vec<String> {
    chaski_api::endpoints::all()
        .map(|endpoint| {
            let path = endpoint.spec.path.replace(['{', '}'], "").replace(":path", "");
            format!("{} {path}", endpoint.spec.method.as_str())
        })
        .collect()
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let names =
        ["model", "model_id", "messages", "prompt", "content", "contents", "input", "stream"];
    let wrong = |value: Value| {
        let members = names.iter().map(|name| ((*name).to_owned(), value.clone()));
        Value::Object(members.collect()).to_string().into_bytes()
    };
    vec![
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a number", b"1e999".to_vec()),
        ("half an object", b"{\"model_id\": ".to_vec()),
        ("deep lists", vec![b'['; DEPTH]),
        ("deep objects", b"{\"a\":".repeat(DEPTH)),
        ("deep and complete", [vec![b'['; DEPTH], vec![b']'; DEPTH]].concat()),
        ("no text", b"{\"model_id\": \"\xff\xfe\"}".to_vec()),
        ("half a character", b"{\"model_id\": \"\\ud800\"}".to_vec()),
        ("a null character", b"{\"model_id\": \"\\u0000\"}".to_vec()),
        ("wrong numbers", wrong(json!(1e300))),
        ("wrong texts", wrong(json!(""))),
        ("wrong lists", wrong(json!([[null]]))),
        ("wrong objects", wrong(json!({ "a": {} }))),
        ("nulls", wrong(Value::Null)),
        ("infinite", b"{\"model_id\": 1e999, \"n\": NaN, \"max_tokens\": -Infinity}".to_vec()),
    ]
}

/// A mistake of the client is answered as such.
fn judge(answer: &str, what: &str) {
    let status = status_of(answer);
    // 501 says that this build does not serve the route.
    let allowed = (200..500).contains(&status) || status == 501;
    assert!(allowed, "{what}: {}", answer.chars().take(400).collect::<String>());
    assert!(!answer.contains("panicked") && !answer.contains(".rs"), "{what}: {answer}");
}

async fn served() -> Running {
    let apis = json!({ "apis": chaski_api::Api::ALL });
    start_with(ServerOptions::default(), apis).await
}

#[tokio::test]
async fn every_route_answers_every_body() {
    let server = served().await;
    for line in routes() {
        for (name, body) in bodies() {
            for content_type in
                ["content-type: application/json\r\n", "content-type: text/plain\r\n"]
            {
                let answer = server.raw_request(&line, content_type, &body).await;
                judge(&answer, &format!("{line} with {name}, {content_type}"));
            }
        }
    }
    assert_eq!(server.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn every_route_answers_odd_headers() {
    let server = served().await;
    let many = "x: 1\r\n".repeat(10_000);
    for line in routes() {
        for headers in [
            "content-encoding: gzip\r\n",
            "content-encoding: br, gzip, deflate\r\n",
            "content-type: multipart/form-data\r\n",
            "content-type: \r\n",
            "x-llamastack-provider-data: {\r\n",
            "x-llamastack-client-version: é\r\n",
            "authorization: \r\n",
            "expect: 200-maybe\r\n",
            "x-http-method-override: DELETE\r\n",
        ] {
            let answer = server.raw_request(&line, headers, b"{}").await;
            judge(&answer, &format!("{line} with {headers}"));
        }
    }
    let answer = server.raw_request("GET /v1/models", &many, b"").await;
    assert!(matches!(status_of(&answer), 431 | 400 | 0), "{answer}");
    let long = format!("x-long: {}\r\n", "a".repeat(16 << 20));
    let answer = server.raw_request("GET /v1/models", &long, b"").await;
    assert!(matches!(status_of(&answer), 431 | 400 | 0), "{answer}");
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_before_they_are_taken() {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    let server = start(ServerOptions { limits, ..ServerOptions::default() }).await;
    let all = routes();
    // Files come as forms and have limits of their own: see below.
    let is_form = |line: &&String| {
        [CreateFile::SPEC.path, AddUploadPart::SPEC.path]
            .iter()
            .any(|path| line.strip_prefix("POST ") == Some(&path.replace(['{', '}'], "")))
    };
    assert_eq!(all.iter().filter(is_form).count(), 2);
    for line in all.iter().filter(|line| line.starts_with("POST") && !is_form(line)) {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        let refused = |status| matches!(status, 413 | 501 | 404);
        let announced = format!("{head}content-length: 104857600\r\n\r\n");
        let status = status_of(&server.raw(announced).await);
        assert!(refused(status), "{line}: {status}");
        let growing = format!(
            "{head}transfer-encoding: chunked\r\n\r\n{}",
            "64\r\n{}\r\n".replace("{}", &" ".repeat(100)).repeat(50)
        );
        let status = status_of(&server.raw(growing).await);
        assert!(refused(status), "{line}: {status}");
    }
    let body = vec![b' '; 1000];
    let answer = server.raw_request("POST /v1/models", "", &body).await;
    assert_eq!(status_of(&answer), 400);
    let body = vec![b' '; 1001];
    let answer = server.raw_request("POST /v1/models", "", &body).await;
    assert_eq!(status_of(&answer), 413);
    assert!(answer.contains("the body has more than 1000 bytes"), "{answer}");
}

#[tokio::test]
async fn forms_over_the_limit_are_refused_while_they_come() {
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let more = json!({ "data_dir": folder.path(), "files": { "max_bytes": 1000 } });
    let server = start_with(ServerOptions::default(), more).await;
    let upload = json!({
        "filename": "a", "purpose": "assistants", "bytes": 200 * MIB, "mime_type": "text/plain",
    });
    let upload = server.post("/v1/uploads", &upload).await.json();
    let parts = format!("/v1/uploads/{}/parts", upload["id"].as_str().unwrap());
    for (path, name, megabytes) in [("/v1/files", "file", 2), (&*parts, "data", 65)] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: multipart/form-data; boundary=XX\r\n"
        );
        let announced = format!("{head}content-length: 104857600\r\n\r\n");
        assert_eq!(status_of(&server.raw(announced).await), 413, "{path}");
        let piece = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let part = format!(
            "--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n"
        );
        let growing = format!(
            "{head}transfer-encoding: chunked\r\n\r\n{}{}",
            piece(&part),
            piece(&"x".repeat(MIB)).repeat(megabytes)
        );
        let answer = server.raw(growing).await;
        assert_eq!(status_of(&answer), 413, "{path}: {answer}");
    }
}

/// Many spaces, compressed twice.
fn bomb() -> Vec<u8> {
    let pack = |bytes: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    pack(&pack(&vec![b' '; 10 << 20]))
}

#[tokio::test]
async fn compressed_bodies_are_never_unpacked() {
    let server = start(ServerOptions::default()).await;
    let bomb = bomb();
    assert!(bomb.len() < 10_000);
    let encodings = ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"];
    for line in routes().iter().filter(|line| line.starts_with("POST")) {
        for encoding in encodings {
            let headers = format!("content-encoding: {encoding}\r\n");
            let answer = server.raw_request(line, &headers, &bomb).await;
            let status = status_of(&answer);
            assert!(matches!(status, 400 | 404 | 501), "{line} in {encoding}: {answer}");
            let is_served = status == 400;
            assert!(
                !is_served || answer.contains("without `content-encoding`"),
                "{line}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn large_bodies_are_read_off_the_network_threads() {
    let server = start(ServerOptions::default()).await;
    let body = json!({ "model_id": "big", "metadata": { "text": "x".repeat(2 << 20) } });
    assert_eq!(server.post("/v1/models", &body).await.status, 200);
    let mut broken = body.to_string();
    broken.pop();
    let answer = server.raw_request("POST /v1/models", "", broken.as_bytes()).await;
    assert_eq!(status_of(&answer), 400);
}

#[tokio::test]
async fn requests_that_two_readers_read_differently_are_refused() {
    let server = start(ServerOptions::default()).await;
    for head in [
        "content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "content-length: 2\r\ntransfer-encoding: chunked, identity\r\n\r\n{}",
        "content-length: +2\r\n\r\n{}",
        "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        " folded: y\r\n\r\n",
        "content-length : 2\r\n\r\n{}",
    ] {
        let request = format!("POST /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}");
        let status = status_of(&server.raw(request).await);
        assert!((400..500).contains(&status) || status == 0, "{head:?}: {status}");
    }
}

#[tokio::test]
async fn clients_that_leave_at_any_point_do_no_harm() {
    let server = start(ServerOptions::default()).await;
    let body = super::harness::chat("stall a b c", true).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for length in 0..=request.len() {
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        let _gone = connection.write_all(&request.as_bytes()[..length]).await;
    }
    // All places are free again.
    let free = server.chat("say hello");
    assert_eq!(within("an answer", free).await.status, 200);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head, stream.to_be_bytes().as_slice(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET http://x/v1/models`, compressed as HTTP/2 compresses headers.
const HEADERS: &[u8] = b"\x82\x86\x04\x0a/v1/models\x41\x01x";

#[tokio::test]
async fn http_2_connections_that_attack_are_closed_and_hurt_nobody() {
    let server = start(ServerOptions::default()).await;
    let open_and_reset = |number: u32| {
        let stream = 2 * number + 1;
        [frame(1, 5, stream, HEADERS), frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let resets: Vec<u8> = (0..20_000).flat_map(open_and_reset).collect();
    let endless_head: Vec<u8> = std::iter::once(frame(1, 1, 1, HEADERS))
        .chain((0..20_000).map(|_| frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b'])))
        .flatten()
        .collect();
    let no_window = [frame(4, 0, 0, &[0, 4, 255, 255, 255, 255]), frame(1, 5, 1, HEADERS)].concat();
    for (name, attack) in
        [("resets", resets), ("an endless head", endless_head), ("no window", no_window)]
    {
        let answer = within(name, server.raw([PREFACE, &attack].concat())).await;
        assert!(!answer.contains("\"object\":\"list\"") || name == "resets", "{name}");
        assert_eq!(server.get("/v1/health").await.status, 200, "{name}");
    }
}
