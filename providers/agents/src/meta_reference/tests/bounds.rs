//! What turns may use: calls of tools, tokens and time, over all times that they are gone on with.

use super::*;
use crate::meta_reference::{
    records::Usage,
    tests::{kept::change, world::plain},
};

/// What the tools of a turn answered.
fn answers(turn: &Turn) -> Vec<String> {
    let executions = turn.steps.iter().filter_map(|step| match step {
        Step::ToolExecution(step) => Some(&step.tool_responses),
        Step::Inference(_) | Step::ShieldCall(_) | Step::MemoryRetrieval(_) => None,
    });
    executions.flatten().map(|response| plain(&response.content)).collect()
}

#[tokio::test]
async fn no_more_calls_are_made_than_the_budget_leaves() {
    let many: Vec<(&str, Value)> = (0..5).map(|n| ("add", json!({ "n": n }))).collect();
    let config = json!({ "toolgroups": ["my::math"], "budget": { "tool_calls": 2 } });
    let world = World::new(config, [calls(&many), text(&["enough"])]).await;
    let turn = world.turn("go").await.turn();
    assert_eq!(world.invoked().len(), 2);
    let answers = answers(&turn);
    assert_eq!(answers[..2], ["add done", "add done"]);
    for refused in &answers[2..] {
        assert!(refused.starts_with("Error: the call was not made: "), "{refused}");
    }
    assert_eq!(answers.len(), 5);
    // The model is asked once more, for its answer.
    assert_eq!(plain(&turn.output_message.content), "enough");
}

#[tokio::test]
async fn calls_that_cannot_be_made_do_not_count() {
    let script = [calls(&[("no_such", json!({}))]), calls(&[("add", json!({}))]), text(&["ok"])];
    let config = json!({ "toolgroups": ["my::math"], "budget": { "tool_calls": 1 } });
    let world = World::new(config, script).await;
    let turn = world.turn("go").await.turn();
    assert_eq!(world.invoked().len(), 1);
    assert_eq!(plain(&turn.output_message.content), "ok");
}

#[tokio::test]
async fn a_tool_that_takes_longer_than_the_turn_may_is_not_waited_for() {
    let config = json!({ "toolgroups": ["my::math"], "budget": { "seconds": 1 } });
    let world = World::new(config, [calls(&[("slow", json!({})), ("add", json!({}))])]).await;
    let turn = world.turn("go").await.turn();
    let answers = answers(&turn);
    assert!(
        answers[0].starts_with("Error: the time of the turn was used up before"),
        "{answers:?}"
    );
    assert_eq!(answers[1], "add done");
    assert_eq!(world.asked().len(), 1, "the model is not asked again");
    let end = plain(&turn.output_message.content);
    assert_eq!(end, "The turn ends here: its budget of 1 seconds is used up.");
    assert!(turn.completed_at.is_some());
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_the_turn_may_is_cut() {
    let world = World::new(json!({ "budget": { "seconds": 1 } }), [Said::Stuck]).await;
    let events = world.turn("go").await;
    assert_eq!(events.kinds()[2..], ["step_complete inference", "turn_complete"]);
    let turn = events.turn();
    assert_eq!(plain(&turn.output_message.content), "wait");
    assert_eq!(turn.output_message.stop_reason, StopReason::OutOfTokens);
}

#[tokio::test]
async fn what_a_turn_used_before_it_was_gone_on_with_counts() {
    for (budget, used, end) in [
        (
            json!({ "seconds": 60 }),
            Usage { milliseconds: 60_000, ..Usage::default() },
            "The turn ends here: its budget of 60 seconds is used up.",
        ),
        (
            json!({ "tokens": 500 }),
            Usage { tokens: 500, ..Usage::default() },
            "The turn ends here: its budget of 500 tokens is used up.",
        ),
        (json!({ "seconds": 60, "tokens": 500 }), Usage::default(), "still there"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agents.db");
        let config = json!({ "client_tools": [{ "name": "ask_user" }], "budget": budget });
        let script = [calls(&[("ask_user", json!({}))]), text(&["still there"])];
        let world = World::at(&path, config, script).await;
        let turn = world.turn("go").await.turn();
        change(&path, |turn| turn.usage = used).await;
        let answer = json!([{ "call_id": "call1", "tool_name": "ask_user", "content": "yes" }]);
        let whole = world.resume(&turn.turn_id, answer).await.turn();
        assert_eq!(plain(&whole.output_message.content), end);
    }
}
