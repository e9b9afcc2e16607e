//! Starting, limits on connections and requests, and the end.

use super::{
    harness::{adorned, chat, start, status_of},
    provider::was_dropped,
};
use crate::{Limits, Server, ServerOptions, TlsFiles};
use chaski_testkit::{certificate, eventually, within};
use futures_util::StreamExt;
use http::Method;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CHAT: &str = "/v1/chat/completions";

fn limited(limits: Limits) -> ServerOptions {
    ServerOptions { limits, ..ServerOptions::default() }
}

#[tokio::test]
async fn several_addresses_are_listened_on() {
    let listen = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let server = start(ServerOptions { listen, ..ServerOptions::default() }).await;
    assert_eq!(server.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn https_is_served_with_http_2_and_http_1() {
    let made = certificate();
    let tls = TlsFiles { key: made.key_file.clone(), cert: made.certificate_file.clone() };
    let server = start(ServerOptions { tls: Some(tls), ..ServerOptions::default() }).await;
    assert_eq!(server.get("/v1/health").await.line(), r#"200 {"status":"OK"}"#);
    assert!(server.get("/v1/health/").await.header("location").starts_with("https://"));
    let stream = server.post(CHAT, &chat("say a b", true)).await;
    assert!(stream.text.ends_with("data: [DONE]\n\n"));
    // Whoever speaks plainly there is not answered.
    assert!(!server.raw("GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n").await.contains("200 OK"));
}

#[tokio::test]
async fn files_that_are_no_certificate_are_named() {
    let made = certificate();
    let stack = super::harness::stack().await;
    let tls = TlsFiles { key: made.certificate_file.clone(), cert: made.certificate_file.clone() };
    let options = ServerOptions { tls: Some(tls), ..ServerOptions::default() };
    let error = Server::bind(options, Arc::clone(&stack)).await.err().unwrap();
    assert!(error.message.starts_with("cannot use the key in `"), "{}", error.message);
    let tls = TlsFiles { key: "/none".into(), cert: "/none".into() };
    let options = ServerOptions { tls: Some(tls), ..ServerOptions::default() };
    let error = Server::bind(options, stack).await.err().unwrap();
    assert!(error.message.contains("`/none`"), "{}", error.message);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = start(ServerOptions::default()).await;
    let options = ServerOptions { listen: vec![server.address], ..ServerOptions::default() };
    let error = Server::bind(options, super::harness::stack().await).await.err().unwrap();
    assert!(error.message.contains(&server.address.to_string()), "{}", error.message);
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_too() {
    let server = start(ServerOptions::default()).await;
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    connection.write_all(preface).await.unwrap();
    let mut head = [0; 9];
    within("settings", connection.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
}

#[tokio::test]
async fn more_requests_than_allowed_are_told_to_come_back() {
    let server = start(limited(Limits { concurrent_requests: 1, ..Limits::default() })).await;
    let request = server.request(Method::POST, CHAT).json(chat("stall a", true).to_string());
    let mut first = server.open(adorned(request, &[("x-request-id", "only-one")])).await;
    assert!(first.next().await.unwrap().is_ok());
    let second = server.chat("say hello").await;
    assert_eq!((second.status, second.header("retry-after")), (503, "1"));
    assert_eq!(server.get("/v1/health").await.status, 200);
    drop(first);
    eventually("the work to be dropped", || was_dropped("only-one")).await;
    within("a free place", async {
        while server.chat("say hello").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let server = start(limited(Limits { connections: 1, ..Limits::default() })).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0; 1];
    within("the first answer", first.read_exact(&mut byte)).await.unwrap();
    let second = server.raw_request("GET /v1/health", "", b"");
    let mut second = std::pin::pin!(second);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut second).await.is_err());
    drop(first);
    assert_eq!(status_of(&within("the second answer", second).await), 200);
}

#[tokio::test]
async fn slow_heads_and_silent_connections_are_closed() {
    let limits = Limits { header_timeout: Duration::from_millis(150), ..Limits::default() };
    let server = start(limited(limits)).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "GET /v1/health HTTP/1.1\r\nhost:"] {
        let answer = within("the end of the connection", server.raw(beginning)).await;
        assert!(!answer.contains("200 OK"), "{beginning:?}: {answer}");
    }
}

#[tokio::test]
async fn slow_bodies_are_given_up() {
    let limits = Limits { body_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(limited(limits)).await;
    let answer = server
        .raw("POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"model_id\"")
        .await;
    assert_eq!(status_of(&answer), 408, "{answer}");
}

#[tokio::test]
async fn streams_end_in_full_while_new_work_is_refused() {
    let mut server = start(ServerOptions::default()).await;
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    let slow = server.request(Method::POST, CHAT).json(chat("flood", true).to_string());
    let mut stream = server.open(slow).await;
    assert!(stream.next().await.unwrap().is_ok());
    // A request whose head is under way when the signal comes.
    kept.write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    tokio::task::yield_now().await;
    server.stop();
    within("new connections to be refused", async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    kept.write_all(b"\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _closed = within("the refusal", kept.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || status_of(&answer) == 503, "{answer}");
    for _ in 0..20 {
        assert!(within("more of the stream", stream.next()).await.unwrap().is_ok());
    }
    drop(stream);
    server.ended().await;
}

#[tokio::test]
async fn what_goes_on_too_long_is_cut_and_the_server_ends() {
    let shutdown_grace = Duration::from_millis(100);
    let mut server = start(ServerOptions { shutdown_grace, ..ServerOptions::default() }).await;
    let request = server.request(Method::POST, CHAT).json(chat("stall a", true).to_string());
    let mut stream = server.open(adorned(request, &[("x-request-id", "cut")])).await;
    assert!(stream.next().await.unwrap().is_ok());
    server.stop();
    let rest = within("the cut", async {
        while let Some(piece) = stream.next().await {
            if piece.is_err() {
                return "cut";
            }
        }
        "ended"
    });
    assert_eq!(rest.await, "cut");
    assert!(was_dropped("cut"));
    server.ended().await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let mut server = start(ServerOptions::default()).await;
    assert_eq!(server.get("/v1/health").await.status, 200);
    let _silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get("/v1/health").await.status, 200);
    server.stop();
    server.ended().await;
}
