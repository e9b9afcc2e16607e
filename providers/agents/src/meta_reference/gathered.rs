//! What a model says, gathered from the pieces in which it comes.

use super::{
    history,
    records::StoredTurn,
    run::{new_id, said},
};
use chaski_api::inference::{
    AnswerMessage, ContentDelta, StopReason, ToolCall, ToolCallParseStatus, UnparsedToolCall,
};
use serde_json::Map;
use std::collections::{BTreeMap, HashSet};

/// How much of arguments that cannot be read the model is shown, in characters.
const SHOWN: usize = 200;

/// An answer that comes in pieces. Each of its calls has an id that no other call of the turn has:
/// some servers count anew with each answer.
pub(super) struct Gathered {
    text: String,
    calls: Vec<ToolCall>,
    pub(super) stop_reason: Option<StopReason>,
    /// What calls are answered whose arguments cannot be read, by their ids.
    unparsed: BTreeMap<String, String>,
    /// The ids that are taken.
    taken: HashSet<String>,
}

impl Gathered {
    /// Nothing yet of the next answer in a turn.
    pub(super) fn after(turn: &StoredTurn) -> Self {
        let in_steps = history::call_ids(&turn.turn).into_iter().map(str::to_owned);
        Self {
            text: String::new(),
            calls: Vec::new(),
            stop_reason: None,
            unparsed: BTreeMap::new(),
            taken: in_steps.chain(turn.begun.iter().cloned()).collect(),
        }
    }

    /// Takes a piece, and gives the call in it an id of its own; whether the caller is to see it.
    pub(super) fn take(&mut self, delta: &mut ContentDelta) -> bool {
        match delta {
            ContentDelta::Text(piece) => {
                self.text.push_str(&piece.text);
                !piece.text.is_empty()
            }
            ContentDelta::ToolCall(piece) => {
                match piece.parse_status {
                    ToolCallParseStatus::Succeeded => {
                        if let Ok(call) = serde_json::from_value(piece.tool_call.clone()) {
                            let call = self.call(call);
                            piece.tool_call["call_id"] = call.call_id.clone().into();
                            self.calls.push(call);
                        }
                    }
                    ToolCallParseStatus::Failed => {
                        let raw = piece.tool_call.as_str().unwrap_or_default();
                        if let Some(call) = UnparsedToolCall::from_text(raw) {
                            piece.tool_call = self.refuse(call).to_string().into();
                        } else if !raw.is_empty() {
                            raw.clone_into(&mut self.text);
                        }
                    }
                    ToolCallParseStatus::Started | ToolCallParseStatus::InProgress => {}
                }
                true
            }
        }
    }

    /// The call with an id that no other one has.
    fn call(&mut self, mut call: ToolCall) -> ToolCall {
        if call.call_id.is_empty() || self.taken.contains(&call.call_id) {
            call.call_id = new_id();
        }
        self.taken.insert(call.call_id.clone());
        call
    }

    /// Takes a call that cannot be made, with what it is answered.
    fn refuse(&mut self, mut raw: UnparsedToolCall) -> UnparsedToolCall {
        let call = self.call(ToolCall {
            call_id: std::mem::take(&mut raw.call_id),
            tool_name: raw.tool_name.clone(),
            arguments: Map::new(),
        });
        raw.call_id.clone_from(&call.call_id);
        let mut shown: String = raw.arguments.chars().take(SHOWN).collect();
        if shown.len() < raw.arguments.len() {
            shown.push_str("...");
        }
        let answer = format!(
            "Error: the arguments of the tool `{}` must be a JSON object, not `{shown}`; call it anew",
            call.tool_name
        );
        self.unparsed.insert(call.call_id.clone(), answer);
        self.calls.push(call);
        raw
    }

    /// An answer that came whole.
    pub(super) fn whole(&mut self, answer: AnswerMessage) -> AnswerMessage {
        let calls = answer.tool_calls.into_iter().flatten().map(|call| self.call(call)).collect();
        AnswerMessage { tool_calls: Some(calls), ..answer }
    }

    /// The answer, and what its calls are answered that cannot be made.
    pub(super) fn into_answer(self) -> (AnswerMessage, BTreeMap<String, String>) {
        // With calls, the text is the model's note to itself.
        let text = if self.calls.is_empty() { self.text } else { String::new() };
        let out = self.stop_reason == Some(StopReason::OutOfTokens);
        let stop_reason = if out { StopReason::OutOfTokens } else { StopReason::EndOfTurn };
        let answer = AnswerMessage { tool_calls: Some(self.calls), ..said(text, stop_reason) };
        (answer, self.unparsed)
    }
}
