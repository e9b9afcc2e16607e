//! The files that tools made in a turn. They are kept with the step that made them, in the metadata of
//! the tool's answer, and shown as the attachments of the turn.

use chaski_api::{
    Wire,
    agents::{Attachment, Step, ToolResponse, Turn},
    retrieval::RagSource,
    tools::ATTACHMENTS,
};
use serde_json::{Map, Value};

/// The most bytes that the files of a turn may have as JSON, and those of a session.
const OF_TURN: usize = 16 << 20;
const OF_SESSION: usize = 64 << 20;

/// What is in a file.
const CONTENT: &str = "content";

/// How many bytes the files may have that a turn makes from now on.
pub(super) fn room(before: &[Turn], turn: &Turn) -> usize {
    let own = bytes(turn);
    let earlier: usize = before.iter().map(bytes).sum();
    OF_SESSION.saturating_sub(earlier + own).min(OF_TURN.saturating_sub(own))
}

/// Takes away what is in the files for which there is no room.
pub(super) fn fit(metadata: &mut Option<Map<String, Value>>, room: &mut usize) {
    for file in files_in(metadata) {
        let Some(content) = file.get_mut(CONTENT) else { continue };
        match room.checked_sub(size(content)) {
            Some(left) => *room = left,
            None => *content = Value::Null,
        }
    }
}

/// The turn with its files as attachments, and no longer in its steps.
pub(super) fn shown(mut turn: Turn) -> Turn {
    let mut shown = turn.output_attachments.take().unwrap_or_default();
    for file in files_of(&mut turn) {
        let Some(attachment) = attachment(file) else { continue };
        file.remove(CONTENT);
        shown.retain(|known| known.name != attachment.name);
        shown.push(attachment);
    }
    turn.output_attachments = Some(shown);
    turn
}

/// Takes away what is in the files of a turn that is remembered only.
pub(super) fn forget(turn: &mut Turn) {
    for file in files_of(turn) {
        file.remove(CONTENT);
    }
}

/// A file as an attachment; nothing where it has no content, or is no file.
fn attachment(file: &Map<String, Value>) -> Option<Attachment> {
    let text = |key: &str| file.get(key).and_then(Value::as_str).map(str::to_owned);
    let (name, mime_type) = (text("name")?, text("mime_type")?);
    let content = file.get(CONTENT).filter(|content| !content.is_null())?;
    let content = RagSource::from_json(content.clone()).ok()?;
    Some(Attachment { content, mime_type, name: Some(name) })
}

fn answers(turn: &mut Turn) -> impl Iterator<Item = &mut ToolResponse> {
    let of_tools = turn.steps.iter_mut().filter_map(|step| match step {
        Step::ToolExecution(step) => Some(step.tool_responses.iter_mut()),
        Step::Inference(_) | Step::ShieldCall(_) | Step::MemoryRetrieval(_) => None,
    });
    of_tools.flatten()
}

fn files_of(turn: &mut Turn) -> impl Iterator<Item = &mut Map<String, Value>> {
    answers(turn).flat_map(|answer| files_in(&mut answer.metadata))
}

fn files_in(
    metadata: &mut Option<Map<String, Value>>,
) -> impl Iterator<Item = &mut Map<String, Value>> {
    let files = metadata.as_mut().and_then(|known| known.get_mut(ATTACHMENTS));
    let files = files.and_then(Value::as_array_mut).into_iter().flatten();
    files.filter_map(Value::as_object_mut)
}

/// The bytes of all that is in the files of a turn.
fn bytes(turn: &Turn) -> usize {
    let of_tools = turn.steps.iter().filter_map(|step| match step {
        Step::ToolExecution(step) => Some(&step.tool_responses),
        Step::Inference(_) | Step::ShieldCall(_) | Step::MemoryRetrieval(_) => None,
    });
    let files = of_tools
        .flatten()
        .filter_map(|answer| answer.metadata.as_ref()?.get(ATTACHMENTS)?.as_array())
        .flatten();
    files.filter_map(|file| file.get(CONTENT)).map(size).sum()
}

/// The bytes of the texts in a value.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(files: &Value) -> Option<Map<String, Value>> {
        json!({ "a": 1, "attachments": files }).as_object().cloned()
    }

    /// A turn with a step for each of these metadata.
    fn turn(metadata: Vec<Value>) -> Turn {
        let steps = metadata.into_iter().map(|metadata| {
            json!({
                "step_type": "tool_execution", "turn_id": "t", "step_id": "s", "tool_calls": [],
                "tool_responses": [{
                    "call_id": "c", "tool_name": "f", "content": "", "metadata": metadata,
                }],
            })
        });
        Turn::from_json(json!({
            "turn_id": "t", "session_id": "s", "input_messages": [],
            "steps": steps.collect::<Vec<_>>(), "started_at": "now",
            "output_message": { "role": "assistant", "content": "", "stop_reason": "end_of_turn" },
        }))
        .unwrap()
    }

    fn file(name: &str, content: impl Into<Value>) -> Value {
        let content: Value = content.into();
        json!({ "name": name, "mime_type": "text/csv", "bytes": 1, "content": content })
    }

    #[test]
    fn what_does_not_fit_is_named_only() {
        let url = json!({ "uri": "data:,12" });
        let files = [file("a", "123"), file("b", url.clone()), file("c", "45")];
        let mut known = metadata(&json!(files));
        let mut room = 9;
        fit(&mut known, &mut room);
        let kept = [file("a", "123"), file("b", Value::Null), file("c", "45")];
        assert_eq!((known, room), (metadata(&json!(kept)), 4));
        for odd in [json!(5), json!([5, {}, { "content": 7 }])] {
            let mut odd_ones = metadata(&odd);
            fit(&mut odd_ones, &mut room);
            assert_eq!((odd_ones, room), (metadata(&odd), 4));
        }
        fit(&mut None, &mut room);
    }

    #[test]
    fn a_turn_shows_the_latest_file_of_a_name_and_no_content_twice() {
        let first = json!({ "attachments": [file("a", "old"), file("b", "b")] });
        let second = json!({ "attachments": [file("a", "new"), file("c", Value::Null), 5] });
        let turn = turn(vec![first, second, json!({ "attachments": "none" }), Value::Null]);
        assert_eq!(bytes(&turn), 7);
        assert_eq!(room(std::slice::from_ref(&turn), &turn), OF_TURN - 7);
        let shown = serde_json::to_value(shown(turn.clone())).unwrap();
        let as_shown = |name: &str, content: &str| json!({ "content": content, "mime_type": "text/csv", "name": name });
        assert_eq!(shown["output_attachments"], json!([as_shown("b", "b"), as_shown("a", "new")]));
        let metadata = &shown["steps"][1]["tool_responses"][0]["metadata"];
        let named = json!({ "name": "a", "mime_type": "text/csv", "bytes": 1 });
        assert_eq!(metadata["attachments"], json!([named, file("c", Value::Null), 5]));
        let mut remembered = turn;
        forget(&mut remembered);
        assert_eq!(bytes(&remembered), 0);
    }

    #[test]
    fn a_session_has_room_for_so_much() {
        let large = "x".repeat(OF_TURN);
        let full = turn(vec![json!({ "attachments": [file("a", large)] })]);
        let empty = turn(vec![]);
        assert_eq!(room(&vec![full.clone(); 3], &empty), OF_TURN);
        assert_eq!(room(&vec![full.clone(); 4], &empty), 0);
        assert_eq!(room(&[], &full), 0);
    }
}
