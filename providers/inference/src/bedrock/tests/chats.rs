//! Answers and streams of chats.

use super::{
    bedrock,
    script::{error, event, exception, stream},
};
use crate::tests::hello;
use chaski_api::{
    Error, ErrorKind,
    openai::{ChatChunk, ChatCompletion},
};
use chaski_provider::{Context, Payload, Reply};
use chaski_testkit::{Answer, FakeUpstream};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const MODEL: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

/// The shortest answer.
pub(super) fn answered() -> Answer {
    ended_with("end_turn")
}

fn ended_with(stop_reason: &str) -> Answer {
    let message = json!({ "role": "assistant", "content": [{ "text": "hi" }] });
    Answer::json(json!({
        "output": { "message": message }, "stopReason": stop_reason,
        "usage": { "inputTokens": 1, "outputTokens": 2, "totalTokens": 3 },
    }))
}

pub(super) async fn ask(upstream: &FakeUpstream) -> Result<ChatCompletion, Error> {
    let reply = bedrock(upstream).await.chat(&Context::default(), hello(MODEL)).await?;
    let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
    answer.into_value()
}

/// The events of a stream, and what ended it.
pub(super) async fn hear(upstream: &FakeUpstream) -> (Vec<ChatChunk>, Option<Error>) {
    let (heard, error) = listen(upstream).await;
    (heard.into_iter().map(|event| event.into_value().unwrap()).collect(), error)
}

async fn listen(upstream: &FakeUpstream) -> (Vec<Payload<ChatChunk>>, Option<Error>) {
    let mut request = hello(MODEL);
    request.body.insert("stream".to_owned(), true.into());
    request.body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    let mut events = match bedrock(upstream).await.chat(&Context::default(), request).await {
        Ok(Reply::Stream(events)) => events,
        Ok(Reply::Full(_)) => panic!("a stream was asked for"),
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut heard = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => heard.push(event),
            Err(error) => {
                assert!(events.next().await.is_none(), "an error is the last item");
                return (heard, Some(error));
            }
        }
    }
    (heard, None)
}

#[tokio::test]
async fn an_answer_with_reasoning_text_and_a_call_is_translated() {
    let fixture = include_str!("../fixtures/converse.json");
    let upstream = FakeUpstream::answering(Answer::new("application/json", fixture)).await;
    let answer = ask(&upstream).await.unwrap();
    let choice = &answer.choices[0];
    assert_eq!(choice.finish_reason.as_deref(), Some("tool_calls"));
    let message = &choice.message;
    assert_eq!(message.content.as_deref(), Some("I will look."));
    assert_eq!(message.reasoning_content.as_deref(), Some("The user wants the weather."));
    let calls = serde_json::to_value(&message.tool_calls).unwrap();
    let arguments = "{\"city\":\"Lisbon\",\"days\":2}";
    let function = json!({ "name": "get_weather", "arguments": arguments });
    let id = "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q";
    let expected = json!([{ "index": null, "id": id, "type": "function", "function": function }]);
    assert_eq!(calls, expected);
    let usage = answer.usage.unwrap();
    let numbers = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens);
    assert_eq!(numbers, (130, 628, 758), "the cached part of the prompt counts");
    assert_eq!(answer.model, MODEL);
    let seen = upstream.only_request();
    assert_eq!(seen.path, "/model/us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse");
}

#[tokio::test]
async fn thoughts_that_the_model_wants_back_come_as_it_gave_them() {
    let fixture = include_str!("../fixtures/converse.json");
    let upstream = FakeUpstream::answering(Answer::new("application/json", fixture)).await;
    let reply = bedrock(&upstream).await.chat(&Context::default(), hello(MODEL)).await.unwrap();
    let Reply::Full(answer) = reply else { panic!("no stream was asked for") };
    let answer: Value = serde_json::from_slice(&answer.into_bytes()).unwrap();
    let thoughts = json!([
        { "type": "thinking", "thinking": "The user wants the weather.",
          "signature": "EpYCCkgIA" },
        { "type": "redacted_thinking", "data": "RW13S0FoZ0I=" },
    ]);
    assert_eq!(answer["choices"][0]["message"]["thinking_blocks"], thoughts);

    let delta = |block: i64, content: Value| {
        let delta = json!({ "reasoningContent": content });
        event("contentBlockDelta", &json!({ "contentBlockIndex": block, "delta": delta }))
    };
    let stop = |block: i64| event("contentBlockStop", &json!({ "contentBlockIndex": block }));
    let messages = [
        event("messageStart", &json!({ "role": "assistant" })),
        delta(0, json!({ "text": "The user wants" })),
        delta(0, json!({ "text": " the weather." })),
        delta(0, json!({ "signature": "EpYC" })),
        delta(0, json!({ "signature": "CkgIA" })),
        stop(0),
        delta(1, json!({ "redactedContent": "RW13Sw==" })),
        delta(1, json!({ "redactedContent": "QWhnQg==" })),
        stop(1),
        delta(2, json!({ "text": "unsigned" })),
        stop(2),
        event("messageStop", &json!({ "stopReason": "end_turn" })),
    ];
    let upstream = FakeUpstream::answering(stream(&messages)).await;
    let (heard, error) = listen(&upstream).await;
    assert!(error.is_none(), "{error:?}");
    let heard: Vec<Value> = heard
        .into_iter()
        .map(|event| serde_json::from_slice(&event.into_bytes()).unwrap())
        .collect();
    let blocks: Vec<&Value> = heard
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["thinking_blocks"].as_array())
        .flatten()
        .collect();
    assert_eq!(blocks, thoughts.as_array().unwrap().iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn thoughts_that_cannot_be_kept_are_an_error() {
    let delta = |content: Value| {
        let delta = json!({ "reasoningContent": content });
        event("contentBlockDelta", &json!({ "contentBlockIndex": 0, "delta": delta }))
    };
    let endless = vec![delta(json!({ "text": "x".repeat(1 << 20) })); 9];
    for (messages, expected) in [
        (vec![delta(json!({ "redactedContent": "?" }))], "cannot be understood"),
        (endless, "thoughts of more than 8388608 bytes"),
    ] {
        let (_, error) = hear(&FakeUpstream::answering(stream(&messages)).await).await;
        let error = error.unwrap();
        assert_eq!(error.kind, ErrorKind::Upstream { status: None });
        assert!(error.message.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn every_reason_to_stop_has_a_word_of_openai() {
    for (stop_reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("something_new", "stop"),
    ] {
        let upstream = FakeUpstream::answering(ended_with(stop_reason)).await;
        let answer = ask(&upstream).await.unwrap();
        assert_eq!(answer.choices[0].finish_reason.as_deref(), Some(expected), "{stop_reason}");
    }
    let upstream = FakeUpstream::answering(ended_with("malformed_tool_use")).await;
    let error = ask(&upstream).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: None });
    assert!(error.message.contains("`malformed_tool_use`"), "{error}");
}

/// A stream with reasoning, text and two calls, the second of which has no arguments.
/// Which text ended an answer, and the same in a stream.
async fn stopped_by(stop: Value, ending: Value) -> [Value; 2] {
    let mut request = hello(MODEL);
    request.body.insert("stop".to_owned(), stop);
    let mut answer = ending.clone();
    answer["output"] = json!({ "message": { "content": [{ "text": "hi" }] } });
    let upstream = FakeUpstream::answering(Answer::json(answer)).await;
    let reply = bedrock(&upstream).await.chat(&Context::default(), request.clone()).await;
    let Ok(Reply::Full(answer)) = reply else { panic!("no stream was asked for") };
    let upstream = FakeUpstream::answering(stream(&[event("messageStop", &ending)])).await;
    request.body.insert("stream".to_owned(), true.into());
    let reply = bedrock(&upstream).await.chat(&Context::default(), request).await;
    let Ok(Reply::Stream(mut events)) = reply else { panic!("a stream was asked for") };
    let event = events.next().await.unwrap().unwrap();
    [answer.into_bytes(), event.into_bytes()].map(|said| {
        let said: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(said["choices"][0]["finish_reason"], "stop");
        said["choices"][0]["stop_reason"].clone()
    })
}

#[tokio::test]
async fn the_text_that_ended_an_answer_is_told_where_it_is_known() {
    let ended = |fields: Value| json!({ "stopReason": "stop_sequence", "additionalModelResponseFields": fields });
    let two = json!(["a", "b"]);
    for (stop, ending, expected) in [
        (two.clone(), ended(json!({ "stop_sequence": "b" })), json!("b")),
        (two, ended(Value::Null), Value::Null),
        (json!("a"), ended(Value::Null), json!("a")),
        (json!("a"), json!({ "stopReason": "end_turn" }), Value::Null),
    ] {
        let found = stopped_by(stop, ending.clone()).await;
        assert_eq!(found, [expected.clone(), expected], "{ending}");
    }
}

fn events() -> Vec<Vec<u8>> {
    let delta = |block: i64, delta: Value| {
        // Bedrock pads its events against guessing from their lengths.
        event(
            "contentBlockDelta",
            &json!({ "contentBlockIndex": block, "delta": delta, "p": "abcdefgh" }),
        )
    };
    let start = |block: i64, id: &str, name: &str| {
        let tool = json!({ "toolUse": { "toolUseId": id, "name": name } });
        event("contentBlockStart", &json!({ "contentBlockIndex": block, "start": tool }))
    };
    let stop = |block: i64| event("contentBlockStop", &json!({ "contentBlockIndex": block }));
    vec![
        event("messageStart", &json!({ "role": "assistant" })),
        delta(0, json!({ "reasoningContent": { "text": "Hm." } })),
        delta(0, json!({ "reasoningContent": { "signature": "EpYC" } })),
        stop(0),
        delta(1, json!({ "text": "Grüße" })),
        delta(1, json!({ "text": " 🎉" })),
        delta(1, json!({ "citation": { "title": "unknown here" } })),
        stop(1),
        start(2, "tooluse_1", "get_weather"),
        delta(2, json!({ "toolUse": { "input": "" } })),
        delta(2, json!({ "toolUse": { "input": "{\"city\":" } })),
        delta(2, json!({ "toolUse": { "input": " \"Lisbon\"}" } })),
        stop(2),
        start(3, "tooluse_2", "get_time"),
        stop(3),
        event("somethingNew", &json!({ "a": 1 })),
        event("messageStop", &json!({ "stopReason": "tool_use" })),
        event(
            "metadata",
            &json!({
                "usage": { "inputTokens": 3, "outputTokens": 4, "totalTokens": 7 },
                "metrics": { "latencyMs": 1 },
            }),
        ),
    ]
}

#[tokio::test]
async fn a_stream_is_translated_event_by_event_wherever_it_is_cut() {
    for bytes in [1, 2, 3, 7, 64, 100_000] {
        let upstream = FakeUpstream::answering(stream(&events()).in_pieces_of(bytes)).await;
        let (heard, error) = hear(&upstream).await;
        assert!(error.is_none(), "{error:?}");
        let roles = heard.iter().flat_map(|event| &event.choices);
        let roles: Vec<_> = roles.filter_map(|choice| choice.delta.role.as_deref()).collect();
        assert_eq!(roles, ["assistant"]);
        let (mut text, mut thoughts, mut calls, mut finish) =
            (String::new(), String::new(), Vec::new(), Vec::new());
        for choice in heard.iter().flat_map(|event| event.choices.clone()) {
            text += &choice.delta.content.unwrap_or_default();
            thoughts += &choice.delta.reasoning_content.unwrap_or_default();
            finish.extend(choice.finish_reason);
            for call in choice.delta.tool_calls.unwrap_or_default() {
                let at = usize::try_from(call.index.unwrap()).unwrap();
                if at == calls.len() {
                    let name = call.function.name.unwrap();
                    calls.push((call.id.unwrap(), name, String::new()));
                }
                calls[at].2 += &call.function.arguments.unwrap_or_default();
            }
        }
        assert_eq!((text.as_str(), thoughts.as_str()), ("Grüße 🎉", "Hm."));
        let expected = [
            ("tooluse_1", "get_weather", "{\"city\": \"Lisbon\"}"),
            ("tooluse_2", "get_time", "{}"),
        ];
        let owned = |(id, name, arguments): (&str, &str, &str)| {
            (id.to_owned(), name.to_owned(), arguments.to_owned())
        };
        assert_eq!(calls, expected.map(owned));
        assert_eq!(finish, ["tool_calls"]);
        let last = heard.last().unwrap();
        assert!(last.choices.is_empty());
        assert_eq!(last.usage.as_ref().unwrap().total_tokens, 7);
    }
    let upstream = FakeUpstream::answering(stream(&events())).await;
    hear(&upstream).await;
    assert!(upstream.only_request().path.ends_with("/converse-stream"));
}

#[tokio::test]
async fn exceptions_in_a_stream_have_the_status_that_they_have_outside() {
    let began =
        event("contentBlockDelta", &json!({ "contentBlockIndex": 0, "delta": { "text": "He" } }));
    for (name, kind) in [
        ("throttlingException", ErrorKind::RateLimited { retry_after: None }),
        ("validationException", ErrorKind::Upstream { status: Some(400) }),
        ("modelStreamErrorException", ErrorKind::Upstream { status: Some(424) }),
        ("internalServerException", ErrorKind::Upstream { status: Some(500) }),
        ("serviceUnavailableException", ErrorKind::Upstream { status: Some(503) }),
        ("unheardOfException", ErrorKind::Upstream { status: None }),
    ] {
        let broken = exception(name, &json!({ "message": "reasons" }));
        let upstream = FakeUpstream::answering(stream(&[began.clone(), broken])).await;
        let (heard, error) = hear(&upstream).await;
        let error = error.unwrap();
        assert_eq!((heard.len(), &error.kind), (1, &kind), "{name}");
        assert_eq!(error.message, "reasons");
        let code = error.code.as_deref().unwrap();
        assert!(code.starts_with(char::is_uppercase) && code[1..] == name[1..], "{code}");
    }
    let upstream = FakeUpstream::answering(stream(&[error("InternalError", "")])).await;
    let (_, error) = hear(&upstream).await;
    assert_eq!(error.unwrap().message, "Bedrock ended its answer with `InternalError`");
}

#[tokio::test]
async fn a_stream_that_is_damaged_or_ends_early_is_an_error() {
    let whole = events().concat();
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    let calls = json!({ "contentBlockIndex": 9, "delta": { "toolUse": { "input": "{" } } });
    for (bytes, expected) in [
        (damaged, "cannot be understood"),
        (whole[..whole.len() - 1].to_vec(), "ended its answer before it was complete"),
        (events()[..5].concat(), "ended its answer before it was complete"),
        (Vec::new(), "ended its answer before it was complete"),
        (event("contentBlockDelta", &json!([])), "cannot be understood"),
        (event("contentBlockDelta", &calls), "arguments of a call that has not begun"),
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "cannot be understood"),
    ] {
        let answer = Answer::new(super::super::stream::MEDIA_TYPE, bytes);
        let (_, error) = hear(&FakeUpstream::answering(answer).await).await;
        let error = error.unwrap();
        assert_eq!(error.kind, ErrorKind::Upstream { status: None });
        assert!(error.message.contains(expected), "{error}");
    }
    let (_, error) = hear(&FakeUpstream::answering(answered()).await).await;
    let message = error.unwrap().message;
    assert!(message.contains("`application/json` in place of a stream"), "{message}");
}

#[tokio::test]
async fn errors_keep_their_status_and_say_what_bedrock_said() {
    for (status, code, kind) in [
        (400, "ValidationException", ErrorKind::Upstream { status: Some(400) }),
        (403, "AccessDeniedException", ErrorKind::Upstream { status: Some(403) }),
        (404, "ResourceNotFoundException", ErrorKind::Upstream { status: Some(404) }),
        (424, "ModelErrorException", ErrorKind::Upstream { status: Some(424) }),
        (
            503,
            "ServiceUnavailableException",
            ErrorKind::Unavailable { retry_after: Some(Duration::from_secs(3)) },
        ),
        (
            429,
            "ThrottlingException",
            ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(3)) },
        ),
    ] {
        let answer = Answer::json(json!({ "message": "reasons" }))
            .status(status)
            .header("retry-after", "3")
            .header("x-amzn-errortype", &format!("{code}:http://internal.amazon.com/"));
        let upstream = FakeUpstream::answering(answer).await;
        let (_, streamed) = hear(&upstream).await;
        for error in [ask(&upstream).await.unwrap_err(), streamed.unwrap()] {
            assert_eq!((&error.kind, error.code.as_deref()), (&kind, Some(code)));
            assert_eq!(error.message, "reasons");
        }
    }
}

#[tokio::test]
async fn a_model_that_is_not_ready_is_asked_again() {
    let busy = Answer::json(json!({ "message": "not ready" }))
        .status(429)
        .header("x-amzn-errortype", "ModelNotReadyException")
        .header("retry-after", "0");
    let upstream = FakeUpstream::in_turn([busy, answered()]).await;
    let mut config = super::config(&upstream.url());
    config["total_max_attempts"] = 2.into();
    let provider = crate::tests::build("remote::bedrock", config, &[]).await.unwrap();
    provider.chat(&Context::default(), hello(MODEL)).await.unwrap();
    assert_eq!(upstream.requests().len(), 2);
}
