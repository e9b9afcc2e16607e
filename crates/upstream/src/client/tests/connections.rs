//! What happens to connections, against servers that are written for it.

use super::*;
use crate::openai::{Call, Connection, Dialect};
use chaski_api::openai::ChatRequest;
use chaski_testkit::{Certificate, certificate, eventually};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Reads requests from one connection and answers each with `answer`, until the client closes it.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() || stream.write_all(answer).await.is_err() {
            return;
        }
        let _flushed = stream.flush().await;
    }
}

/// Counts the connections that are made.
async fn counting(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move { converse(stream, answer).await });
        }
    });
    (address, connections)
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let (address, connections) = counting(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let http = http();
    for _ in 0..5 {
        let request = Request::post("vLLM", url(&format!("http://{address}/"))).json("{}");
        http.send(request).await.unwrap().bytes(10).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_is_closed_without_an_answer_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if counter.fetch_add(1, Ordering::SeqCst) == 0 {
                converse(stream, b"").await;
            } else {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                tokio::spawn(async move { converse(stream, answer).await });
            }
        }
    });
    let at = || Request::get("vLLM", url(&format!("http://{address}/")));
    // The first connection never answers; giving up on it closes it.
    let hasty = at().first_byte_timeout(Duration::from_millis(50));
    assert_eq!(http().send(hasty).await.err().unwrap().kind, ErrorKind::Timeout);
    assert_eq!(http().send(at().retries(1)).await.unwrap().status(), 200);
    eventually("two connections", || connections.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn a_connection_that_is_reset_before_an_answer_is_repeated_and_then_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut some = [0; 10];
            let _read = stream.read(&mut some).await;
        }
    });
    let request = Request::post("vLLM", url(&format!("http://{address}/"))).json("{}").retries(1);
    let error = http().send(request).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Upstream { status: None });
    assert_eq!(error.message, "vLLM closed the connection without an answer");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_is_used_again_although_the_end_of_a_stream_comes_late() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                let talk = converse(far, b"\0");
                let (mut read, mut write) = stream.into_split();
                let (mut signals, mut requests) = tokio::io::split(near);
                let forward = tokio::io::copy(&mut read, &mut requests);
                let answer = async {
                    while signals.read_u8().await.is_ok() {
                        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                                     transfer-encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n";
                        let _written = write.write_all(head).await;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        let _written = write.write_all(b"0\r\n\r\n").await;
                    }
                };
                let _ended = tokio::join!(talk, forward, answer);
            });
        }
    });
    let settings = crate::openai::Settings {
        url: format!("http://{address}/v1"),
        tls: Tls::Verified,
        key: None,
        max_tokens: None,
        ..crate::openai::Settings::default()
    };
    let connection = Connection::new(http(), &Dialect::OPENAI, settings).unwrap();
    for _ in 0..3 {
        let mut request = ChatRequest::new("m", Vec::new());
        request.body.insert("stream".to_owned(), true.into());
        let answer = connection.chat(Call::default(), request).await.unwrap();
        let crate::openai::Answer::Stream(mut relay) = answer else { panic!("a stream") };
        assert!(relay.next().await.is_none());
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

async fn with_tls(certificate: &Certificate) -> SocketAddr {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let chain = vec![CertificateDer::from_pem_file(&certificate.certificate_file).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&certificate.key_file).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    });
    address
}

#[tokio::test]
async fn an_unknown_certificate_is_accepted_only_if_the_operator_says_so() {
    let certificate = certificate();
    let address = with_tls(&certificate).await;
    let get = |tls: Tls| {
        let request = Request::get("vLLM", url(&format!("https://{address}/"))).tls(tls);
        async move {
            let answer = http().send(request).await;
            answer.map(|answer| answer.status().as_u16()).map_err(|error| error.message)
        }
    };
    let refused = "cannot connect to vLLM: its TLS certificate or version is not accepted";
    // With another message on a machine without any certificates.
    assert!(get(Tls::Verified).await.is_err());
    assert_eq!(get(Tls::Unverified).await, Ok(200));
    assert_eq!(get(Tls::Authorities(certificate.certificate_file.clone())).await, Ok(200));
    let other = chaski_testkit::certificate();
    assert_eq!(
        get(Tls::Authorities(other.certificate_file.clone())).await,
        Err(refused.to_owned())
    );
    let missing = get(Tls::Authorities("/no/such/file.pem".into())).await.unwrap_err();
    assert!(missing.starts_with("cannot read certificates from `/no/such/file.pem`"), "{missing}");
    let empty = get(Tls::Authorities(certificate.key_file.clone())).await.unwrap_err();
    assert!(empty.ends_with("there is none in the file"), "{empty}");
}
