//! Turns over a scripted model, scripted tools and a shield that objects to one word.

mod bounds;
mod files;
mod kept;
mod life;
mod random;
mod spans;
mod tools;
mod world;

use super::*;
use chaski_api::{
    Wire,
    agents::{StepType, TurnEventPayload},
    inference::StopReason,
};
use world::{Said, World, calls, text};

#[tokio::test]
async fn a_plain_turn_is_streamed_kept_and_remembered() {
    let world = World::new(json!({}), [text(&["Hel", "lo"]), text(&["again"])]).await;
    let events = world.turn("hi").await;
    assert_eq!(
        events.kinds(),
        [
            "step_start inference",
            "step_progress inference",
            "step_progress inference",
            "step_complete inference",
            "turn_complete",
        ]
    );
    let turn = events.turn();
    assert_eq!(turn.output_message.content.texts("").as_deref(), Some("Hello"));
    assert_eq!(turn.output_message.stop_reason, StopReason::EndOfTurn);
    assert!(turn.completed_at.is_some() && turn.started_at.ends_with('Z'));
    world.turn("and now?").await;
    let asked = world.asked();
    let roles: Vec<&str> = asked[1]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    let session = world.session().await;
    assert_eq!(session.turns.len(), 2);
    assert_eq!(session.turns[0], turn);
    let step = StepRequest {
        agent_id: world.agent_id.clone(),
        session_id: world.session_id.clone(),
        turn_id: turn.turn_id.clone(),
        step_id: turn.steps[0].id().to_owned(),
    };
    assert_eq!(world.agents.get_step(&world.cx, step).await.unwrap().step, turn.steps[0]);
}

#[tokio::test]
async fn the_whole_turn_is_the_answer_without_a_stream() {
    let world = World::new(json!({}), [text(&["Hello"])]).await;
    let turn = world.whole_turn("hi").await.unwrap();
    assert_eq!(turn.output_message.content.texts("").as_deref(), Some("Hello"));
    assert_eq!(world.session().await.turns, [turn]);
}

#[tokio::test]
async fn a_shield_stops_what_a_user_says_before_the_model_sees_it() {
    let world = World::new(json!({ "input_shields": ["guard"] }), []).await;
    let events = world.turn("how to build a bomb").await;
    assert_eq!(
        events.kinds(),
        ["step_start shield_call", "step_complete shield_call", "turn_complete"]
    );
    let first = serde_json::to_value(&events.events[0]).unwrap();
    assert_eq!(first["event"]["payload"]["metadata"], json!({ "touchpoint": "user-input" }));
    let turn = events.turn();
    assert_eq!(turn.output_message.content.texts("").as_deref(), Some("not that"));
    assert!(world.asked().is_empty());
    let all = serde_json::to_value(&turn).unwrap();
    assert_eq!(all["steps"][0]["violation"]["violation_level"], "error");
}

#[tokio::test]
async fn a_shield_replaces_what_the_agent_says() {
    let config = json!({ "input_shields": ["guard"], "output_shields": ["guard"] });
    let world = World::new(config, [text(&["a bomb is"]), text(&["flowers"])]).await;
    let events = world.turn("hi").await;
    assert_eq!(events.turn().output_message.content.texts("").as_deref(), Some("not that"));
    let kinds = events.kinds();
    assert_eq!(
        kinds[kinds.len() - 3..],
        ["step_start shield_call", "step_complete shield_call", "turn_complete"]
    );
    // What was refused is told to the model as a refusal, and does not block the next turn.
    world.turn("and flowers?").await;
    assert_eq!(world.session().await.turns.len(), 2);
}

#[tokio::test]
async fn a_shield_that_cannot_be_asked_ends_the_turn() {
    let world = World::new(json!({ "input_shields": ["nope"] }), []).await;
    let events = world.turn("hi").await;
    assert_eq!(events.error.unwrap().message, "Shield `nope` not served");
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn both_forms_of_the_tool_configuration_must_agree() {
    let world = World::new(json!({}), []).await;
    let config = json!({
        "model": "m", "instructions": "", "tool_choice": "required",
        "tool_config": { "tool_choice": "auto" },
    });
    let config = AgentConfig::from_json(config).unwrap();
    let error = world.agents.create_agent(&world.cx, config).await.unwrap_err();
    assert!(
        error.message.contains(
            "Value error, tool_choice is deprecated. Use tool_choice in tool_config instead."
        ),
        "{error:?}"
    );
    let older = json!({ "model": "m", "instructions": "", "tool_choice": "none" });
    let older = AgentConfig::from_json(older).unwrap();
    let id = world.agents.create_agent(&world.cx, older).await.unwrap().agent_id;
    let kept = world.agents.get_agent(&world.cx, &id).await.unwrap().agent_config;
    assert_eq!(kept.tool_config.unwrap().tool_choice.as_deref(), Some("none"));
}

#[tokio::test]
async fn a_model_that_fails_ends_the_turn_and_not_the_session() {
    let world = World::new(json!({}), [Said::Failure, text(&["fine"])]).await;
    let events = world.turn("hi").await;
    assert_eq!(events.kinds(), ["step_start inference"]);
    assert_eq!(events.error.unwrap().message, "the model is down");
    assert!(world.session().await.turns.is_empty());
    world.turn("again").await;
    let roles = world.asked()[1]["messages"].as_array().unwrap().len();
    assert_eq!(roles, 2, "the turn that failed is not told to the model");
    assert_eq!(world.session().await.turns.len(), 1);
}

#[tokio::test]
async fn documents_become_context_where_no_tool_takes_them() {
    let world = World::new(json!({}), [text(&["ok"])]).await;
    let documents = json!([
        { "content": "Tigers have stripes.", "mime_type": "text/plain" },
        { "content": { "uri": "data:text/plain,Lions%20do%20not." }, "mime_type": "text/plain" },
    ]);
    world.turn_with(json!({ "documents": documents })).await;
    assert_eq!(world.asked()[0]["messages"][1]["context"], "Tigers have stripes.\nLions do not.");
    let turn = &world.session().await.turns[0];
    let kept = serde_json::to_value(&turn.input_messages).unwrap();
    assert_eq!(kept[0]["context"], "Tigers have stripes.\nLions do not.");
}

#[tokio::test]
async fn documents_go_into_a_database_of_the_session_where_it_is_searched() {
    let config = json!({ "toolgroups": ["builtin::rag/knowledge_search"] });
    let call = calls(&[("knowledge_search", json!({ "query": "tigers" }))]);
    let world = World::new(config, [call, text(&["ok"])]).await;
    let documents = json!([{ "content": "Tigers.", "mime_type": "text/plain" }]);
    let events = world.turn_with(json!({ "documents": documents })).await;
    assert!(events.error.is_none());
    let id = format!("vector_db_{}", world.session_id);
    assert_eq!(world.inserted(), [format!("{id}: 1")]);
    let (tool, arguments) = world.invoked().pop().unwrap();
    assert_eq!(tool, "knowledge_search");
    assert_eq!(arguments["vector_db_ids"], json!([id]));
}
