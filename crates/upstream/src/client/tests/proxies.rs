//! What is sent through a proxy, and what is not.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn behind(proxies: Proxies) -> Http {
    Http::new(HttpOptions { proxies, retries: 0, ..HttpOptions::default() }).unwrap()
}

fn at(upstream: &FakeUpstream, credentials: &str) -> Secret {
    Secret::new(upstream.url().replace("http://", &format!("http://{credentials}")))
}

#[tokio::test]
async fn plain_requests_are_handed_to_the_proxy_with_the_name_that_it_asks_for() {
    let proxy = FakeUpstream::answering(Answer::json(json!({ "through": "proxy" }))).await;
    for proxies in [
        Proxies { http: Some(at(&proxy, "name:password@")), ..Proxies::default() },
        Proxies { all: Some(at(&proxy, "name:password@")), ..Proxies::default() },
    ] {
        let request = Request::get("vLLM", url("http://model.invalid:8000/v1/models"));
        let answer = behind(proxies).send(request).await.unwrap().success().await.unwrap();
        assert_eq!(answer.bytes(100).await.unwrap(), r#"{"through":"proxy"}"#);
        let seen = proxy.requests().pop().unwrap();
        assert_eq!(seen.header("host"), "model.invalid:8000");
        assert_eq!(seen.header("proxy-authorization"), "Basic bmFtZTpwYXNzd29yZA==");
    }
}

#[tokio::test]
async fn hosts_without_a_proxy_and_this_machine_are_reached_directly() {
    let proxy = FakeUpstream::answering(Answer::json(json!({}))).await;
    let upstream = FakeUpstream::answering(Answer::json(json!({ "direct": true }))).await;
    let proxies = Proxies {
        all: Some(at(&proxy, "")),
        except: Some("model.invalid, 10.0.0.0/8".to_owned()),
        ..Proxies::default()
    };
    let http = behind(proxies);
    let answer = http.send(post(&upstream)).await.unwrap().success().await.unwrap();
    assert_eq!(answer.bytes(100).await.unwrap(), r#"{"direct":true}"#);
    let excepted = Request::get("vLLM", url("http://model.invalid/"));
    let error = http.send(excepted).await.err().unwrap();
    assert_eq!(error.message, "cannot connect to vLLM: its name cannot be resolved");
    assert!(proxy.requests().is_empty());
}

#[tokio::test]
async fn requests_with_tls_ask_the_proxy_for_a_tunnel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let proxies = Proxies { https: Some(Secret::new(address)), ..Proxies::default() };
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let request = Request::get("vLLM", url("https://model.invalid/v1/models"));
    let error = behind(proxies).send(request).await.err().unwrap();
    assert!(matches!(error.kind, ErrorKind::Unavailable { .. }), "{error:?}");
    assert!(asked.await.unwrap().starts_with("CONNECT model.invalid:443 HTTP/1.1\r\n"));
}

#[test]
fn a_proxy_that_is_no_address_is_refused_without_being_shown() {
    for wrong in ["http://", "socks5://name:password@proxy.internal", "ftp://password@x", "::"] {
        let proxies = Proxies { https: Some(Secret::new(wrong)), ..Proxies::default() };
        let options = HttpOptions { proxies, ..HttpOptions::default() };
        let error = Http::new(options).expect_err(wrong);
        assert_eq!(
            error.message,
            "the proxy for `https` addresses is not an address such as `http://proxy.internal:3128`"
        );
    }
}
