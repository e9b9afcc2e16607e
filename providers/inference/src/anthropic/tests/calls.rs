//! The provider in front of a scripted server.

#![expect(clippy::needless_pass_by_value, reason = "tests pass what `json!` just made")]

use super::{ERROR, MESSAGE, MODELS, STREAM, STREAM_ERROR, anthropic, error, events, message};
use crate::tests::{Served, build, caller, hello};
use bytes::Bytes;
use chaski_api::{
    Error, ErrorKind, Result,
    anthropic::{CountTokensRequest, MessagesRequest},
};
use chaski_provider::{ApiHeaders, Context, Payload, Reply};
use chaski_testkit::{Answer, FakeUpstream};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

fn cx() -> Context {
    Context::default()
}

fn body(more: Value) -> Map<String, Value> {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let mut body = json!({ "model": "registered", "max_tokens": 9, "messages": messages });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.as_object().unwrap().clone()
}

fn asked(more: Value) -> MessagesRequest {
    MessagesRequest { body: body(more).into() }
}

/// The data of the events that come, up to the first error.
async fn relayed(provider: &Served) -> Result<Vec<Bytes>> {
    let request = asked(json!({ "stream": true }));
    let Some(Reply::Stream(mut events)) = provider.messages(&cx(), "m", &request).await? else {
        panic!("a stream was asked for");
    };
    let mut out = Vec::new();
    while let Some(event) = events.next().await {
        match event? {
            Payload::Raw(data) => out.push(data),
            Payload::Value(_) => panic!("events are relayed"),
        }
    }
    Ok(out)
}

async fn streamed(provider: &Served) -> Result<Vec<Value>> {
    let mut request = hello("anthropic/claude-opus-4-6");
    request.body.insert("stream".to_owned(), true.into());
    let Reply::Stream(mut chunks) = provider.chat(&cx(), request).await? else {
        panic!("a stream was asked for");
    };
    let mut out = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let mut chunk: Value = serde_json::from_slice(&chunk?.into_bytes()).unwrap();
        chunk["created"].take();
        out.push(chunk);
    }
    Ok(out)
}

fn data(stream: &str) -> Vec<&str> {
    stream.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

async fn failing(answer: Answer) -> Error {
    let answer = answer.header("x-should-retry", "false");
    let upstream = FakeUpstream::answering(answer).await;
    let provider = anthropic(&upstream, Some("sk-ant-secret")).await;
    provider.chat(&cx(), hello("m")).await.err().unwrap()
}

#[tokio::test]
async fn a_chat_is_asked_for_with_key_and_version() {
    let upstream = FakeUpstream::answering(message()).await;
    let provider = anthropic(&upstream, Some("sk-config")).await;
    let reply = provider.chat(&caller(&json!({})), hello("anthropic/claude-opus-4-6")).await;
    let Reply::Full(answer) = reply.unwrap() else { panic!("no stream was asked for") };
    let completion = answer.into_value().unwrap();
    assert_eq!(completion.choices[0].message.content.as_deref(), Some("I will look it up."));
    let seen = upstream.only_request();
    assert_eq!(seen.path, "/v1/messages");
    assert_eq!(seen.json()["model"], "claude-opus-4-6");
    for (name, value) in [
        ("x-api-key", "sk-config"),
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
        ("authorization", ""),
        ("anthropic-beta", ""),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn the_callers_key_wins_over_the_configured_one() {
    let upstream = FakeUpstream::answering(message()).await;
    let provider = anthropic(&upstream, Some("sk-config")).await;
    for (data, key) in [
        (json!({ "anthropic_api_key": "sk-own" }), "sk-own"),
        (json!({ "anthropic_api_key": "" }), "sk-config"),
        (json!({ "openai_api_key": "sk-other" }), "sk-config"),
    ] {
        provider.chat(&caller(&data), hello("m")).await.unwrap();
        assert_eq!(upstream.requests().last().unwrap().header("x-api-key"), key, "{data}");
    }
}

#[tokio::test]
async fn without_a_key_the_caller_is_told_how_to_send_one() {
    let provider = build("remote::anthropic", json!({ "api_key": "" }), &[]).await.unwrap();
    let error = provider.chat(&cx(), hello("m")).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert_eq!(
        error.message,
        "no key for Anthropic: pass it in the header `X-LlamaStack-Provider-Data` as \
         `{\"anthropic_api_key\": \"<your API key>\"}`, or set `api_key` in the run configuration"
    );
    // Nothing is asked without a key, and callers may bring theirs.
    provider.check().await.unwrap();
    assert!(provider.offered().await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_is_passed_through_but_for_the_name_of_the_model() {
    let upstream = FakeUpstream::answering(message()).await;
    let provider = anthropic(&upstream, None).await;
    let more = json!({ "future": [1.0, null], "thinking": { "type": "adaptive" } });
    let headers =
        vec![("anthropic-version", "2099-01-01".to_owned()), ("anthropic-beta", "a,b".to_owned())];
    let cx = Context { api_headers: ApiHeaders::new(headers), ..cx() };
    let reply = provider.messages(&cx, "anthropic/m", &asked(more.clone())).await.unwrap();
    let Some(Reply::Full(Payload::Raw(answer))) = reply else { panic!("it is relayed") };
    assert_eq!(answer, MESSAGE);
    let mut expected = Value::Object(body(more));
    expected["model"] = "m".into();
    let seen = upstream.only_request();
    assert_eq!(seen.body, expected.to_string());
    assert_eq!(
        (seen.header("anthropic-version"), seen.header("anthropic-beta")),
        ("2099-01-01", "a,b")
    );
}

#[tokio::test]
async fn events_are_passed_through_wherever_the_network_cuts() {
    let expected = data(STREAM);
    for size in [1, 2, 3, 7, 64, 1000, usize::MAX] {
        let upstream = FakeUpstream::answering(events().in_pieces_of(size)).await;
        let found = relayed(&anthropic(&upstream, None).await).await.unwrap();
        assert_eq!(found, expected, "in pieces of {size}");
    }
    let windows = STREAM.replace('\n', "\r\n") + "data: [DONE]\r\n\r\n";
    let upstream = FakeUpstream::answering(Answer::new("text/event-stream", windows)).await;
    assert_eq!(relayed(&anthropic(&upstream, None).await).await.unwrap(), expected);
}

#[tokio::test]
async fn a_stream_is_translated_wherever_the_network_cuts() {
    let upstream = FakeUpstream::answering(events()).await;
    let whole = streamed(&anthropic(&upstream, None).await).await.unwrap();
    assert_eq!(upstream.only_request().header("accept"), "text/event-stream");
    for size in [1, 5, 100] {
        let upstream = FakeUpstream::answering(events().in_pieces_of(size)).await;
        assert_eq!(streamed(&anthropic(&upstream, None).await).await.unwrap(), whole);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_anywhere_is_an_error() {
    // All that counts has come when the last event's line has.
    let complete = STREAM.trim_end().len();
    for at in (0..complete).step_by(11).chain(complete - 3..complete) {
        for answer in
            [events().cut_after(at), Answer::new("text/event-stream", &STREAM[..floor(at)])]
        {
            let upstream = FakeUpstream::answering(answer).await;
            let error = relayed(&anthropic(&upstream, None).await).await.map(|events| events.len());
            let error = error.expect_err(&format!("cut after {at} bytes"));
            assert!(matches!(error.kind, ErrorKind::Upstream { .. }), "{at}: {error:?}");
        }
    }
    let short = Answer::new("text/event-stream", STREAM.trim_end());
    let upstream = FakeUpstream::answering(short).await;
    assert_eq!(relayed(&anthropic(&upstream, None).await).await.unwrap(), data(STREAM));
}

fn floor(at: usize) -> usize {
    STREAM.floor_char_boundary(at)
}

#[tokio::test]
async fn an_error_among_the_events_ends_the_stream_with_its_kind() {
    let begin: String = STREAM.split_inclusive("\n\n").take(3).collect();
    for (kind, expected) in [
        ("overloaded_error", ErrorKind::Upstream { status: Some(529) }),
        ("rate_limit_error", ErrorKind::RateLimited { retry_after: None }),
        ("from_the_future", ErrorKind::Upstream { status: None }),
    ] {
        let event = error(kind, "not now, sk-ant-secret");
        let text = format!("{begin}event: error\ndata: {event}\n\n{STREAM}");
        let upstream = FakeUpstream::answering(Answer::new("text/event-stream", text)).await;
        let provider = anthropic(&upstream, Some("sk-ant-secret")).await;
        for failure in [relayed(&provider).await.map(drop), streamed(&provider).await.map(drop)] {
            let failure = failure.unwrap_err();
            assert_eq!((&failure.kind, failure.message.as_str()), (&expected, "not now, ********"));
        }
    }
}

#[tokio::test]
async fn odd_streams_are_errors() {
    for (body, message) in [
        ("data: nope\n\n", "Anthropic sent an answer that is not a JSON object"),
        ("data: [1]\n\n", "Anthropic sent an answer that is not a JSON object"),
        ("data: {\"type\": 5}\n\n", "Anthropic sent an answer that is not a JSON object"),
        ("", "Anthropic ended its answer before it was complete"),
    ] {
        let upstream = FakeUpstream::answering(Answer::new("text/event-stream", body)).await;
        let error = relayed(&anthropic(&upstream, None).await).await.unwrap_err();
        assert_eq!(error.message, message, "{body}");
    }
    let long = format!("data: {{\"type\":\"{}\"}}\n\n", "x".repeat(9 * 1024 * 1024));
    let upstream = FakeUpstream::answering(Answer::new("text/event-stream", long)).await;
    let error = relayed(&anthropic(&upstream, None).await).await.unwrap_err();
    assert_eq!(error.message, "Anthropic sent an event that is too long");
    let upstream = FakeUpstream::answering(message()).await;
    let error = relayed(&anthropic(&upstream, None).await).await.unwrap_err();
    assert!(error.message.contains("in place of a stream of events"), "{}", error.message);
}

#[tokio::test]
async fn errors_keep_status_and_message() {
    for (status, kind, expected) in [
        (529, "overloaded_error", ErrorKind::Upstream { status: Some(529) }),
        (400, "invalid_request_error", ErrorKind::Upstream { status: Some(400) }),
        (401, "authentication_error", ErrorKind::Upstream { status: Some(401) }),
    ] {
        let failure = failing(Answer::json(error(kind, "so be it")).status(status)).await;
        assert_eq!((failure.kind, failure.message.as_str()), (expected, "so be it"));
        assert_eq!(failure.code.as_deref(), Some(kind));
    }
    let limited = Answer::json(error("rate_limit_error", "slowly")).status(429);
    let failure = failing(limited.header("retry-after", "7")).await;
    let ErrorKind::RateLimited { retry_after: Some(wait) } = failure.kind else {
        panic!("{failure:?}");
    };
    assert_eq!(wait.as_secs(), 7);
    // Also where the status says that all is well.
    let failure = failing(Answer::json(error("api_error", "key sk-ant-secret broke"))).await;
    assert_eq!(failure.kind, ErrorKind::Upstream { status: Some(500) });
    assert_eq!(failure.message, "key ******** broke");
    let failure = failing(Answer::text("hello")).await;
    assert_eq!(failure.message, "Anthropic sent an answer that is not a JSON object");
}

#[tokio::test]
async fn the_published_errors_are_understood() {
    let failure = failing(Answer::new("application/json", ERROR).status(404)).await;
    assert_eq!(failure.kind, ErrorKind::Upstream { status: Some(404) });
    assert_eq!(failure.message, "model: claude-opus-0");
    assert_eq!(failure.code.as_deref(), Some("not_found_error"));

    let upstream = FakeUpstream::answering(Answer::new("text/event-stream", STREAM_ERROR)).await;
    let provider = anthropic(&upstream, None).await;
    for failure in [relayed(&provider).await.err(), streamed(&provider).await.err()] {
        let failure = failure.expect("the stream fails");
        assert_eq!(failure.kind, ErrorKind::Upstream { status: Some(529) });
        assert_eq!(failure.message, "Overloaded");
        assert_eq!(failure.code.as_deref(), Some("overloaded_error"));
    }
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again() {
    let busy = Answer::json(error("overloaded_error", "busy")).status(529);
    let busy = busy.header("retry-after-ms", "1");
    let upstream = FakeUpstream::in_turn([busy, message()]).await;
    assert!(anthropic(&upstream, None).await.chat(&cx(), hello("m")).await.is_ok());
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_dropped_stream_cancels_the_request() {
    let gate = chaski_testkit::Gate::closed();
    let upstream = FakeUpstream::answering(events().held_after(600, &gate)).await;
    let provider = anthropic(&upstream, None).await;
    let request = asked(json!({ "stream": true }));
    let reply = provider.messages(&cx(), "m", &request).await.unwrap();
    let Some(Reply::Stream(mut stream)) = reply else { panic!("a stream was asked for") };
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    upstream.deserted().await;
}

#[tokio::test]
async fn tokens_are_counted_by_the_server_that_can() {
    let request = CountTokensRequest { body: body(json!({})).into() };
    let upstream = FakeUpstream::answering(Answer::json(json!({ "input_tokens": 2095 }))).await;
    let provider = anthropic(&upstream, None).await;
    let count = provider.message_tokens(&cx(), "anthropic/m", &request).await.unwrap();
    assert_eq!(count, Some(2095));
    let seen = upstream.only_request();
    assert_eq!(
        (seen.path.as_str(), &seen.json()["model"]),
        ("/v1/messages/count_tokens", &json!("m"))
    );
    let without = Answer::json(error("not_found_error", "no such path")).status(404);
    let upstream = FakeUpstream::answering(without).await;
    let provider = anthropic(&upstream, None).await;
    assert_eq!(provider.message_tokens(&cx(), "m", &request).await.unwrap(), None);
    let upstream = FakeUpstream::answering(Answer::json(json!({ "tokens": 1 }))).await;
    assert!(anthropic(&upstream, None).await.message_tokens(&cx(), "m", &request).await.is_err());
}

#[tokio::test]
async fn models_are_offered_under_anthropics_name() {
    let upstream = FakeUpstream::answering(Answer::new("application/json", MODELS)).await;
    let provider = anthropic(&upstream, Some("sk-config")).await;
    let offered = provider.offered().await.unwrap().unwrap();
    let found: Vec<_> = offered
        .iter()
        .map(|model| (model.identifier.as_str(), model.provider_resource_id.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("anthropic/claude-opus-4-6", "claude-opus-4-6"),
            ("anthropic/claude-3-5-haiku-20241022", "claude-3-5-haiku-20241022"),
        ]
    );
    assert_eq!(
        Value::Object(offered[0].metadata.clone()),
        json!({ "display_name": "Claude Opus 4.6", "context_length": 200_000 })
    );
    provider.check().await.unwrap();
    let seen = &upstream.requests()[0];
    assert_eq!(
        (seen.path.as_str(), seen.header("x-api-key")),
        ("/v1/models?limit=1000", "sk-config")
    );
}

#[tokio::test]
async fn the_base_url_may_end_in_the_version_and_must_be_one() {
    let upstream = FakeUpstream::answering(message()).await;
    for end in ["", "/", "/v1", "/v1/"] {
        let config = json!({ "base_url": format!("{}{end}", upstream.url()) });
        let provider = build("remote::anthropic", config, &[]).await.unwrap();
        provider.chat(&cx(), hello("m")).await.unwrap();
        assert_eq!(upstream.requests().last().unwrap().path, "/v1/messages", "{end}");
    }
    let config = json!({ "base_url": "anthropic.com" });
    let error = build("remote::anthropic", config, &[]).await.err().unwrap();
    assert!(error.message.contains("is not a web address"), "{}", error.message);
}

#[tokio::test]
async fn what_anthropic_does_not_do_is_said() {
    let provider = build("remote::anthropic", json!({}), &[]).await.unwrap();
    let request =
        chaski_api::openai::EmbeddingRequest { body: body(json!({ "input": "x" })).into() };
    let error = provider.embeddings(&cx(), request).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
}
