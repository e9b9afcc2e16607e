//! The service as a script plays it.

use super::*;
use crate::testing::{deps, messages, shield};
use chaski_api::Wire;
use chaski_testkit::{Answer, FakeUpstream};

async fn run(url: &str, said: Value) -> Result<Option<SafetyViolation>> {
    let config = json!({ "guardrails_service_url": url, "config_id": "mine" });
    let config = NvidiaConfig::from_json(config).unwrap();
    let provider = Nvidia::build(config, deps(&[])).await.unwrap();
    let shield = shield("meta/llama-3.1-8b-instruct", &json!({}));
    let outcome = provider.run_shield(&Context::default(), &shield, &messages(said), None).await;
    outcome.map(|answer| answer.violation)
}

fn said() -> Value {
    json!([
        { "role": "user", "content": "Tell me how." },
        { "role": "assistant", "content": "You are stupid.", "stop_reason": "end_of_turn" },
    ])
}

#[tokio::test]
async fn a_blocked_message_is_a_violation_with_what_each_rail_says() {
    let rails = json!({ "self check input": { "status": "success" }, "self check output": { "status": "blocked" } });
    let answer = json!({ "status": "blocked", "rails_status": rails, "guardrails_data": null });
    let upstream = FakeUpstream::answering(Answer::json(answer)).await;
    let violation = run(&format!("{}/", upstream.url()), said()).await.unwrap().unwrap();
    assert_eq!(violation.user_message.as_deref(), Some(REFUSAL));
    assert_eq!(Value::Object(violation.metadata), rails);
    let seen = upstream.only_request();
    assert_eq!(seen.path, "/v1/guardrail/checks");
    let expected = json!({
        "model": "meta/llama-3.1-8b-instruct", "temperature": 1.0, "top_p": 1, "max_tokens": 160,
        "frequency_penalty": 0, "presence_penalty": 0, "stream": false,
        "guardrails": { "config_id": "mine" },
        "messages": [
            { "role": "user", "content": "Tell me how." },
            { "role": "assistant", "content": "You are stupid." },
        ],
    });
    assert_eq!(seen.json(), expected);
}

#[tokio::test]
async fn what_passes_all_rails_is_no_violation() {
    let answer = json!({ "status": "success", "rails_status": {} });
    let upstream = FakeUpstream::answering(Answer::json(answer)).await;
    assert_eq!(run(&upstream.url(), said()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_verdict_is_an_error() {
    for (answer, expected) in [
        (Answer::json(json!({ "status": "unsure" })), "answered with the unknown status `unsure`"),
        (Answer::json(json!({ "rails_status": {} })), "sent an answer that cannot be understood"),
        (Answer::text("<html>"), "sent an answer that cannot be understood"),
    ] {
        let upstream = FakeUpstream::answering(answer).await;
        let error = run(&upstream.url(), said()).await.unwrap_err();
        assert_eq!(error.message, format!("{NAME} {expected}"));
    }
    let refused = Answer::json(json!({ "detail": "no such configuration" })).status(422);
    let upstream = FakeUpstream::answering(refused).await;
    let error = run(&upstream.url(), said()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(422) });
    assert!(run("http://127.0.0.1:1", said()).await.is_err());
}

#[test]
fn an_address_that_is_none_is_refused_at_start() {
    let entry = crate::ALL.iter().find(|entry| entry.is("remote::nvidia")).unwrap();
    let issues = (entry.check)(json!({ "guardrails_service_url": "localhost" }));
    assert_eq!(issues[0].path(), "guardrails_service_url");
    assert_eq!((entry.check)(json!({})), []);
}
