use crate::{
    adapter::{Adapter, Vendor},
    tests::{answered, build, hello},
};
use async_trait::async_trait;
use chaski_api::{Error, ErrorKind, Result, models::Model};
use chaski_provider::{Context, Inference};
use chaski_testkit::{Answer, FakeUpstream, Seen};
use chaski_upstream::{
    Http, HttpOptions,
    openai::{Connection, Dialect, Settings},
};
use serde_json::{Value, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

fn pictures(seen: &Seen) -> Answer {
    match seen.path.as_str() {
        // What the server says about it is wrong.
        "/dog.png" => Answer::new("text/plain", PNG),
        "/moved" => Answer::text("").status(302).header("location", "/dog.png"),
        "/cat" => Answer::new("image/jpeg", &b"\xff\xd8\xff\xe0"[..]),
        "/page" => Answer::new("image/png", "<svg onload=alert(1)>"),
        "/moved/inside" => Answer::text("").status(302).header("location", "http://10.0.0.1/x.png"),
        "/round" => Answer::text("").status(302).header("location", "/round"),
        "/broken" => Answer::new("image/png", PNG).cut_after(4),
        "/big" => Answer::new("image/png", [PNG, &vec![0; 19 * 1024 * 1024]].concat()),
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
        (format!("{}/moved/inside", server.url()), "may not be fetched: a private address"),
        (format!("{}/round", server.url()), "it redirects too often"),
        (format!("{}/broken", server.url()), "cannot be fetched"),
        ("https://user:secret@example.com/x.png".to_owned(), "addresses with credentials are not"),
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
async fn an_address_without_an_object_around_it_is_no_way_around_the_checks() {
    let server = FakeUpstream::start(pictures).await;
    let bare = |url: &str| json!([{ "type": "image_url", "image_url": url }]);
    let found = sent(&server, bare(&format!("{}/dog.png", server.url()))).await.unwrap();
    assert_eq!(found, bare("data:image/png;base64,iVBORw0KGgpyZXN0"));
    let error = sent(&server, bare("http://127.0.0.1/")).await.unwrap_err();
    assert!(error.message.contains("may not be fetched: a loopback address"), "{error}");
}

#[tokio::test]
async fn data_that_is_no_image_does_not_reach_the_upstream() {
    let server = FakeUpstream::start(pictures).await;
    let large = format!("data:image/png;base64,iVBORw0KGgpy{}", "A".repeat(28 * 1024 * 1024));
    for (url, expected) in [
        (
            "file:///etc/passwd",
            "is `file:///etc/passwd`, but it must begin with `https:`, `http:` or `data:`",
        ),
        ("cat.png", "must begin with `https:`"),
        ("", "must begin with `https:`"),
        ("data:image/png,rest", "must be in base64"),
        ("data:image/png;base64,", "`data:image/png;base64,` holds no image in base64; use a PNG"),
        ("data:image/png;base64,PHN2Zz4=", "holds no image in base64"),
        ("data:image/png;base64,\u{e4}\u{f6}\u{fc}\u{df}", "holds no image in base64"),
        (large.as_str(), "has more than 20971520 bytes"),
    ] {
        let error = sent(&server, json!([image(url)])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.param.as_deref(), Some("messages"));
        assert!(error.message.contains(expected), "{}", error.message);
    }
    for url in ["DATA:;base64,R0lGODlh", "data:image/heic;base64,AAAAHGZ0eXBoZWlj"] {
        assert_eq!(sent(&server, json!([image(url)])).await.unwrap(), json!([image(url)]));
    }
}

#[tokio::test]
async fn the_images_of_a_request_are_limited_together_too() {
    let server = FakeUpstream::start(pictures).await;
    let many = vec![image(&format!("{}/big", server.url())); 4];
    let error = sent(&server, many.into()).await.unwrap_err();
    assert!(error.message.contains("more than 67108864 bytes together"), "{}", error.message);
}

#[tokio::test]
async fn odd_messages_are_left_to_the_upstream() {
    let server = FakeUpstream::start(pictures).await;
    for parts in [
        json!(null),
        json!("http://127.0.0.1/"),
        json!([7, null, { "image_url": 7 }, { "image_url": { "url": 7 } }]),
        json!({ "image_url": { "url": "http://127.0.0.1/" } }),
    ] {
        assert_eq!(sent(&server, parts.clone()).await.unwrap(), parts);
    }
}

/// A vendor whose own service fetches images itself.
struct Original;

#[async_trait]
impl Vendor for Original {
    async fn on_register(&self, _: &Connection, model: Model) -> Result<Model> {
        Ok(model)
    }

    async fn offered(&self, _: &Connection) -> Result<Option<Vec<Model>>> {
        Ok(None)
    }

    fn is_original(&self) -> bool {
        true
    }
}

/// What the service of a vendor is sent for an image at this address.
async fn passed_on(url: &str) -> Result<Value> {
    let upstream = FakeUpstream::answering(Answer::json(answered())).await;
    let settings = Settings { url: format!("{}/v1", upstream.url()), ..Settings::default() };
    let http = Http::new(HttpOptions::default()).unwrap();
    let provider = Adapter::new(http, &Dialect::OPENAI, settings, Original).unwrap();
    let mut request = hello("m");
    request.body["messages"][0]["content"] = json!([image(url)]);
    let outcome = provider.chat(&Context::default(), request).await;
    outcome.map(|_| upstream.only_request().json()["messages"][0]["content"][0].clone())
}

#[tokio::test]
async fn images_that_the_upstream_fetches_are_checked_for_their_form() {
    let large = format!("data:image/png;base64,{}", "A".repeat(28 * 1024 * 1024));
    for (url, expected) in [
        ("file:///etc/passwd", "is `file:///etc/passwd`, but it must begin with `https:`"),
        ("gs://bucket/cat.png", "must begin with `https:`, `http:` or `data:`"),
        ("", "is ``, but it must begin with"),
        ("data:image/png,rest", "is `data:image/png,rest`, but it must be in base64"),
        ("data:image/png;base64,!!!", "`data:image/png;base64,!!!` is not in valid base64"),
        ("data:image/png;base64,", "is not in valid base64; encode the file"),
        ("data:image/png;base64,AAAAA", "is not in valid base64"),
        ("data:image/png;base64,AA=A", "is not in valid base64"),
        ("data:image/png;base64,AAA-_A==", "is not in valid base64"),
        (large.as_str(), "has more than 20971520 bytes"),
    ] {
        let error = passed_on(url).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert_eq!(error.param.as_deref(), Some("messages"));
        assert!(error.message.contains(expected), "{}", error.message);
        assert!(error.message.len() < 200, "{}", error.message);
    }
    for url in [
        "https://example.com/a.svg",
        " HTTP://example.com/a",
        "data:application/pdf;base64,JVBERi0=#transform=inline",
        "Data:image/png;base64,iVBORw0KGgpyZXN0",
        "data:image/svg+xml;base64,PHN2Zz4",
    ] {
        assert_eq!(passed_on(url).await.unwrap(), image(url), "it is sent as it came");
    }
}
