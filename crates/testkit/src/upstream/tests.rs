use super::*;
use crate::{Gate, within};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends one request and returns the connection.
async fn ask(upstream: &FakeUpstream, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(upstream.address()).await.unwrap();
    let request = format!(
        "POST /v1/x?a=1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _cut = within("the answer", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn it_remembers_what_it_was_asked() {
    let upstream = FakeUpstream::answering(Answer::json(json!({ "ok": true })).status(201)).await;
    let text = rest(ask(&upstream, r#"{"model":"m"}"#).await).await;
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    assert!(text.contains(r#"{"ok":true}"#), "{text}");
    let seen = upstream.only_request();
    assert_eq!((seen.path.as_str(), seen.header("authorization")), ("/v1/x?a=1", "Bearer k"));
    assert_eq!(seen.json(), json!({ "model": "m" }));
    eventually("the end of the answer", || upstream.finished() == 1).await;
    assert_eq!(upstream.gone(), 0);
}

#[tokio::test]
async fn it_sends_events_in_pieces_of_one_byte() {
    let upstream = FakeUpstream::answering(Answer::events(["é", "[DONE]"]).in_pieces_of(1)).await;
    let text = rest(ask(&upstream, "{}").await).await;
    assert_eq!(text.matches("\r\n1\r\n").count(), "data: é\n\ndata: [DONE]\n\n".len(), "{text}");
}

#[tokio::test]
async fn answers_come_in_turn_and_the_last_one_stays() {
    let upstream = FakeUpstream::in_turn([Answer::text("a"), Answer::text("b")]).await;
    for expected in ["a", "b", "b"] {
        let text = rest(ask(&upstream, "{}").await).await;
        assert!(text.contains(&format!("\r\n1\r\n{expected}\r\n")), "{text}");
    }
}

#[tokio::test]
async fn it_cuts_the_connection_after_some_bytes() {
    let upstream = FakeUpstream::answering(Answer::text("0123456789").cut_after(4)).await;
    let text = rest(ask(&upstream, "{}").await).await;
    assert!(text.contains("0123") && !text.contains("4567"), "{text}");
    assert!(!text.ends_with("0\r\n\r\n"), "the body must not look complete: {text}");
}

#[tokio::test]
async fn it_holds_an_answer_until_the_gate_opens() {
    let gate = Gate::closed();
    let upstream = FakeUpstream::answering(Answer::text("0123456789").held_after(4, &gate)).await;
    let mut stream = ask(&upstream, "{}").await;
    let mut text = String::new();
    while !text.contains("0123") {
        let mut buffer = [0; 1024];
        let count = within("the first half", stream.read(&mut buffer)).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(!text.contains("4567"), "{text}");
    gate.open();
    assert!(rest(stream).await.contains("456789"));
}

#[tokio::test]
async fn it_notices_a_client_that_goes_away() {
    let before_the_head = FakeUpstream::answering(Answer::never()).await;
    let inside_the_body = Answer::text("0123456789").held_after(4, &Gate::closed());
    let inside_the_body = FakeUpstream::answering(inside_the_body).await;
    for upstream in [before_the_head, inside_the_body] {
        let stream = ask(&upstream, "{}").await;
        upstream.received(1).await;
        assert_eq!(upstream.gone(), 0);
        drop(stream);
        upstream.deserted().await;
    }
}
