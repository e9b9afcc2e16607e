//! The forms that AWS publishes for Converse and its stream.

use super::{
    chats::{MODEL, ask, hear},
    script::{event, exception, stream},
};
use chaski_api::{ErrorKind, openai::ChatCompletion};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::{Map, Value, json};

/// The messages of the stream, each a member with its name.
fn messages() -> Vec<Vec<u8>> {
    let text = include_str!("../fixtures/converse_stream.json");
    let events: Vec<Map<String, Value>> = serde_json::from_str(text).unwrap();
    events.iter().flatten().map(|(name, payload)| event(name, payload)).collect()
}

#[tokio::test]
async fn a_stream_says_what_the_answer_at_once_says() {
    let (heard, error) = hear(&FakeUpstream::answering(stream(&messages())).await).await;
    assert!(error.is_none(), "{error:?}");
    let answer = include_str!("../fixtures/converse.json");
    let upstream = FakeUpstream::answering(Answer::new("application/json", answer)).await;
    let ChatCompletion { model, choices, usage, .. } = ask(&upstream).await.unwrap();
    assert_eq!((model.as_str(), heard.last().unwrap().usage.clone()), (MODEL, usage));

    let (mut text, mut thoughts, mut arguments) = (String::new(), String::new(), String::new());
    let mut called = Vec::new();
    for choice in heard.into_iter().flat_map(|event| event.choices) {
        text += &choice.delta.content.unwrap_or_default();
        thoughts += &choice.delta.reasoning_content.unwrap_or_default();
        for call in choice.delta.tool_calls.unwrap_or_default() {
            called.extend(call.id.zip(call.function.name));
            arguments += &call.function.arguments.unwrap_or_default();
        }
    }
    let message = &choices[0].message;
    assert_eq!(Some(text), message.content);
    assert_eq!(Some(thoughts), message.reasoning_content);
    let [call] = message.tool_calls.as_deref().unwrap() else { panic!("one call") };
    assert_eq!(called, [(call.id.clone().unwrap(), call.function.name.clone().unwrap())]);
    assert_eq!(Some(arguments), call.function.arguments);
}

#[tokio::test]
async fn errors_say_what_bedrock_said() {
    let answer = Answer::new("application/json", include_str!("../fixtures/error.json"))
        .status(400)
        .header("x-amzn-errortype", "ValidationException:http://internal.amazon.com/");
    let error = ask(&FakeUpstream::answering(answer).await).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(400) });
    assert_eq!(error.message, "The model takes no more than 4096 tokens of an answer.");
    assert_eq!(error.code.as_deref(), Some("ValidationException"));

    let said: Value = serde_json::from_str(include_str!("../fixtures/exception.json")).unwrap();
    let mut broken = messages()[..5].to_vec();
    broken.push(exception("modelStreamErrorException", &said));
    let (heard, error) = hear(&FakeUpstream::answering(stream(&broken)).await).await;
    let error = error.unwrap();
    assert!(!heard.is_empty());
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(424) });
    assert_eq!(json!(error.message), said["originalMessage"]);
    assert_eq!(error.code.as_deref(), Some("ModelStreamErrorException"));
}
