//! Tools of the server, tools of the client, and bounds.

use super::*;
use crate::meta_reference::tests::world::{plain, some_of};
use chaski_api::{ErrorKind, agents::ToolExecutionStep};
use std::collections::HashSet;

fn executions(turn: &Turn) -> Vec<&ToolExecutionStep> {
    turn.steps
        .iter()
        .filter_map(|step| match step {
            Step::ToolExecution(step) => Some(step),
            Step::Inference(_) | Step::ShieldCall(_) | Step::MemoryRetrieval(_) => None,
        })
        .collect()
}

fn client_tool() -> Value {
    json!([{ "name": "ask_user", "description": "Asks.", "parameters": [
        { "name": "what", "parameter_type": "string", "description": "What." },
    ] }])
}

#[tokio::test]
async fn a_tool_of_the_server_runs_and_its_answer_goes_to_the_model() {
    let groups = json!([{ "name": "my::math/add", "args": { "unit": "m", "a": 9 } }]);
    let world = World::new(
        json!({ "toolgroups": groups }),
        [calls(&[("add", json!({ "a": 1, "b": 2 }))]), text(&["three"])],
    )
    .await;
    let events = world.turn("add").await;
    assert_eq!(
        events.kinds(),
        [
            "step_start inference",
            "step_progress inference",
            "step_complete inference",
            "step_start tool_execution",
            "step_progress tool_execution",
            "step_complete tool_execution",
            "step_start inference",
            "step_progress inference",
            "step_complete inference",
            "turn_complete",
        ]
    );
    let (name, arguments) = world.invoked().pop().unwrap();
    assert_eq!(name, "add");
    // What the agent says about the group wins over what the model says.
    let expected = json!({ "a": 9, "b": 2, "session_id": world.session_id, "unit": "m" });
    assert_eq!(Value::from(arguments), expected);
    let asked = world.asked();
    let tools = asked[0]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 1);
    assert_eq!(tools[0]["tool_name"], "add");
    let told = &asked[1]["messages"];
    assert_eq!(told[2]["tool_calls"][0]["call_id"], "call1");
    assert_eq!(told[3]["role"], "tool");
    assert_eq!(told[3]["content"], "add done");
}

#[tokio::test]
async fn a_call_is_passed_on_as_it_is_written_and_made_once() {
    let spelled = Said::Spelled("add".to_owned(), json!({ "a": 1 }));
    let world = World::new(json!({ "toolgroups": ["my::math"] }), [spelled, text(&["one"])]).await;
    let events = world.turn("add").await;
    let deltas = events.events.iter().filter_map(|chunk| match &chunk.event.payload {
        TurnEventPayload::StepProgress(step) if step.step_type == StepType::Inference => {
            Some(serde_json::to_value(&step.delta).unwrap())
        }
        TurnEventPayload::StepProgress(_)
        | TurnEventPayload::StepStart(_)
        | TurnEventPayload::StepComplete(_)
        | TurnEventPayload::TurnComplete(_)
        | TurnEventPayload::TurnAwaitingInput(_) => None,
    });
    let deltas: Vec<Value> = deltas.collect();
    let written: Vec<&str> =
        deltas.iter().filter_map(|delta| delta["tool_call"].as_str()).collect();
    assert_eq!(written, ["add(", "{\"a\":1}", ")"]);
    assert_eq!(deltas[3]["parse_status"], "succeeded");
    assert_eq!(deltas[3]["tool_call"]["call_id"], "call1");
    assert_eq!(world.invoked().len(), 1);
    assert_eq!(executions(&events.turn()).len(), 1);
}

#[tokio::test]
async fn independent_calls_run_side_by_side_and_are_told_in_order() {
    let world = World::new(
        json!({ "toolgroups": ["my::math"] }),
        [
            calls(&[("slow", json!({})), ("slow", json!({ "b": 1 })), ("add", json!({}))]),
            text(&["ok"]),
        ],
    )
    .await;
    // Each waits for the other: one after the other they would never end.
    *world.script.together.lock().unwrap() = Some(Arc::new(tokio::sync::Barrier::new(2)));
    let turn = world.turn("go").await.turn();
    let answers: Vec<String> =
        executions(&turn).iter().map(|step| plain(&step.tool_responses[0].content)).collect();
    assert_eq!(answers, ["slow", "slow", "add done"]);
}

#[tokio::test]
async fn the_search_of_the_web_has_the_name_that_models_know() {
    let world = World::new(
        json!({ "toolgroups": ["builtin::websearch"] }),
        [calls(&[("brave_search", json!({ "query": "x" }))]), text(&["ok"])],
    )
    .await;
    let turn = world.turn("search").await.turn();
    assert_eq!(world.asked()[0]["tools"][0]["tool_name"], "brave_search");
    assert_eq!(world.invoked()[0].0, "web_search");
    assert_eq!(executions(&turn)[0].tool_responses[0].tool_name, "brave_search");
}

#[tokio::test]
async fn what_the_model_can_mend_is_told_to_it_and_the_turn_goes_on() {
    let world = World::new(
        json!({ "toolgroups": ["my::math"] }),
        [calls(&[("picky", json!({}))]), calls(&[("no_such", json!({}))]), text(&["sorry"])],
    )
    .await;
    let turn = world.turn("go").await.turn();
    let answers: Vec<String> =
        executions(&turn).iter().map(|step| plain(&step.tool_responses[0].content)).collect();
    assert_eq!(answers[0], "Error: `a` is missing");
    assert_eq!(
        answers[1],
        "Error: there is no tool `no_such`; there are `add`, `slow`, `picky`, `broken`, `huge`, \
         `unhurried`"
    );
    assert_eq!(turn.output_message.content.texts("").as_deref(), Some("sorry"));
}

#[tokio::test]
async fn what_goes_wrong_in_a_tool_is_told_to_the_model_whatever_it_is() {
    for kind in [
        ErrorKind::InvalidRequest,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::TooLarge,
        ErrorKind::RateLimited { retry_after: None },
        ErrorKind::Unsupported,
        ErrorKind::Upstream { status: Some(429) },
        ErrorKind::Timeout,
        ErrorKind::Unavailable { retry_after: None },
    ] {
        let script = [calls(&[("broken", json!({}))]), text(&["sorry"])];
        let world = World::new(json!({ "toolgroups": ["my::math"] }), script).await;
        *world.script.failure.lock().unwrap() = Some(Error::new(kind.clone(), "it broke"));
        let turn = world.turn("go").await.turn();
        let told = plain(&executions(&turn)[0].tool_responses[0].content);
        assert_eq!(told, "Error: it broke", "{kind:?}");
        assert_eq!(plain(&turn.output_message.content), "sorry", "{kind:?}");
    }
}

#[tokio::test]
async fn what_only_the_caller_can_mend_ends_the_turn() {
    for failure in [
        Error::wants_key("pass a key"),
        Error::new(ErrorKind::Unauthenticated, "pass a key"),
        Error::new(ErrorKind::Forbidden, "pass a key"),
        Error::internal("pass a key"),
    ] {
        let script = [calls(&[("broken", json!({}))])];
        let world = World::new(json!({ "toolgroups": ["my::math"] }), script).await;
        *world.script.failure.lock().unwrap() = Some(failure);
        let events = world.turn("go").await;
        assert_eq!(events.error.unwrap().message, "pass a key");
    }
}

#[tokio::test]
async fn a_call_with_arguments_that_are_no_json_is_answered_to_the_model() {
    let script = [Said::Unreadable("add".to_owned(), "{not json".to_owned()), text(&["I see"])];
    let world = World::new(json!({ "toolgroups": ["my::math"] }), script).await;
    let turn = world.turn("go").await.turn();
    assert!(world.invoked().is_empty());
    let step = executions(&turn)[0];
    assert_eq!(
        (step.tool_calls[0].call_id.as_str(), step.tool_calls[0].arguments.len()),
        ("call1", 0)
    );
    assert_eq!(
        plain(&step.tool_responses[0].content),
        "Error: the arguments of the tool `add` must be a JSON object, not `{not json`; call it anew"
    );
    let told = &world.asked()[1]["messages"];
    assert_eq!(told[2]["tool_calls"][0]["call_id"], "call1");
    assert_eq!((&told[3]["role"], &told[3]["call_id"]), (&json!("tool"), &json!("call1")));
    assert_eq!(plain(&turn.output_message.content), "I see");
}

#[tokio::test]
async fn a_call_of_the_client_that_cannot_be_read_is_not_handed_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agents.db");
    let script = [Said::Unreadable("ask_user".to_owned(), "{".to_owned()), Said::Stuck];
    let world = World::at(&path, json!({ "client_tools": client_tool() }), script).await;
    let left = some_of(world.begin(&json!({})).await, 5).await;
    assert_eq!(left.kinds().last().unwrap(), "step_progress tool_execution");
    world.is_free().await;
    // Another process goes on, and knows it too.
    let mut next = World::empty(&path, [text(&["I see"])]).await;
    (next.agent_id, next.session_id) = (world.agent_id.clone(), world.session_id.clone());
    let turn = next.session().await.turns.pop().unwrap();
    let whole = next.resume(&turn.turn_id, json!([])).await.turn();
    assert_eq!(executions(&whole).len(), 1);
    assert_eq!(plain(&whole.output_message.content), "I see");
}

#[tokio::test]
async fn each_call_of_a_turn_is_made_whatever_its_id_is_in_the_model() {
    let world = World::new(
        json!({ "toolgroups": ["my::math"] }),
        [
            calls(&[("add", json!({ "n": 1 })), ("add", json!({ "n": 2 }))]),
            calls(&[("huge", json!({}))]),
            text(&["done"]),
        ],
    )
    .await;
    *world.script.repeats_ids.lock().unwrap() = true;
    let events = world.turn("go").await;
    let names: Vec<String> = world.invoked().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["add", "add", "huge"]);
    let turn = events.turn();
    let ids: Vec<&str> =
        executions(&turn).iter().map(|step| step.tool_responses[0].call_id.as_str()).collect();
    assert_eq!((ids[0], ids.len()), ("call0", 3));
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3, "{ids:?}");
    // The caller and the model know the calls by these ids.
    let seen = serde_json::to_value(&events.events).unwrap().to_string();
    let told = world.asked()[2]["messages"].to_string();
    for id in ids {
        assert!(seen.matches(id).count() >= 3 && told.matches(id).count() == 2, "{id}");
    }
}

#[tokio::test]
async fn groups_and_tools_that_are_not_there_are_named() {
    let world = World::new(json!({}), []).await;
    for (group, message) in [
        (
            "nope",
            "Toolgroup nope not found, available toolgroups: my::math, builtin::websearch, \
             builtin::rag, builtin::code_interpreter",
        ),
        (
            "builtin::rag/nope",
            "Tool nope not found in toolgroup builtin::rag. Available tools: insert_into_memory, \
             knowledge_search",
        ),
    ] {
        let events = world.turn_with(json!({ "toolgroups": [group] })).await;
        assert_eq!(events.error.unwrap().message, message);
    }
    let clash = json!({ "client_tools": client_tool(), "toolgroups": ["my::math"] });
    let mut twice = clash.clone();
    twice["client_tools"][0]["name"] = "add".into();
    let world = World::new(twice, []).await;
    assert_eq!(world.turn("hi").await.error.unwrap().message, "Tool add already exists");
}

#[tokio::test]
async fn a_tool_of_the_client_is_waited_for() {
    let world = World::new(
        json!({ "client_tools": client_tool(), "toolgroups": ["my::math"] }),
        [
            calls(&[("add", json!({})), ("ask_user", json!({ "what": "?" }))]),
            text(&["thanks"]),
            text(&["next"]),
        ],
    )
    .await;
    let events = world.turn("go").await;
    assert_eq!(events.kinds().last().unwrap(), "turn_awaiting_input");
    let turn = events.turn();
    assert_eq!(turn.output_message.stop_reason, StopReason::EndOfMessage);
    let open = turn.output_message.tool_calls.clone().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].tool_name, "ask_user");

    let answer = |id: &str| json!([{ "call_id": id, "tool_name": "ask_user", "content": "42" }]);
    let wrong = world.resume(&turn.turn_id, answer("other")).await;
    assert!(
        wrong.error.unwrap().message.contains("has an answer to `other`, which is no open call")
    );
    let mut twice = answer("call2");
    twice.as_array_mut().unwrap().extend(answer("call2").as_array().unwrap().clone());
    let twice = world.resume(&turn.turn_id, twice).await;
    assert!(twice.error.unwrap().message.contains("has two answers to the call `call2`"));
    let mut renamed = answer("call2");
    renamed[0]["tool_name"] = "add".into();
    let renamed = world.resume(&turn.turn_id, renamed).await;
    assert!(renamed.error.unwrap().message.ends_with("which is one of `ask_user`"));
    let missing = world.resume(&turn.turn_id, json!([])).await;
    assert!(missing.error.unwrap().message.contains("has no answer to the call `call2`"));
    let unknown = world.resume("nope", json!([])).await;
    assert_eq!(unknown.error.unwrap().message, "Turn nope not found");

    let events = world.resume(&turn.turn_id, answer("call2")).await;
    assert_eq!(
        events.kinds(),
        [
            "step_complete tool_execution",
            "step_start inference",
            "step_progress inference",
            "step_complete inference",
            "turn_complete",
        ]
    );
    let whole = events.turn();
    assert_eq!(whole.turn_id, turn.turn_id);
    assert_eq!(whole.started_at, turn.started_at);
    assert_eq!(whole.input_messages.len(), 2);
    assert_eq!(whole.steps.len(), 4);
    let told = &world.asked()[1]["messages"];
    let roles: Vec<&str> =
        told.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);

    let again = world.resume(&turn.turn_id, answer("call2")).await;
    assert!(again.error.unwrap().message.ends_with("is complete; there is nothing to go on with"));
    // Another turn is told all of it once.
    world.turn("and?").await;
    assert_eq!(world.asked()[2]["messages"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_client_that_reads_calls_from_the_text_goes_on_with_a_turn_that_is_complete() {
    let world =
        World::new(json!({}), [text(&["look it up"]), text(&["42"]), text(&["well"])]).await;
    let turn = world.turn("go").await.turn();
    let answer = json!([{ "call_id": "own", "tool_name": "ask_user", "content": "42" }]);
    let twice = json!([answer[0], answer[0]]);
    let refused = world.resume(&turn.turn_id, twice).await;
    assert!(refused.error.unwrap().message.ends_with("there is nothing to go on with"));
    let whole = world.resume(&turn.turn_id, answer.clone()).await.turn();
    assert_eq!((whole.turn_id.as_str(), whole.steps.len()), (turn.turn_id.as_str(), 3));
    let told = &world.asked()[1]["messages"];
    assert_eq!(told[2]["tool_calls"][0]["call_id"], "own");
    assert_eq!((&told[3]["role"], &told[3]["call_id"]), (&json!("tool"), &json!("own")));
    // What was answered is not answered again, and only the last turn goes on.
    let again = world.resume(&turn.turn_id, answer).await;
    assert!(again.error.unwrap().message.ends_with("there is nothing to go on with"));
    world.turn("and?").await;
    let other = json!([{ "call_id": "other", "tool_name": "ask_user", "content": "43" }]);
    let late = world.resume(&turn.turn_id, other).await;
    assert!(late.error.unwrap().message.ends_with("there is nothing to go on with"));
}

#[tokio::test]
async fn a_turn_is_left_where_it_waits_and_the_next_one_goes_on_without_the_call() {
    let world = World::new(
        json!({ "client_tools": client_tool() }),
        [calls(&[("ask_user", json!({}))]), text(&["ok"])],
    )
    .await;
    world.turn("go").await;
    world.turn("never mind").await;
    let told = &world.asked()[1]["messages"];
    let roles: Vec<&str> =
        told.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "user"]);
}

#[tokio::test]
async fn a_turn_ends_at_its_bounds_with_the_calls_that_are_left() {
    let call = || calls(&[("add", json!({ "n": 1 }))]);
    for (bound, inferences) in [
        (json!({ "max_infer_iters": 2 }), 2),
        (json!({ "budget": { "tokens": 15 } }), 2),
        (json!({ "budget": { "tool_calls": 1 } }), 2),
    ] {
        let mut config = json!({ "toolgroups": ["my::math"] });
        config.as_object_mut().unwrap().extend(bound.as_object().unwrap().clone());
        let world = World::new(config, (0..4).map(|_| call())).await;
        let events = world.turn("go").await;
        assert_eq!(world.asked().len(), inferences, "{bound}");
        assert_eq!(events.kinds().last().unwrap(), "turn_awaiting_input");
        let turn = events.turn();
        assert_eq!(turn.output_message.stop_reason, StopReason::EndOfTurn);
        assert_eq!(turn.output_message.tool_calls.unwrap().len(), 1);
        let again = world.resume(&turn.turn_id, json!([])).await;
        assert!(again.error.unwrap().message.ends_with("there is nothing to go on with"));
    }
}

#[tokio::test]
async fn calls_that_were_left_at_a_bound_are_not_made_by_going_on_with_the_turn() {
    let call = || vec![("add".to_owned(), json!({ "n": 1 }))];
    for (bound, said) in
        [(json!({ "max_infer_iters": 1 }), Said::Calls(call())), (json!({}), Said::Cut(call()))]
    {
        let mut config = json!({ "toolgroups": ["my::math"] });
        config.as_object_mut().unwrap().extend(bound.as_object().unwrap().clone());
        let world = World::new(config, [said, text(&["so be it"])]).await;
        let turn = world.turn("go").await.turn();
        assert_eq!(turn.output_message.tool_calls.as_ref().unwrap().len(), 1, "{bound}");
        let own = json!([{ "call_id": "own", "tool_name": "ask_user", "content": "42" }]);
        let whole = world.resume(&turn.turn_id, own).await.turn();
        assert!(world.invoked().is_empty(), "{bound}");
        assert_eq!(plain(&whole.output_message.content), "so be it");
        assert_eq!(world.asked().len(), 2);
    }
}

#[tokio::test]
async fn a_model_that_goes_round_in_circles_is_told_and_then_stopped() {
    let world = World::new(
        json!({ "toolgroups": ["my::math"], "max_infer_iters": 50 }),
        (0..50).map(|_| calls(&[("add", json!({ "a": 1 }))])),
    )
    .await;
    let turn = world.turn("go").await.turn();
    assert_eq!(world.invoked().len(), 3, "the fourth equal call is not made");
    let steps = executions(&turn);
    let last = plain(&steps.last().unwrap().tool_responses[0].content);
    assert!(last.starts_with("Error: `add` was called "), "{last}");
    assert_eq!(steps.len(), 6);
}

#[tokio::test]
async fn a_forced_call_is_forced_once() {
    let world = World::new(
        json!({ "toolgroups": ["my::math"], "tool_config": { "tool_choice": "required" } }),
        [calls(&[("add", json!({}))]), text(&["done"])],
    )
    .await;
    world.turn("go").await;
    let choices: Vec<Value> =
        world.asked().iter().map(|asked| asked["tool_config"]["tool_choice"].clone()).collect();
    assert_eq!(choices, ["required", "auto"]);
}

#[tokio::test]
async fn a_thousand_calls_and_an_endless_answer_stay_within_bounds() {
    let many: Vec<(&str, Value)> = (0..1000).map(|n| ("add", json!({ "n": n }))).collect();
    let world = World::new(
        json!({ "toolgroups": ["my::math"] }),
        [calls(&many), calls(&[("huge", json!({}))]), text(&["done"])],
    )
    .await;
    let turn = world.turn("go").await.turn();
    assert_eq!(world.invoked().len(), 65);
    let steps = executions(&turn);
    assert_eq!(steps[64].tool_responses.len(), 1000 - 64);
    let last_of_many = plain(&steps[64].tool_responses[935].content);
    assert_eq!(last_of_many, "Error: of one answer, 64 calls of tools are made");
    let huge = plain(&steps[65].tool_responses[0].content);
    assert!(huge.len() < (1 << 20) + 100 && huge.ends_with("é [the rest is left out]"));
}
