//! How long pieces of a stream are on their way.

use super::harness::{chat, start_relaying};
use crate::ServerOptions;
use chaski_testkit::{Act, RawUpstream, within};
use serde_json::json;
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
const CHUNKS: usize = 50;
/// What goes back and forth on the connection before, so that its system acknowledges late, as
/// between machines: small pieces that wait for an acknowledgement then wait for 40 ms.
const EXCHANGES: usize = 8;

/// An event that says when it was written, in microseconds.
fn stamped() -> bytes::Bytes {
    let now = START.elapsed().as_micros();
    let delta = json!({ "index": 0, "delta": { "content": "x" }, "finish_reason": null });
    let chunk = json!({ "id": now.to_string(), "choices": [delta] });
    format!("data: {chunk}\n\n").into()
}

/// For each chunk of a stream, how long it took from the upstream to the client.
async fn transits() -> Vec<Duration> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let mut acts = vec![Act::text(head)];
    for _ in 0..CHUNKS {
        acts.extend([Act::Pause(Duration::from_millis(5)), Act::Make(stamped)]);
    }
    let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    acts.extend([Act::text(format!("data: {last}\n\ndata: [DONE]\n\n")), Act::Close]);
    let upstream = RawUpstream::doing(acts).await;
    let server = start_relaying(ServerOptions::default(), &upstream.url(), json!({})).await;

    let mut client = BufReader::new(TcpStream::connect(server.address).await.unwrap());
    for _ in 0..EXCHANGES {
        client.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let (mut line, mut length) = (String::new(), 0);
        while within("a line", client.read_line(&mut line)).await.unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        client.read_exact(&mut vec![0; length]).await.unwrap();
    }
    let body = chat("hi", true).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    client.write_all(request.as_bytes()).await.unwrap();
    let mut lines = client.lines();
    let mut transits = Vec::new();
    while let Some(line) = within("a line", lines.next_line()).await.unwrap() {
        let now = START.elapsed();
        let Some(event) = line.strip_prefix("data: ") else { continue };
        let Ok(chunk) = serde_json::from_str::<serde_json::Value>(event) else { continue };
        let Some(written) = chunk["id"].as_str().and_then(|id| id.parse().ok()) else { continue };
        transits.push(now.saturating_sub(Duration::from_micros(written)));
    }
    transits
}

#[tokio::test(flavor = "multi_thread")]
async fn small_pieces_do_not_wait_for_one_another() {
    let mut longest = Vec::new();
    // A machine that is busy with something else makes pieces late, but not in every round.
    for _ in 0..10 {
        let transits = transits().await;
        assert_eq!(transits.len(), CHUNKS);
        let round = transits.into_iter().max().unwrap_or_default();
        if round < Duration::from_millis(20) {
            return;
        }
        longest.push(round);
    }
    panic!("in each round a piece was on its way for long: {longest:?}");
}
