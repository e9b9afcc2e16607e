//! What the shield makes of vectors that a script gives it.

use super::*;
use crate::testing::{deps, messages, shield};
use chaski_api::Wire;
use chaski_provider::{EmbeddingReply, Inference, Payload};
use std::sync::Mutex;

/// A vector that the network takes for an attack, and one that it does not, by a step of numbers.
fn vector(step: i64, numbers: i64) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let number = |index: i64| ((index * step * step) % 17 - 8) as f64;
    (0..numbers).map(number).collect()
}

/// Texts with `attack` in them have the vector of one.
#[derive(Default)]
struct Embedder {
    numbers: Mutex<i64>,
    asked: Mutex<Vec<Value>>,
}

#[async_trait]
impl Inference for Embedder {
    async fn embeddings(&self, _: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        let body: Value = request.body.into();
        let texts = body["input"].as_array().unwrap();
        let numbers = *self.numbers.lock().unwrap();
        let data = texts.iter().map(|text| {
            let attack = text.as_str().unwrap().contains("attack");
            json!({ "embedding": vector(if attack { 7 } else { 1 }, numbers) })
        });
        let list = json!({ "data": data.collect::<Vec<_>>() });
        self.asked.lock().unwrap().push(body.clone());
        Ok(Payload::Value(EmbeddingList::from_json(list).unwrap()))
    }
}

struct World {
    embedder: Arc<Embedder>,
    provider: Arc<dyn SafetyProvider>,
}

async fn world(config: Value) -> World {
    let embedder = Arc::new(Embedder { numbers: Mutex::new(384), ..Embedder::default() });
    let inference: Arc<dyn Inference> = embedder.clone();
    let deps = deps(&[]);
    deps.routers.set_inference(&inference);
    let config = PromptGuardConfig::from_json(config).unwrap();
    World { embedder, provider: PromptGuard::build(config, deps).await.unwrap() }
}

impl World {
    async fn run(&self, said: Value) -> Result<Option<SafetyViolation>> {
        let (cx, shield, said) = (Context::default(), shield("s", &json!({})), messages(said));
        let outcome = self.provider.run_shield(&cx, &shield, &said, None).await;
        outcome.map(|answer| answer.violation)
    }
}

fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

#[tokio::test]
async fn only_the_last_message_is_judged() {
    let world = world(json!({ "threshold": 0.04 })).await;
    let violation = world.run(user("an attack")).await.unwrap().unwrap();
    assert_eq!(violation.user_message.as_deref(), Some(REFUSAL));
    assert_eq!(violation.violation_level, ViolationLevel::Error);
    assert_eq!(violation.metadata["violation_type"], "prompt_injection:malicious=0.0426");
    let said =
        json!([{ "role": "user", "content": "attack" }, { "role": "user", "content": "hi" }]);
    assert_eq!(world.run(said).await.unwrap(), None);
    let asked = world.embedder.asked.lock().unwrap().clone();
    let expected = [
        json!({ "model": "all-MiniLM-L6-v2", "input": ["an attack"] }),
        json!({ "model": "all-MiniLM-L6-v2", "input": ["hi"] }),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn the_threshold_and_the_kind_are_those_of_the_configuration() {
    let high = world(json!({ "threshold": 0.05 })).await;
    assert_eq!(high.run(user("attack")).await.unwrap(), None);
    let other = world(json!({ "guard_type": "jailbreak", "threshold": 0.01 })).await;
    let violation = other.run(user("attack")).await.unwrap().unwrap();
    assert_eq!(violation.metadata["violation_type"], "jailbreak:malicious=0.0426");
    let entry = crate::ALL.iter().find(|entry| entry.is("inline::prompt-guard")).unwrap();
    assert_eq!((entry.check)(json!({ "threshold": 1.5 }))[0].path(), "threshold");
    assert_eq!((entry.check)(json!({ "guard_type": "x" }))[0].path(), "guard_type");
    assert_eq!((entry.check)(json!({})), []);
}

#[tokio::test]
async fn an_attack_anywhere_in_a_long_message_is_found() {
    let world = world(json!({ "threshold": 0.04 })).await;
    let long = format!("{} attack {}", "é".repeat(40_000), "x".repeat(2_000));
    assert!(world.run(user(&long)).await.unwrap().is_some());
    assert!(world.embedder.asked.lock().unwrap().len() > 1, "in several batches");
    let error = world.run(user(&"x".repeat(500_000))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert_eq!(world.run(user(" ")).await.unwrap(), None);
    assert_eq!(world.run(json!([])).await.unwrap_err().message, "Messages must not be empty");
}

#[test]
fn pieces_share_characters_and_leave_none_out() {
    assert_eq!(pieces("ab"), ["ab"]);
    let text: String = ('a'..='z').cycle().take(2_500).collect();
    let found = pieces(&text);
    assert_eq!(found, [&text[..1000], &text[800..1800], &text[1600..]]);
    assert_eq!(pieces(&text[..1000]).len(), 1);
}

#[tokio::test]
async fn vectors_of_another_model_are_an_error() {
    let world = world(json!({})).await;
    *world.embedder.numbers.lock().unwrap() = 8;
    let error = world.run(user("hi")).await.unwrap_err();
    assert!(error.message.contains("name that model in `embedding_model`"), "{error}");
}
