//! From kept turns to the messages that a model is sent.

use chaski_api::{
    agents::{Step, ToolExecutionStep, Turn, TurnMessage},
    inference::{
        CompletionMessage, ContentItem, InterleavedContent, Message, StopReason, SystemMessage,
        TextContentItem, ToolCall, ToolResponseMessage, UserMessage,
    },
};
use std::collections::HashSet;

/// The messages of a conversation: the instructions, the turns before, and the turn under way.
pub(super) fn messages(instructions: &str, before: &[Turn], current: &Turn) -> Vec<Message> {
    let mut out = Vec::new();
    if !instructions.is_empty() {
        let content = InterleavedContent::Text(instructions.to_owned());
        out.push(Message::System(SystemMessage { content }));
    }
    for turn in before {
        of_turn(turn, false, &mut out);
    }
    of_turn(current, true, &mut out);
    out
}

/// Adds a text to what the model alone is told with the last message of the user.
pub(super) fn add_context(messages: &mut [TurnMessage], text: &str) {
    let last = messages.iter_mut().rev().find_map(|message| match message {
        TurnMessage::User(message) => Some(message),
        TurnMessage::Tool(_) => None,
    });
    if let Some(message) = last {
        let own = message.context.take().and_then(|own| own.texts("\n"));
        message.context =
            Some(own.map_or_else(|| text.to_owned(), |own| format!("{own}\n{text}")).into());
    }
}

/// The ids of the calls that a turn has answers to.
pub(super) fn answered(turn: &Turn) -> HashSet<&str> {
    let in_steps = turn.steps.iter().filter_map(|step| match step {
        Step::ToolExecution(step) => Some(step.tool_responses.iter()),
        Step::Inference(_) | Step::ShieldCall(_) | Step::MemoryRetrieval(_) => None,
    });
    in_steps.flatten().map(|response| response.call_id.as_str()).collect()
}

/// The ids of all calls of a turn.
pub(super) fn call_ids(turn: &Turn) -> HashSet<&str> {
    let made = turn.steps.iter().filter_map(|step| match step {
        Step::Inference(step) => step.model_response.tool_calls.as_ref(),
        Step::ToolExecution(step) => Some(&step.tool_calls),
        Step::ShieldCall(_) | Step::MemoryRetrieval(_) => None,
    });
    let mut ids = answered(turn);
    ids.extend(made.flatten().map(|call| call.call_id.as_str()));
    ids
}

/// What a tool answered, with a word in place of each image: upstreams take only text from tools.
fn in_words(content: &InterleavedContent) -> InterleavedContent {
    let in_words = |item: &ContentItem| match item {
        ContentItem::Image(_) => ContentItem::Text(TextContentItem {
            text: "[an image, which the user sees]".to_owned(),
        }),
        ContentItem::Text(text) => ContentItem::Text(text.clone()),
    };
    match content {
        InterleavedContent::Text(text) => InterleavedContent::Text(text.clone()),
        InterleavedContent::Item(item) => InterleavedContent::Item(in_words(item)),
        InterleavedContent::Items(items) => {
            InterleavedContent::Items(items.iter().map(in_words).collect())
        }
    }
}

/// Adds the answered calls of a step to the last answer of the model, where the client has read them
/// from its text: an answer of a tool has to follow its call.
fn name_calls(messages: &mut [Message], step: &ToolExecutionStep) {
    let last = messages.iter_mut().rev().find_map(|message| match message {
        Message::Assistant(message) => Some(message),
        Message::System(_) | Message::User(_) | Message::Tool(_) => None,
    });
    let Some(answer) = last else { return };
    let named = answer.tool_calls.get_or_insert_default();
    for call in &step.tool_calls {
        let has_answer = step.tool_responses.iter().any(|answer| answer.call_id == call.call_id);
        if has_answer && named.iter().all(|known| known.call_id != call.call_id) {
            named.push(call.clone());
        }
    }
}

fn of_turn(turn: &Turn, is_current: bool, out: &mut Vec<Message>) {
    let answered = answered(turn);
    for message in &turn.input_messages {
        match message {
            TurnMessage::User(message) => {
                // What was looked up for one turn is not told again in the next ones.
                let context = message.context.clone().filter(|_| is_current);
                let content = message.content.clone();
                out.push(Message::User(UserMessage { content, context }));
            }
            // The answers to calls stand with the steps.
            TurnMessage::Tool(message) if answered.contains(message.call_id.as_str()) => {}
            TurnMessage::Tool(message) => out.push(Message::Tool(message.clone())),
        }
    }
    for step in &turn.steps {
        match step {
            Step::Inference(step) => {
                let answer = &step.model_response;
                let calls = answer.tool_calls.iter().flatten();
                // A model does not accept calls that nobody answered.
                let calls: Vec<ToolCall> = calls
                    .filter(|call| answered.contains(call.call_id.as_str()))
                    .cloned()
                    .collect();
                let dropped = calls.len() < answer.tool_calls.as_ref().map_or(0, Vec::len);
                if dropped && calls.is_empty() && answer.content.texts("").as_deref() == Some("") {
                    continue;
                }
                out.push(Message::Assistant(CompletionMessage {
                    content: answer.content.clone(),
                    stop_reason: answer.stop_reason,
                    tool_calls: Some(calls),
                }));
            }
            Step::ToolExecution(step) => {
                name_calls(out, step);
                out.extend(step.tool_responses.iter().map(|response| {
                    Message::Tool(ToolResponseMessage {
                        call_id: response.call_id.clone(),
                        content: in_words(&response.content),
                    })
                }));
            }
            Step::ShieldCall(step) => {
                if let Some(violation) = &step.violation {
                    out.push(Message::Assistant(CompletionMessage {
                        content: violation.user_message.clone().unwrap_or_default().into(),
                        stop_reason: StopReason::EndOfTurn,
                        tool_calls: Some(Vec::new()),
                    }));
                }
            }
            Step::MemoryRetrieval(_) => {}
        }
    }
}
