//! Files that code gets, and files that it makes.

use super::*;
use chaski_provider::{data_url, data_url_of};

/// The files that the tool of a step made.
fn files_in(step: &Step) -> Value {
    let Step::ToolExecution(step) = step else { panic!("{step:?}") };
    step.tool_responses[0].metadata.as_ref().unwrap()["attachments"].clone()
}

#[tokio::test]
async fn documents_of_any_kind_are_files_for_code_byte_for_byte() {
    let call = calls(&[("code_interpreter", json!({ "code": "1" }))]);
    let config = json!({ "toolgroups": ["builtin::code_interpreter"] });
    let world = World::new(config, [call, text(&["ok"])]).await;
    let table = "1,2\n".repeat(250_000);
    let png = b"\x89PNG\r\n\x1a\n\0\xff";
    let document =
        |uri: String, mime_type: &str| json!({ "content": { "uri": uri }, "mime_type": mime_type });
    let image = json!({
        "content": { "type": "image", "image": { "data": "AP8=" } }, "mime_type": "image/x-odd",
    });
    let documents = json!([
        document(data_url_of("text/csv", table.as_bytes()), "text/csv"),
        document(data_url_of("image/png", png), "image/png"),
        image,
    ]);
    let events = world.turn_with(json!({ "documents": documents })).await;
    assert!(events.error.is_none(), "{:?}", events.error);
    let (_, arguments) = world.invoked().pop().unwrap();
    let files = arguments["files"].as_object().unwrap();
    let mut found: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, content)| {
            let content = match content.as_str() {
                Some(text) => text.as_bytes().to_vec(),
                None => data_url(content["uri"].as_str().unwrap()).unwrap().1.into(),
            };
            (name.split_once('.').unwrap().1, content)
        })
        .collect();
    found.sort();
    let expected =
        [("bin", b"\0\xff".to_vec()), ("csv", table.into_bytes()), ("png", png.to_vec())];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn files_that_tools_make_are_attachments_of_the_turn() {
    let made = json!([{
        "name": "a.csv", "mime_type": "text/csv", "bytes": 4, "content": "1,2\n",
    }]);
    let call = calls(&[("code_interpreter", json!({ "code": "1", "makes": made }))]);
    let config = json!({ "toolgroups": ["builtin::code_interpreter"] });
    let world = World::new(config, [call, text(&["ok"])]).await;
    let turn = world.turn("make it").await.turn();
    let attachments = serde_json::to_value(&turn.output_attachments).unwrap();
    assert_eq!(
        attachments,
        json!([{ "content": "1,2\n", "mime_type": "text/csv", "name": "a.csv" }])
    );
    let named = json!([{ "name": "a.csv", "mime_type": "text/csv", "bytes": 4 }]);
    assert_eq!(files_in(&turn.steps[1]), named);
    let request = StepRequest {
        agent_id: world.agent_id.clone(),
        session_id: world.session_id.clone(),
        turn_id: turn.turn_id.clone(),
        step_id: turn.steps[1].id().to_owned(),
    };
    let step = world.agents.get_step(&world.cx, request).await.unwrap().step;
    assert_eq!(files_in(&step), made);
    assert_eq!(world.session().await.turns, [turn]);
    assert!(!serde_json::to_string(&world.asked()[1]["messages"][3]).unwrap().contains("1,2\\n"));
}
