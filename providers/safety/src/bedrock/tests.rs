//! Guardrails that are played by a script.

use super::*;
use crate::testing::{deps, messages, shield};
use chaski_api::Wire;
use chaski_provider::{Entry, SafetyProvider};
use chaski_testkit::{Answer, FakeUpstream};
use serde_json::json;

const SECRET: &str = "a-secret-key";

async fn bedrock(upstream: &FakeUpstream) -> Arc<dyn SafetyProvider> {
    let config = json!({
        "aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": SECRET,
        "region_name": "us-east-1", "total_max_attempts": 1, "endpoint_url": upstream.url(),
    });
    let config = AwsConfig::from_json(config).unwrap();
    let control = upstream.url();
    Bedrock::build(config, deps(&[("AWS_ENDPOINT_URL_BEDROCK", &control)])).await.unwrap()
}

fn guardrail() -> Shield {
    shield("gr1", &json!({ "guardrailVersion": "1" }))
}

async fn run(
    upstream: &FakeUpstream,
    said: Value,
    shield: &Shield,
) -> Result<Option<SafetyViolation>> {
    let provider = bedrock(upstream).await;
    let outcome = provider.run_shield(&Context::default(), shield, &messages(said), None).await;
    outcome.map(|answer| answer.violation)
}

fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

/// The answer to a question about investments (Bedrock user guide, "Use the `ApplyGuardrail` API").
fn intervened() -> Answer {
    let topic = json!({ "name": "Fiduciary Advice", "type": "DENY", "action": "BLOCKED" });
    Answer::json(json!({
        "usage": { "topicPolicyUnits": 1, "contentPolicyUnits": 1 },
        "action": "GUARDRAIL_INTERVENED",
        "outputs": [{ "text": "Sorry, I can not answer questions about investments." }],
        "assessments": [{ "topicPolicy": { "topics": [topic] } }],
    }))
}

fn nothing() -> Answer {
    Answer::json(json!({ "action": "NONE", "outputs": [], "assessments": [{}] }))
}

#[tokio::test]
async fn an_intervention_is_a_violation_with_the_words_of_the_guardrail() {
    let upstream = FakeUpstream::answering(intervened()).await;
    let violation = run(&upstream, user("How should I invest?"), &guardrail()).await.unwrap();
    let violation = violation.unwrap();
    assert_eq!(violation.violation_level, ViolationLevel::Error);
    let said = violation.user_message.unwrap();
    assert_eq!(said, "Sorry, I can not answer questions about investments.");
    assert_eq!(violation.metadata["topicPolicy"]["topics"][0]["name"], "Fiduciary Advice");
    let seen = upstream.only_request();
    assert_eq!(seen.path, "/guardrail/gr1/version/1/apply");
    let asked =
        json!({ "source": "INPUT", "content": [{ "text": { "text": "How should I invest?" } }] });
    assert_eq!(seen.json(), asked);
    let scope = "/us-east-1/bedrock/aws4_request";
    assert!(seen.header("authorization").contains(scope));
}

#[tokio::test]
async fn what_the_model_says_is_judged_as_output_with_its_calls() {
    let upstream = FakeUpstream::answering(nothing()).await;
    let call = json!({ "call_id": "1", "tool_name": "buy", "arguments": { "n": 3 } });
    let said = json!([
        { "role": "user", "content": "buy" },
        { "role": "assistant", "content": "", "stop_reason": "end_of_turn", "tool_calls": [call] },
    ]);
    assert_eq!(run(&upstream, said, &guardrail()).await.unwrap(), None);
    let asked = upstream.only_request().json();
    assert_eq!(asked["source"], "OUTPUT");
    assert_eq!(asked["content"][1]["text"]["text"], "buy({\"n\":3})");
}

#[tokio::test]
async fn images_are_shown_where_bedrock_can_look_at_them() {
    let upstream = FakeUpstream::answering(nothing()).await;
    let image = |image: Value| json!([{ "role": "user", "content": [{ "type": "image", "image": image }] }]);
    let png = "iVBORw0KGgoAAAA";
    run(&upstream, image(json!({ "data": png })), &guardrail()).await.unwrap();
    let shown = &upstream.only_request().json()["content"][0];
    assert_eq!(*shown, json!({ "image": { "format": "png", "source": { "bytes": png } } }));
    let jpeg = json!({ "url": { "uri": "data:image/jpeg;base64,/9j/4AAQ" } });
    run(&upstream, image(jpeg), &guardrail()).await.unwrap();
    for (wrong, reason) in [
        (json!({ "url": { "uri": "https://example.com/a.png" } }), "at an address"),
        (json!({ "data": "R0lGODlh" }), "PNG and JPEG images only"),
    ] {
        let error = run(&upstream, image(wrong), &guardrail()).await.unwrap_err();
        assert!(error.kind == ErrorKind::InvalidRequest && error.message.contains(reason));
    }
}

#[tokio::test]
async fn what_is_no_verdict_is_an_error_without_secrets() {
    for (answer, expected) in [
        (json!({ "action": "MAYBE" }), "Bedrock answered with the unknown action `MAYBE`"),
        (json!({ "outputs": [] }), "Bedrock sent an answer that cannot be understood"),
    ] {
        let upstream = FakeUpstream::answering(Answer::json(answer)).await;
        let error = run(&upstream, user("hi"), &guardrail()).await.unwrap_err();
        assert_eq!(error.message, expected);
    }
    let refused = Answer::json(json!({ "message": "no permission to apply" })).status(403);
    let upstream = FakeUpstream::answering(refused).await;
    let error = run(&upstream, user("hi"), &guardrail()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream { status: Some(403) });
    assert!(error.message.contains("no permission to apply"), "{error}");
    assert!(!error.chain().contains(SECRET) && !error.chain().contains("AKIDEXAMPLE"));
    let upstream = FakeUpstream::answering(nothing()).await;
    let error = run(&upstream, user("hi"), &shield("gr1", &json!({}))).await.unwrap_err();
    assert!(error.message.contains("does not say which version"), "{error}");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_shield_is_registered_if_there_is_that_version() {
    let upstream = FakeUpstream::start(|seen| match seen.path.as_str() {
        "/guardrails/gr1?guardrailVersion=1" => {
            Answer::json(json!({ "guardrailId": "gr1", "version": "1", "status": "READY" }))
        }
        "/guardrails/gr2?guardrailVersion=1" => {
            Answer::json(json!({ "guardrailId": "gr2", "version": "1", "status": "FAILED" }))
        }
        _ => Answer::json(json!({ "message": "not there" })).status(404),
    })
    .await;
    let provider = bedrock(&upstream).await;
    let register = async |id: &str, version: &str| {
        let shield = shield(id, &json!({ "guardrailVersion": version }));
        provider.on_register(shield).await.map_err(|error| error.message)
    };
    assert_eq!(register("gr1", "1").await.unwrap(), guardrail());
    let message = register("gr1", "2").await.unwrap_err();
    assert!(message.starts_with("there is no guardrail `gr1` with the version `2`"), "{message}");
    let message = register("gr2", "1").await.unwrap_err();
    assert_eq!(message, "the guardrail `gr2` cannot be used: it is `FAILED`");
    let unnamed = provider.on_register(shield("gr1", &json!({}))).await.unwrap_err();
    assert_eq!(unnamed.param.as_deref(), Some("params"));
}

#[test]
fn the_entry_checks_the_configuration_of_aws() {
    let entry: &Entry<dyn SafetyProvider> =
        crate::ALL.iter().find(|entry| entry.is("remote::bedrock")).unwrap();
    let issues = (entry.check)(json!({ "aws_access_key_id": "a" }));
    assert_eq!(issues[0].path(), "aws_secret_access_key");
}
