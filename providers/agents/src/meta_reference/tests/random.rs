//! Random models and tools: whatever they do, turns keep their promises.

use super::*;
use crate::meta_reference::tests::world::Events;
use chaski_api::inference::ContentDelta;
use std::collections::HashMap;

/// A generator of numbers that is the same in every run (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

fn said(numbers: &mut Numbers) -> Said {
    const TOOLS: [&str; 5] = ["add", "picky", "ask_user", "no_such", "insert_into_memory"];
    match numbers.below(8) {
        0 => Said::Failure,
        1 | 2 => {
            let pieces = 1 + numbers.below(4);
            Said::Text((0..pieces).map(|at| format!("piece {at} ")).collect())
        }
        _ => {
            let count = 1 + numbers.below(3);
            let calls = (0..count).map(|_| {
                let name = TOOLS[usize::try_from(numbers.below(5)).unwrap()];
                (name.to_owned(), json!({ "n": numbers.below(2) }))
            });
            Said::Calls(calls.collect())
        }
    }
}

/// Every started step ends, every step has its own id, the pieces make the message, and there is
/// one end.
fn check(events: &Events, seed: u64) {
    let mut open: HashMap<String, String> = HashMap::new();
    let mut text: HashMap<String, String> = HashMap::new();
    let mut ends = 0;
    for chunk in &events.events {
        assert_eq!(ends, 0, "seed {seed}: something follows the end");
        match &chunk.event.payload {
            TurnEventPayload::StepStart(step) => {
                let before = open.insert(step.step_id.clone(), step.step_type.to_string());
                assert_eq!(before, None, "seed {seed}: a step begins twice");
            }
            TurnEventPayload::StepProgress(step) => {
                assert!(open.contains_key(&step.step_id), "seed {seed}: progress of no step");
                if let ContentDelta::Text(piece) = &step.delta {
                    text.entry(step.step_id.clone()).or_default().push_str(&piece.text);
                }
            }
            TurnEventPayload::StepComplete(step) => {
                let began = open.remove(&step.step_id).is_some();
                let is_of_client = step.step_type == StepType::ToolExecution && !began;
                assert!(began || is_of_client, "seed {seed}: a step ends that did not begin");
                if let Step::Inference(inference) = &step.step_details {
                    let answer = &inference.model_response;
                    if answer.tool_calls.as_ref().is_none_or(Vec::is_empty) {
                        let pieces = text.remove(&step.step_id).unwrap_or_default();
                        assert_eq!(answer.content.texts(""), Some(pieces), "seed {seed}");
                    }
                }
            }
            TurnEventPayload::TurnComplete(_) | TurnEventPayload::TurnAwaitingInput(_) => ends += 1,
        }
    }
    if events.error.is_none() {
        assert_eq!(ends, 1, "seed {seed}: the turn does not end");
        assert!(open.is_empty(), "seed {seed}: steps are left open");
    }
}

#[tokio::test]
async fn whatever_models_and_tools_do_turns_keep_their_promises() {
    for seed in 0..150 {
        let mut numbers = Numbers(seed);
        let script: Vec<Said> = (0..60).map(|_| said(&mut numbers)).collect();
        let config = json!({
            "toolgroups": ["my::math", "builtin::rag"],
            "client_tools": [{ "name": "ask_user" }],
            "max_infer_iters": 1 + numbers.below(5),
            "input_shields": if numbers.below(2) == 0 { json!([]) } else { json!(["guard"]) },
        });
        let world = World::new(config, script).await;
        let mut events = world.turn("go").await;
        check(&events, seed);
        // As long as the turn waits for the client, it is answered.
        while let Some(last) = events.events.last().cloned() {
            let TurnEventPayload::TurnAwaitingInput(waiting) = last.event.payload else { break };
            let turn = waiting.turn;
            if turn.output_message.stop_reason != StopReason::EndOfMessage {
                break;
            }
            let open = turn.output_message.tool_calls.unwrap_or_default();
            let responses: Vec<Value> = open
                .iter()
                .map(|call| {
                    json!({ "call_id": call.call_id, "tool_name": call.tool_name, "content": "yes" })
                })
                .collect();
            events = world.resume(&turn.turn_id, responses.into()).await;
            check(&events, seed);
        }
        // No call was made twice, and each has one answer.
        let mut answers: HashMap<String, usize> = HashMap::new();
        for turn in &world.session().await.turns {
            for step in &turn.steps {
                if let Step::ToolExecution(step) = step {
                    for response in &step.tool_responses {
                        *answers.entry(response.call_id.clone()).or_default() += 1;
                    }
                }
            }
        }
        assert!(answers.values().all(|times| *times == 1), "seed {seed}: {answers:?}");
    }
}
