use crate::tests::{answered, build, hello};
use chaski_api::{Error, ErrorKind, Result};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream, Seen};
use serde_json::{Value, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

fn pictures(seen: &Seen) -> Answer {
    match seen.path.as_str() {
        // What the server says about it is wrong.
        "/dog.png" => Answer::new("text/plain", PNG),
        "/moved" => Answer::text("").status(302).header("location", "/dog.png"),
        "/cat" => Answer::new("image/jpeg", &b"\xff\xd8\xff\xe0"[..]),
        "/page" => Answer::new("image/png", "<svg onload=alert(1)>"),
        "/large" => Answer::new("image/png", vec![0x89; 21 * 1024 * 1024]),
        _ => Answer::text("404: Not Found").status(404),
    }
}

fn image(url: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": url, "detail": "low" } })
}

/// What vLLM was sent for a message with these parts; images may be fetched from `server`.
async fn sent(server: &FakeUpstream, parts: Value) -> Result<Value> {
    let upstream = FakeUpstream::answering(Answer::json(answered())).await;
    let config = json!({ "url": format!("{}/v1", upstream.url()) });
    let provider = build("remote::vllm", config, &[server]).await.unwrap();
    let mut request = hello("m");
    request.body["messages"][0]["content"] = parts;
    let outcome = provider.chat(&Context::default(), request).await;
    outcome.map(|_| upstream.only_request().json()["messages"][0]["content"].clone())
}

#[tokio::test]
async fn images_at_addresses_are_sent_as_data() {
    let server = FakeUpstream::start(pictures).await;
    let at = |path: &str| image(&format!("{}{path}", server.url()));
    let text = json!({ "type": "text", "text": "http://example.com is no image" });
    let data = image("data:image/gif;base64,R0lGODlh");
    let parts = json!([at("/dog.png"), text, data, at("/moved"), at("/cat")]);
    let png = image("data:image/png;base64,iVBORw0KGgpyZXN0");
    let jpeg = image("data:image/jpeg;base64,/9j/4A==");
    assert_eq!(sent(&server, parts).await.unwrap(), json!([png, text, data, png, jpeg]));
}

#[tokio::test]
async fn what_is_no_image_is_an_error_of_the_request() {
    let server = FakeUpstream::start(pictures).await;
    let other = FakeUpstream::start(pictures).await;
    let cases = [
        (format!("{}/none.png", server.url()), "was answered with status 404"),
        (format!("{}/page", server.url()), "is none; use a PNG"),
        (format!("{}/large", server.url()), "has more than 20971520 bytes"),
        (format!("{}/dog.png", other.url()), "may not be fetched: a loopback address"),
        ("HTTP://169.254.169.254/latest".to_owned(), "may not be fetched: a link-local address"),
    ];
    for (url, expected) in cases {
        let error: Error = sent(&server, json!([image(&url)])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.param.as_deref(), Some("messages"));
        assert!(error.message.contains(expected), "{}", error.message);
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_request_cannot_have_any_number_of_images_fetched() {
    let server = FakeUpstream::start(pictures).await;
    let many = vec![image(&format!("{}/dog.png", server.url())); 17];
    let error = sent(&server, many.into()).await.unwrap_err();
    assert_eq!(error.message, "17 images are to be fetched, but 16 are allowed");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn odd_messages_are_left_to_the_upstream() {
    let server = FakeUpstream::start(pictures).await;
    for parts in [
        json!(null),
        json!("http://127.0.0.1/"),
        json!([7, null, { "image_url": "http://127.0.0.1/" }, { "image_url": { "url": 7 } }]),
        json!({ "image_url": { "url": "http://127.0.0.1/" } }),
    ] {
        assert_eq!(sent(&server, parts.clone()).await.unwrap(), parts);
    }
}
