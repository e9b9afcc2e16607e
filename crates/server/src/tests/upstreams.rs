//! Upstreams that answer what no upstream should.

use super::{
    harness::{Running, adorned, chat, events_of, is_error, llama_chat, start_relaying},
    provider::client_of,
};
use crate::ServerOptions;
use bytes::Bytes;
use chaski_testkit::{Act, PATIENCE, RawUpstream, eventually, within};
use futures_util::StreamExt;
use http::Method;
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";
const LLAMA: &str = "/v1/inference/chat-completion";
const MIB: u64 = 1024 * 1024;
/// What the buffers of the network take on top of what a program reads.
const BUFFERS: u64 = 16 * MIB;

/// An upstream that does `acts`, and a server in front of it that waits so many seconds for its
/// first byte and the next ones, and four times as long for all of them.
async fn served(acts: impl Into<Vec<Act>>, patience: f64) -> (RawUpstream, Running) {
    let upstream = RawUpstream::doing(acts).await;
    let network = json!({
        "first_byte_seconds": patience, "read_seconds": patience, "total_seconds": 4.0 * patience,
        "retries": 0, "circuit_breaker": { "enabled": false },
    });
    let server = start_relaying(ServerOptions::default(), &upstream.url(), network).await;
    (upstream, server)
}

fn head(headers: &str) -> Act {
    Act::text(format!("HTTP/1.1 200 OK\r\n{headers}\r\n"))
}

fn stream_head() -> Act {
    head("content-type: text/event-stream\r\nconnection: close\r\n")
}

/// The requests of both faces, plain or for a stream.
fn requests(stream: bool) -> [(&'static str, serde_json::Value); 2] {
    [(CHAT, chat("hi", stream)), (LLAMA, llama_chat("hi", stream))]
}

/// Others are served as ever, nothing is held any more, and at most so many bytes were taken for
/// each of the calls.
async fn unharmed(name: &str, upstream: &RawUpstream, server: &Running, most: u64) {
    let mut near = chat("say hello", false);
    near["model"] = "near".into();
    let other = within("an answer of another provider", server.post(CHAT, &near)).await;
    assert_eq!(other.status, 200, "{name}");
    eventually("the call to be over", || client_of(&upstream.url()).in_flight() == 0).await;
    let calls = u64::try_from(upstream.requests()).unwrap();
    let taken = upstream.written();
    assert!(taken <= calls * (most + BUFFERS), "{name}: {taken} bytes in {calls} calls");
}

/// Both faces answer with an error: a status, or an event after what was good.
async fn fails(name: &str, acts: impl Into<Vec<Act>>, streams: &[bool], most: u64) {
    fails_within(10.0, name, acts, streams, most).await;
}

/// The same for upstreams that are to be too late.
async fn fails_within(
    patience: f64,
    name: &str,
    acts: impl Into<Vec<Act>>,
    streams: &[bool],
    most: u64,
) {
    let (upstream, server) = served(acts, patience).await;
    for stream in streams {
        for (path, body) in requests(*stream) {
            let answer = tokio::time::timeout(PATIENCE, server.post(path, &body)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{name}: no answer at {path}"));
            let shown: String = answer.line().chars().take(300).collect();
            if answer.status == 200 {
                let events = events_of(&answer.text);
                let errors = events.iter().filter(|event| is_error(event)).count();
                assert_eq!(errors, 1, "{name}: {shown}");
                assert!(is_error(events.last().unwrap()), "{name}: {shown}");
            } else {
                assert!(matches!(answer.status, 502..=504), "{name}: {shown}");
                assert!(answer.json().is_object(), "{name}: {shown}");
            }
        }
    }
    unharmed(name, &upstream, &server, most).await;
    upstream.deserted().await;
}

fn lots(text: &str) -> Act {
    Act::Repeat(text.repeat(64 * 1024 / text.len() + 1).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_and_events_without_an_end_are_given_up() {
    let begin = || Act::text("data: {\"a\": \"");
    fails("a line", [stream_head(), begin(), lots("xxxxxxxx")], &[true], 8 * MIB).await;
    fails("an event", [stream_head(), lots("data: xxxxxxxxxxxxxxx\n")], &[true], 8 * MIB).await;
    fails("a name", [stream_head(), Act::text("event: "), lots("name")], &[true], 8 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_without_an_end_is_given_up_at_the_limit_for_the_whole() {
    // Comments cost time and no memory.
    let slow = Act::Trickle(": x\n".repeat(10_000).into(), std::time::Duration::from_millis(2));
    fails_within(0.3, "comments", [stream_head(), slow], &[true], MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_an_end_are_given_up() {
    let status = || Act::text("HTTP/1.1 200 OK\r\n");
    fails("a header", [status(), Act::text("x: "), lots("xxxxxxxx")], &[false], MIB).await;
    fails("headers", [status(), lots("x: 1\r\n")], &[false], MIB).await;
    let large = format!("x: {}\r\ncontent-length: 2\r\n", "x".repeat(1 << 20));
    fails("a large header", [head(&large), Act::text("{}")], &[false], 2 * MIB).await;
    let many = "x: 1\r\n".repeat(10_000);
    fails("many headers", [head(&many), Act::text("{}"), Act::Close], &[false], MIB).await;
    fails("a status line", [lots("HTTP")], &[false], MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_an_error_of_the_upstream() {
    for text in [
        "",
        "\0\0\0\0",
        "hello\r\n\r\n",
        "220 mail ready\r\n",
        "HTTP/1.1 999999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ] {
        fails(text, [Act::text(text), Act::Close], &[false, true], MIB).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_never_comes_to_its_answer_is_given_up() {
    fails_within(0.3, "silence", [Act::Hold], &[false, true], MIB).await;
    let early = "HTTP/1.1 103 Early Hints\r\n\r\n".to_owned();
    let hints = Act::Trickle(early.repeat(1000).into(), std::time::Duration::from_millis(1));
    fails_within(0.3, "hints", [hints], &[false], MIB).await;
    let slow = Act::Trickle("HTTP/1.1 200 OK\r\n".into(), std::time::Duration::from_secs(1));
    fails_within(0.3, "a slow head", [slow], &[false], MIB).await;
    let length = "content-type: application/json\r\ncontent-length: 1000\r\n";
    fails_within(0.3, "half a body", [head(length), Act::text("{"), Act::Hold], &[false], MIB)
        .await;
    fails_within(0.3, "no events", [stream_head(), Act::Hold], &[true], MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_what_they_should_be_are_errors() {
    let sent = |headers: &str, body: &[u8]| {
        let length = body.len();
        let head = head(&format!("{headers}content-length: {length}\r\n"));
        [head, Act::Write(Bytes::copy_from_slice(body)), Act::Close]
    };
    let json = "content-type: application/json\r\n";
    let deep = vec![b'['; 100_000];
    let bodies: [(&str, &[u8]); 9] = [
        ("nothing", b""),
        ("null", b"null"),
        ("a list", b"[{}]"),
        ("a number", b"1e999"),
        ("half an object", b"{\"choices\": ["),
        ("no text", b"{\"choices\": [{\"message\": {\"content\": \"\xff\xfe\"}}]}"),
        ("two objects", b"{}{}"),
        ("a page", b"<html><h1>Welcome</h1></html>"),
        ("a deep list", &deep),
    ];
    for (name, body) in bodies {
        fails(name, sent(json, body), &[false, true], MIB).await;
        fails(name, sent("content-type: text/html\r\n", body), &[false, true], MIB).await;
        fails(name, sent("", body), &[false, true], MIB).await;
    }
    // A packed body was not asked for, and is not unpacked.
    let packed = [b"\x1f\x8b\x08\0\0\0\0\0\x02\xff".as_slice(), &[0xff; 2000]].concat();
    for encoding in ["gzip", "br", "zstd", "gzip, gzip"] {
        let headers = format!("{json}content-encoding: {encoding}\r\n");
        fails(encoding, sent(&headers, &packed), &[false, true], MIB).await;
    }
    let events: [(&str, &[u8]); 5] = [
        ("no text in an event", b"data: {\"a\": \"\xff\xfe\"}\n\n"),
        ("no object in an event", b"data: hello\n\n"),
        ("a list in an event", b"data: []\n\n"),
        ("an end at once", b""),
        ("a name without data", b"event: message\n\n"),
    ];
    for (name, body) in events {
        fails(name, sent("content-type: text/event-stream\r\n", body), &[true], MIB).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_wrong_is_an_error_and_the_connection_is_not_used_again() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"x"}}]}"#;
    let with = |length: usize| {
        let json = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        [head(&json), Act::text(body), Act::Close]
    };
    fails("longer than the body", with(body.len() + 1), &[false], MIB).await;
    fails("shorter than the body", with(body.len() - 1), &[false], MIB).await;
    // What is left over after an answer is not taken for the next one.
    let extra = [with(body.len())[0].clone(), Act::text(format!("{body}HTTP/1.1 200 OK\r\n"))];
    let (upstream, server) = served(extra, 10.0).await;
    for _ in 0..5 {
        let answer = server.post(CHAT, &chat("hi", false)).await;
        assert_eq!(answer.line(), format!("200 {body}"));
    }
    assert_eq!(upstream.accepted(), 5, "each on a connection of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed_with_what_the_caller_said() {
    let other = RawUpstream::doing([Act::Hold]).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}/v1\r\ncontent-length: 0\r\n\r\n",
            other.url()
        );
        fails("a redirect", [Act::text(answer), Act::Close], &[false, true], MIB).await;
    }
    assert_eq!(other.accepted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_gigabyte_are_given_up() {
    let call =
        r#"{"choices":[{"index":0,"message":{"tool_calls":[{"function":{"name":"f","arguments":""#;
    let json = "content-type: application/json\r\n";
    let announced = head(&format!("{json}content-length: {}\r\n", 1_u64 << 30));
    fails("announced", [announced, Act::text(call), lots("xxxx")], &[false], MIB).await;
    let unannounced = head(&format!("{json}connection: close\r\n"));
    fails("unannounced", [unannounced, Act::text(call), lots("xxxx")], &[false], 33 * MIB).await;
}

fn event(delta: &serde_json::Value) -> Act {
    let chunk = json!({
        "id": "c", "object": "chat.completion.chunk",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": null }],
    });
    Act::Repeat(format!("data: {chunk}\n\n").into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_an_end_is_passed_on_as_it_comes_and_never_gathered() {
    let large = "x".repeat(64 * 1024);
    let arguments = json!({ "tool_calls": [
        { "index": 0, "id": "a", "function": { "name": "f", "arguments": large } },
    ] });
    for delta in [json!({ "content": large }), arguments] {
        let (upstream, server) = served([stream_head(), event(&delta)], 10.0).await;
        // What the Llama Stack face has to keep to the end has a limit.
        let answer = server.post(LLAMA, &llama_chat("hi", true)).await;
        let last = *events_of(&answer.text).last().unwrap();
        assert!(last.contains("an answer of more than 16777216 bytes"), "{last}");
        upstream.deserted().await;
        let taken = upstream.written();
        assert!(taken < 17 * MIB + BUFFERS, "{taken}");

        // A client that reads gets everything; one that does not stops the upstream.
        let request = server.request(Method::POST, CHAT).json(chat("hi", true).to_string());
        let mut body = server.open(adorned(request, &[])).await;
        let mut read = 0;
        while read < 32 * MIB {
            let piece = within("more", body.next()).await.unwrap().unwrap();
            read += u64::try_from(piece.len()).unwrap();
        }
        let ahead = upstream.written().saturating_sub(taken + read);
        assert!(ahead < 2 * BUFFERS, "{ahead} bytes are on their way");
        drop(body);
        upstream.deserted().await;
        unharmed("a stream", &upstream, &server, 48 * MIB).await;
    }
}
