//! Images at addresses, in front of a server that is not Anthropic's.

use super::message;
use crate::tests::{Served, build, hello};
use chaski_api::{
    ErrorKind,
    anthropic::{CountTokensRequest, MessagesRequest},
};
use chaski_provider::Context;
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Value, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";
const PNG_IN_BASE64: &str = "iVBORw0KGgpyZXN0";

async fn pictures() -> FakeUpstream {
    FakeUpstream::answering(Answer::new("image/png", PNG)).await
}

/// The provider in front of `upstream`; images may be fetched from `pictures`.
async fn provider(upstream: &FakeUpstream, pictures: &FakeUpstream) -> Served {
    build("remote::anthropic", json!({ "base_url": upstream.url() }), &[pictures]).await.unwrap()
}

fn messages(content: &Value) -> Value {
    json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": content }] })
}

#[tokio::test]
async fn images_of_anthropics_form_are_sent_as_data_wherever_they_stand() {
    let count = Answer::json(json!({ "input_tokens": 7 }));
    let (pictures, upstream) = (pictures().await, FakeUpstream::in_turn([message(), count]).await);
    let provider = provider(&upstream, &pictures).await;
    let content = |source: Value| {
        let image = json!({ "type": "image", "source": source, "future": 1 });
        json!([
            { "type": "text", "text": "What is in the image at this url?" },
            image,
            { "type": "tool_result", "tool_use_id": "t", "content": [image] },
            { "type": "tool_result", "tool_use_id": "t", "content": "an image" },
            { "type": "document", "source": { "type": "content", "content": [image] } },
            { "type": "tool_use", "id": "t", "name": "f", "input": { "type": "image" } },
        ])
    };
    let asked = messages(&content(json!({ "type": "url", "url": pictures.url() })));
    let body = asked.as_object().unwrap().clone();
    let request = MessagesRequest { body: body.clone().into() };
    provider.messages(&Context::default(), "m", &request).await.map(drop).unwrap();
    let data = json!({ "type": "base64", "media_type": "image/png", "data": PNG_IN_BASE64 });
    assert_eq!(upstream.requests()[0].json(), messages(&content(data.clone())));

    let request = CountTokensRequest { body: body.into() };
    let count = provider.message_tokens(&Context::default(), "m", &request).await.unwrap();
    assert_eq!(count, Some(7));
    assert_eq!(upstream.requests()[1].json(), messages(&content(data)));
}

#[tokio::test]
async fn images_of_openais_form_are_sent_as_data() {
    let (pictures, upstream) = (pictures().await, FakeUpstream::answering(message()).await);
    let mut request = hello("m");
    request.body["messages"][0]["content"] =
        json!([{ "type": "image_url", "image_url": { "url": pictures.url() } }]);
    provider(&upstream, &pictures).await.chat(&Context::default(), request).await.unwrap();
    let sent = &upstream.only_request().json()["messages"][0]["content"][0];
    assert_eq!(
        *sent,
        json!({
            "type": "image",
            "source": { "type": "base64", "media_type": "image/png", "data": PNG_IN_BASE64 },
        })
    );
}

#[tokio::test]
async fn what_another_server_would_fetch_is_refused() {
    let upstream = FakeUpstream::answering(message()).await;
    let provider = provider(&upstream, &pictures().await).await;
    for (kind, url, expected) in [
        ("image", "http://169.254.169.254/latest/meta-data", "may not be fetched: a link-local"),
        ("image", "file:///etc/passwd", ""),
        ("image", "", ""),
        ("document", "https://example.com/a.pdf", "send the document itself"),
    ] {
        let source = json!({ "type": "url", "url": url });
        let asked = messages(&json!([{ "type": kind, "source": source }]));
        let request = MessagesRequest { body: asked.as_object().unwrap().clone().into() };
        let outcome = provider.messages(&Context::default(), "m", &request).await;
        let error = outcome.err().unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "`{url}`: {error}");
        assert_eq!(error.param.as_deref(), Some("messages"));
        assert!(error.message.contains(expected), "`{url}`: {error}");
    }
    assert!(upstream.requests().is_empty());
}
