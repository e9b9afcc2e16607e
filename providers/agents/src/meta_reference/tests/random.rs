//! Random models and tools, and callers who leave: whatever happens, turns keep their promises.

use super::*;
use crate::meta_reference::tests::world::{Watched, some_of};
use chaski_api::inference::ContentDelta;
use std::collections::{HashMap, HashSet};

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

    /// After how many events a caller leaves, if it does.
    fn patience(&mut self) -> usize {
        if self.below(3) == 0 { usize::MAX } else { usize::try_from(self.below(12)).unwrap() }
    }
}

/// What the model says; with a `serial` no two calls are equal.
fn said(numbers: &mut Numbers, serial: &mut Option<u64>) -> Said {
    const TOOLS: [&str; 6] =
        ["add", "picky", "ask_user", "no_such", "insert_into_memory", "unhurried"];
    match numbers.below(12) {
        0 => Said::Failure,
        1 | 2 => {
            let pieces = 1 + numbers.below(4);
            Said::Text((0..pieces).map(|at| format!("piece {at} ")).collect())
        }
        3 => Said::Unreadable("add".to_owned(), "{\"n\": ".to_owned()),
        _ => {
            let count = 1 + numbers.below(3);
            let calls = (0..count).map(|_| {
                let name = TOOLS[usize::try_from(numbers.below(6)).unwrap()];
                let mut arguments = json!({ "n": numbers.below(2) });
                if let Some(serial) = serial {
                    *serial += 1;
                    arguments["serial"] = (*serial).into();
                }
                (name.to_owned(), arguments)
            });
            Said::Calls(calls.collect())
        }
    }
}

/// Every started step ends, every step has its own id, the pieces make the message, and there is
/// one end, unless the caller leaves.
fn check(events: &Watched, seed: u64) {
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
    if events.error.is_none() && !events.were_left {
        assert_eq!(ends, 1, "seed {seed}: the turn does not end");
        assert!(open.is_empty(), "seed {seed}: steps are left open");
    }
}

/// How often each call is in a list.
fn counted(calls: Vec<(String, Value)>) -> HashMap<(String, String), usize> {
    let mut counts = HashMap::new();
    for (name, arguments) in calls {
        let own = json!([arguments["n"], arguments["serial"]]);
        *counts.entry((name, own.to_string())).or_default() += 1;
    }
    counts
}

/// No tool has run more often than the model called it, each call has one answer, and what the model
/// is told has each answer after its call.
async fn check_calls(world: &World, seed: u64) {
    let made = counted(world.made());
    let invoked = world.invoked().into_iter().map(|(name, own)| (name, Value::from(own)));
    for (call, times) in counted(invoked.collect()) {
        let made = made.get(&call).copied().unwrap_or_default();
        assert!(times <= made, "seed {seed}: {call:?} was made {made} times and run {times} times");
    }
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
    for asked in world.asked() {
        let mut open: HashSet<Value> = HashSet::new();
        for message in asked["messages"].as_array().unwrap() {
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                assert!(open.insert(call["call_id"].clone()), "seed {seed}: two calls of one id");
            }
            if message["role"] == "tool" {
                assert!(open.remove(&message["call_id"]), "seed {seed}: an answer to no call");
            }
        }
    }
}

#[tokio::test]
async fn whatever_models_tools_and_callers_do_turns_keep_their_promises() {
    let (mut left, mut ended) = (0, 0);
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let mut serial = (numbers.below(2) == 0).then_some(0);
        let script: Vec<Said> = (0..400).map(|_| said(&mut numbers, &mut serial)).collect();
        let config = json!({
            "toolgroups": ["my::math", "builtin::rag"],
            "client_tools": [{ "name": "ask_user" }],
            "max_infer_iters": 1 + numbers.below(5),
            "budget": if numbers.below(2) == 0 { json!({}) } else { json!({ "tool_calls": numbers.below(6) }) },
            "input_shields": if numbers.below(2) == 0 { json!([]) } else { json!(["guard"]) },
        });
        let world = World::new(config, script).await;
        *world.script.repeats_ids.lock().unwrap() = numbers.below(2) == 0;
        let mut events = some_of(world.begin(&json!({})).await, numbers.patience()).await;
        // Until it is complete, the turn is gone on with; where it waits for the client, it is answered.
        for _ in 0..100 {
            check(&events, seed);
            left += usize::from(events.were_left);
            world.is_free().await;
            let Some(turn) = world.session().await.turns.pop() else { break };
            let open = turn.output_message.tool_calls.unwrap_or_default();
            let responses: Vec<Value> = match (&turn.completed_at, turn.output_message.stop_reason) {
                (None, _) => Vec::new(),
                (Some(_), StopReason::EndOfMessage) => open
                    .iter()
                    .map(|call| {
                        json!({ "call_id": call.call_id, "tool_name": call.tool_name, "content": "yes" })
                    })
                    .collect(),
                (Some(_), StopReason::EndOfTurn | StopReason::OutOfTokens) => {
                    ended += 1;
                    break;
                }
            };
            let reply = world.go_on(&turn.turn_id, responses.into()).await;
            events = some_of(reply, numbers.patience()).await;
        }
        check_calls(&world, seed).await;
    }
    assert!(left > 100 && ended > 100, "{left} times a caller left, {ended} turns ended");
}
