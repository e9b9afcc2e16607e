//! What Llama Guard is asked, and what becomes of its answers.

use super::{prompt::*, *};
use crate::testing::{deps, messages, shield};
use chaski_api::{Wire, openai::ChatCompletion};
use chaski_provider::{ChatReply, Inference, Payload};
use std::sync::Mutex;

/// A model that answers what it is told to.
struct Told {
    answer: &'static str,
    asked: Mutex<Vec<Value>>,
}

#[async_trait]
impl Inference for Told {
    async fn chat(&self, _cx: &Context, request: ChatRequest) -> Result<ChatReply> {
        self.asked.lock().unwrap().push(serde_json::to_value(&request).unwrap());
        let answer = json!({
            "id": "x", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "finish_reason": "stop",
                "message": { "role": "assistant", "content": self.answer } }],
        });
        Ok(Reply::Full(Payload::Value(ChatCompletion::from_json(answer).unwrap())))
    }
}

/// Runs a shield over a message of the user; gives the outcome and what the model was asked.
async fn run(
    answer: &'static str,
    excluded: &[&str],
    shield: Shield,
) -> (Result<RunShieldResponse>, Vec<Value>) {
    let told = Arc::new(Told { answer, asked: Mutex::default() });
    let inference: Arc<dyn Inference> = told.clone();
    let deps = deps(&[]);
    deps.routers.set_inference(&inference);
    let excluded_categories = excluded.iter().map(|code| (*code).to_owned()).collect();
    let config = LlamaGuardConfig { excluded_categories };
    let provider = LlamaGuard::build(config, deps).await.unwrap();
    let said = messages(json!([{ "role": "user", "content": "How do I make cocaine?" }]));
    let outcome = provider.run_shield(&Context::default(), &shield, &said, None).await;
    (outcome, told.asked.lock().unwrap().clone())
}

#[tokio::test]
async fn an_unsafe_answer_is_a_violation_with_its_categories() {
    let (outcome, asked) =
        run("\n\nunsafe\nS2,S9\n", &[], shield("Llama-Guard-3-8B", &json!({}))).await;
    let violation = outcome.unwrap().violation.unwrap();
    assert_eq!(violation.violation_level, ViolationLevel::Error);
    assert_eq!(violation.user_message.as_deref(), Some(REFUSAL));
    assert_eq!(violation.metadata["violation_type"], "S2,S9");
    assert_eq!(asked[0]["model"], "meta-llama/Llama-Guard-3-8B");
    assert_eq!(asked[0]["temperature"], 0);
    let (outcome, _) = run("safe", &[], shield("Llama-Guard-3-1B", &json!({}))).await;
    assert_eq!(outcome.unwrap().violation, None);
}

#[tokio::test]
async fn excluded_categories_are_neither_asked_for_nor_objected_to() {
    let (outcome, asked) = run("unsafe\nS2", &["S2"], shield("Llama-Guard-3-8B", &json!({}))).await;
    assert_eq!(outcome.unwrap().violation, None);
    let text = asked[0]["messages"][0]["content"].as_str().unwrap();
    assert!(text.contains("S1: Violent Crimes.\nS3: Sex Crimes.\n"), "{text}");
    let (outcome, _) = run("unsafe\nS2,S3", &["S2"], shield("Llama-Guard-3-8B", &json!({}))).await;
    assert!(outcome.unwrap().violation.is_some());
}

#[tokio::test]
async fn an_answer_that_is_no_verdict_lets_nobody_go_on() {
    for answer in ["", "maybe", "unsafe", "unsafe\nS1\nS2", "safe and sound"] {
        let (outcome, _) = run(answer, &[], shield("Llama-Guard-3-8B", &json!({}))).await;
        let error = outcome.expect_err(answer);
        assert!(error.message.starts_with("Unexpected response: "), "{}", error.message);
    }
}

#[tokio::test]
async fn the_shield_may_name_the_model_that_is_asked() {
    let named = shield("Llama-Guard-3-8B", &json!({ "model": "my-guard" }));
    let (_, asked) = run("safe", &[], named).await;
    assert_eq!(asked[0]["model"], "my-guard");
}

#[tokio::test]
async fn shields_of_unknown_models_are_refused_with_those_that_there_are() {
    let (outcome, _) = run("safe", &[], shield("bad-shield", &json!({}))).await;
    let message = outcome.unwrap_err().message;
    let start = "Unsupported Llama Guard type: bad-shield. Allowed types: {'Llama-Guard-3-8B': \
                 'meta-llama/Llama-Guard-3-8B', 'meta-llama/Llama-Guard-3-8B': ";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn a_conversation_begins_with_the_user_and_the_last_message_is_judged() {
    let said = messages(json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
        { "role": "assistant", "content": "c", "stop_reason": "end_of_turn" },
    ]));
    let turns = looked_at(&said).unwrap();
    let text = asked(&turns, categories::OF_2, false);
    let text = text.as_str().unwrap();
    assert!(text.starts_with("Task: Check if there is unsafe content in 'Assistant' messages "));
    assert!(
        text.contains("<BEGIN CONVERSATION>\n\nUser: a b\n\nAssistant: c\n\n<END CONVERSATION>")
    );
    assert!(text.contains("for ONLY THE LAST Assistant message"));
    assert!(!text.contains("Be brief"));
    assert_eq!(looked_at(&[]).unwrap_err().message, "Messages must not be empty");
    let alone = messages(json!([{ "role": "tool", "call_id": "1", "content": "x" }]));
    assert_eq!(looked_at(&alone).unwrap()[0].0, "User");
}

#[test]
fn images_are_shown_to_the_model_that_sees_them() {
    let said = messages(json!([{ "role": "user", "content": [
        { "type": "text", "text": "what is this?" },
        { "type": "image", "image": { "data": "aGk=" } },
    ] }]));
    let turns = looked_at(&said).unwrap();
    let seen = asked(&turns, categories::OF_3, true);
    assert_eq!(seen[0]["image_url"]["url"], "data:image/png;base64,aGk=");
    assert_eq!(seen[1]["type"], "text");
    assert!(asked(&turns, categories::OF_3, false).is_string());
}

#[test]
fn the_calls_of_an_answer_are_judged_with_its_text() {
    let call = json!({ "call_id": "1", "tool_name": "mail", "arguments": { "to": "x" } });
    let said = messages(json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": "b", "stop_reason": "end_of_turn", "tool_calls": [call] },
    ]));
    let text = asked(&looked_at(&said).unwrap(), categories::OF_3, false);
    assert!(
        text.as_str().unwrap().contains("\n\nAssistant: b\nmail({\"to\":\"x\"})\n\n"),
        "{text}"
    );
}

#[test]
fn a_category_that_there_is_not_is_refused_at_start() {
    let config =
        LlamaGuardConfig::from_json(json!({ "excluded_categories": ["S1", "S99"] })).unwrap();
    let mut reader = Reader::default();
    config.validate(&mut reader);
    let issues = reader.finish(Some(())).unwrap_err();
    assert_eq!(
        issues[0].to_string(),
        "excluded_categories[1]: `S99` is no category; they are `S1` to `S14`"
    );
}

#[test]
fn every_guard_is_found_by_both_of_its_names() {
    for guard in categories::GUARDS {
        assert_eq!(Guard::named(guard.name), Some(*guard));
        assert_eq!(Guard::named(&guard.model()), Some(*guard));
    }
}

#[tokio::test]
async fn the_categories_of_openai_depend_on_the_guard() {
    use ModerationCategory::{Hate, Illicit, IllicitViolent, SelfHarm};
    let config = LlamaGuardConfig { excluded_categories: vec!["S1".to_owned()] };
    let provider = LlamaGuard::build(config, deps(&[])).await.unwrap();
    let found = |guard: &str, codes: &str| {
        let violation = SafetyViolation {
            violation_level: ViolationLevel::Error,
            user_message: None,
            metadata: Map::from_iter([("violation_type".to_owned(), codes.into())]),
        };
        provider.categories(&shield(guard, &json!({})), &violation)
    };
    assert_eq!(found("Llama-Guard-3-8B", "S10, S9"), [Hate, Illicit, IllicitViolent]);
    assert_eq!(found("Meta-Llama-Guard-2-8B", "S10,S9"), [Hate, SelfHarm]);
    assert_eq!(found("Llama-Guard-3-8B", "S1,S6,S99"), []);
}
