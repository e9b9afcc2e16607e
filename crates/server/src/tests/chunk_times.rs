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
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
const CHUNKS: usize = 50;
/// The system acknowledges the first segments of a connection at once, so that only the later
/// ones show whether small pieces wait for an acknowledgement.
const WARM_UP: usize = 20;

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

    let mut client = TcpStream::connect(server.address).await.unwrap();
    let body = chat("hi", true).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    client.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(client).lines();
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
    let mut medians = Vec::new();
    // A machine that is busy with something else makes pieces late, but not in every round.
    for _ in 0..5 {
        let transits = transits().await;
        assert_eq!(transits.len(), CHUNKS);
        let mut late = transits[WARM_UP..].to_vec();
        late.sort();
        let median = late[late.len() / 2];
        if median < Duration::from_millis(5) {
            return;
        }
        medians.push(median);
    }
    panic!("pieces were on their way for {medians:?} in the median");
}
