//! Owners, removal, callers that leave, and servers that die.

use super::*;
use crate::meta_reference::tests::{
    spans::Kept,
    world::{is_conflict, kind, plain},
};
use chaski_provider::Principal;
use chaski_testkit::{eventually, within};
use futures_util::StreamExt;
use serde_json::Map;

#[tokio::test]
async fn what_one_caller_has_is_not_there_for_another() {
    let world = World::new(json!({}), [text(&["ok"])]).await;
    let turn = world.turn("hi").await.turn();
    let other = Principal { id: "two".to_owned(), attributes: Map::new() };
    let cx = Context { principal: Some(Arc::new(other)), ..Context::default() };
    let agents = &world.agents;
    let page = ListAgentsRequest { limit: None, after: None };
    assert!(agents.list_agents(&cx, page.clone()).await.unwrap().data.is_empty());
    assert_eq!(agents.list_agents(&world.cx, page).await.unwrap().data.len(), 1);
    let error = agents.get_agent(&cx, &world.agent_id).await.unwrap_err();
    assert_eq!(error.message, format!("Could not find agent config for {}", world.agent_id));
    assert!(agents.get_session(&cx, world.which()).await.is_err());
    agents.delete_session(&cx, world.which()).await.unwrap();
    agents.delete_agent(&cx, &world.agent_id).await.unwrap();
    assert_eq!(world.session().await.turns, std::slice::from_ref(&turn), "nothing was removed");
    let (agent_id, session_id) = (world.agent_id.clone(), world.session_id.clone());
    let which = TurnRequest { agent_id, session_id, turn_id: turn.turn_id };
    assert_eq!(agents.get_turn(&cx, which.clone()).await.unwrap(), None);
    assert!(agents.get_turn(&world.cx, which).await.unwrap().is_some());
}

#[tokio::test]
async fn sessions_are_listed_in_pages_and_removed_with_their_agent() {
    let world = World::new(json!({}), [text(&["ok"])]).await;
    world.turn("hi").await;
    for _ in 0..4 {
        world.new_session().await;
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let agent_id = world.agent_id.clone();
        let limit = Some(chaski_api::wire::Between(2));
        let request = ListSessionsRequest { agent_id, limit, after: after.clone() };
        let page = world.agents.list_sessions(&world.cx, request).await.unwrap();
        seen.extend(page.data.iter().map(|session| session.session_id.clone()));
        after = seen.last().cloned();
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(seen.last(), Some(&world.session_id), "the newest comes first");
    world.agents.delete_agent(&world.cx, &world.agent_id).await.unwrap();
    world.agents.delete_agent(&world.cx, &world.agent_id).await.unwrap();
    let error = world.agents.get_session(&world.cx, world.which()).await.unwrap_err();
    assert_eq!(error.message, format!("Session {} not found", world.session_id));
}

#[tokio::test]
async fn a_session_has_one_turn_at_a_time() {
    let world = World::new(json!({}), [Said::Stuck]).await;
    let mut first = world.open_turn().await.unwrap();
    within("the first event", first.next()).await.unwrap().unwrap();
    let second = world.turn("me too").await;
    assert!(is_conflict(&second.error.unwrap()));
}

#[tokio::test]
async fn a_caller_that_leaves_interrupts_the_turn_which_can_go_on_later() {
    let world = World::new(json!({}), [Said::Stuck, text(&["better"])]).await;
    let mut events = world.open_turn().await.unwrap();
    for _ in 0..2 {
        within("an event", events.next()).await.unwrap().unwrap();
    }
    drop(events);
    let turn = left(&world).await;
    assert!(turn.completed_at.is_none() && turn.steps.is_empty());
    let events = world.resume(&turn.turn_id, json!([])).await;
    assert_eq!(events.turn().output_message.content.texts("").as_deref(), Some("better"));
    assert_eq!(world.session().await.turns.len(), 1);
}

#[tokio::test]
async fn a_turn_that_waits_for_the_client_still_waits_if_the_caller_leaves_before_it_knows() {
    // With these calls, as many events as may wait come before the last one.
    let asks: Vec<(&str, Value)> = (0..62).map(|n| ("ask_user", json!({ "n": n }))).collect();
    let config = json!({ "client_tools": [{ "name": "ask_user" }] });
    let mut world = World::new(config, [calls(&asks), text(&["thanks"])]).await;
    let (spans, _root) = Kept::watching(&mut world);
    let events = world.open_turn().await.unwrap();
    let turn = within("the end of the turn", async {
        loop {
            let turn = world.session().await.turns.pop().unwrap();
            if turn.completed_at.is_some() {
                break turn;
            }
        }
    })
    .await;
    assert!(!spans.has_ended("create_and_execute_turn"), "its last event waits to be taken");
    drop(events);
    eventually("the run is over", || spans.has_ended("create_and_execute_turn")).await;
    assert_eq!(world.session().await.turns, std::slice::from_ref(&turn));
    assert!(!serde_json::to_string(&turn).unwrap().contains("status"), "it has an end");
    let answer = |call: &chaski_api::inference::ToolCall| json!({ "call_id": call.call_id, "tool_name": "ask_user", "content": "yes" });
    let answers: Vec<Value> = turn.output_message.tool_calls.iter().flatten().map(answer).collect();
    assert_eq!(answers.len(), 62);
    let whole = world.resume(&turn.turn_id, answers.into()).await.turn();
    assert_eq!(whole.output_message.content.texts("").as_deref(), Some("thanks"));
}

#[tokio::test]
async fn a_turn_that_was_answered_stays_in_its_session_if_going_on_with_it_fails() {
    let world = World::new(json!({}), [text(&["look it up"]), Said::Failure, text(&["42"])]).await;
    let turn = world.turn("go").await.turn();
    let answer = json!([{ "call_id": "own", "tool_name": "ask_user", "content": "42" }]);
    let failed = world.resume(&turn.turn_id, answer).await;
    assert_eq!(failed.error.unwrap().message, "the model is down");
    let shown = world.session().await.turns.pop().expect("the turn is still there");
    assert_eq!((shown.turn_id.as_str(), shown.completed_at), (turn.turn_id.as_str(), None));
    assert_eq!(shown.status, Some(TurnStatus::Interrupted));
    assert_eq!(shown.steps.len(), 2, "with what the client answered");
    let whole = world.resume(&turn.turn_id, json!([])).await.turn();
    assert_eq!(whole.output_message.content.texts("").as_deref(), Some("42"));
}

/// Waits until the only turn of the session is no longer under way.
async fn left(world: &World) -> Turn {
    world.is_free().await;
    world.session().await.turns.pop().unwrap()
}

#[tokio::test]
async fn a_call_that_had_begun_is_not_made_again() {
    let world = World::new(
        json!({ "toolgroups": ["my::math"] }),
        [calls(&[("slow", json!({}))]), text(&["I see"])],
    )
    .await;
    let mut events = world.open_turn().await.unwrap();
    // The tool never answers.
    while kind(&within("an event", events.next()).await.unwrap().unwrap().into_value().unwrap())
        != "step_progress tool_execution"
    {}
    eventually("the tool was called", || world.invoked().len() == 1).await;
    drop(events);
    let turn = left(&world).await;
    let whole = world.resume(&turn.turn_id, json!([])).await.turn();
    assert_eq!(world.invoked().len(), 1);
    let Step::ToolExecution(step) = &whole.steps[1] else { panic!("{:?}", whole.steps) };
    let told = plain(&step.tool_responses[0].content);
    assert!(told.starts_with("Error: the call was interrupted"), "{told}");
    assert_eq!(whole.output_message.content.texts("").as_deref(), Some("I see"));
}

#[tokio::test]
async fn a_server_that_dies_leaves_what_it_had_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agents.db");
    let script = [calls(&[("add", json!({}))]), Said::Stuck];
    let world = World::at(&path, json!({ "toolgroups": ["my::math"] }), script).await;
    let mut events = world.open_turn().await.unwrap();
    let mut completed = 0;
    while completed < 2 {
        let event = within("an event", events.next()).await.unwrap().unwrap().into_value().unwrap();
        completed += usize::from(kind(&event).starts_with("step_complete"));
    }
    // Another process opens the same file: the first one is dead to it.
    let mut next = World::empty(&path, [text(&["done"])]).await;
    (next.agent_id, next.session_id) = (world.agent_id.clone(), world.session_id.clone());
    let turn = next.session().await.turns.pop().unwrap();
    assert_eq!(turn.steps.len(), 2);
    assert_eq!((turn.completed_at, turn.status), (None, Some(TurnStatus::Interrupted)));
    let known_here = world.session().await.turns.pop().unwrap();
    assert_eq!(known_here.status, Some(TurnStatus::Running));
    let whole = next.resume(&turn.turn_id, json!([])).await.turn();
    assert_eq!(whole.steps.len(), 3);
    assert!(next.invoked().is_empty(), "the tool is not run again");
    assert_eq!(whole.output_message.content.texts("").as_deref(), Some("done"));
    // Where the first one lives on after all, it leaves the turn alone.
    drop(events);
    left(&world).await;
    assert_eq!(next.session().await.turns, [whole]);
}
