//! Answers: from OpenAI's form to Anthropic's.

use super::{count::Answered, request::Wanted, upstream::Said};
use crate::faces::{no_choice, tokens::Count};
use chaski_api::{
    Error, ErrorKind, Result,
    anthropic::{
        ContentBlock, MessageRole, MessageTag, MessagesResponse, MessagesStopReason, MessagesUsage,
        TextBlock, ThinkingBlock, ToolUseBlock,
    },
    openai::{ChatCompletion, ChatMessage, FunctionToolCall},
};
use chaski_provider::Payload;
use uuid::Uuid;

/// A message whose usage may be missing.
#[derive(Debug)]
pub(super) struct Answer {
    message: MessagesResponse,
    /// What was said, if the upstream did not count it.
    uncounted: Option<Answered>,
}

impl Answer {
    /// The message; where the upstream did not say what was used, `prompt` says the part of the prompt,
    /// and that of the answer is estimated.
    pub(super) async fn counted(self, prompt: Count) -> MessagesResponse {
        let mut message = self.message;
        if let Some(answered) = self.uncounted {
            message.usage.input_tokens = i64::try_from(prompt.finish().await).unwrap_or(i64::MAX);
            message.usage.output_tokens = answered.tokens().await;
        }
        message
    }
}

/// The message of the first choice.
///
/// # Errors
/// `Upstream` if there is no choice, or a call cannot be understood.
pub(super) fn message(payload: Payload<ChatCompletion>, wanted: &Wanted) -> Result<Answer> {
    let Said { value: completion, more } = Said::read(payload)?;
    let choice = completion.choices.into_iter().next().ok_or_else(no_choice)?;
    let finish = choice.finish_reason.as_deref();
    let said = choice.message;
    let uncounted = completion.usage.is_none().then(|| answered(&said));

    let mut content = Vec::new();
    if wanted.signed && !more.thoughts.is_empty() {
        content.extend(more.thoughts.iter().cloned());
    } else if let Some(thinking) =
        said.reasoning_content.filter(|text| wanted.thinking && !text.is_empty())
    {
        content.push(ContentBlock::Thinking(ThinkingBlock { thinking, signature: String::new() }));
    }
    let refused = said.refusal.as_deref().is_some_and(|text| !text.is_empty());
    let texts = [said.content, said.refusal].into_iter().flatten().filter(|text| !text.is_empty());
    content.extend(texts.map(|text| ContentBlock::Text(TextBlock { text })));
    let mut called = false;
    for call in said.tool_calls.unwrap_or_default() {
        called = true;
        // A call that the limit cut short is none that could be carried out.
        match tool_use(call) {
            Ok(call) => content.push(ContentBlock::ToolUse(call)),
            Err(_) if finish == Some("length") => {}
            Err(error) => return Err(error),
        }
    }
    let stop_sequence = more.stop.as_ref().filter(|text| wanted.stop_sequences.contains(text));
    let reason = stop_reason(finish, called, refused, stop_sequence.is_some());
    let stop_sequence = stop_sequence.filter(|_| reason == MessagesStopReason::StopSequence);
    let message = MessagesResponse {
        id: message_id(&completion.id),
        stop_reason: Some(reason),
        stop_sequence: stop_sequence.cloned(),
        usage: completion.usage.as_ref().map_or_else(no_usage, |usage| more.usage(usage)),
        content,
        ..begun(&wanted.model)
    };
    Ok(Answer { message, uncounted })
}

/// What counts of a message.
fn answered(said: &ChatMessage) -> Answered {
    let mut answered = Answered::default();
    let texts = [&said.reasoning_content, &said.content, &said.refusal];
    for text in texts.into_iter().flatten() {
        answered.add(text);
    }
    for call in said.tool_calls.iter().flatten() {
        answered.add_call(&call.function);
    }
    answered
}

/// A message that has just begun.
pub(super) fn begun(model: &str) -> MessagesResponse {
    MessagesResponse {
        id: String::new(),
        kind: MessageTag::Message,
        role: MessageRole::Assistant,
        model: model.to_owned(),
        content: Vec::new(),
        stop_reason: None,
        stop_sequence: None,
        usage: no_usage(),
    }
}

pub(super) fn no_usage() -> MessagesUsage {
    MessagesUsage {
        input_tokens: 0,
        cache_creation_input_tokens: None,
        cache_read_input_tokens: None,
        output_tokens: 0,
    }
}

/// The upstream's id in the form of Anthropic's, so that both can be found in logs.
pub(super) fn message_id(id: &str) -> String {
    let id = id.strip_prefix("chatcmpl-").unwrap_or(id);
    match id {
        "" => format!("msg_{}", Uuid::new_v4().simple()),
        _ if id.starts_with("msg_") => id.to_owned(),
        _ => format!("msg_{id}"),
    }
}

/// An id for a call that has none.
pub(super) fn call_id() -> String {
    format!("toolu_{}", Uuid::new_v4().simple())
}

/// Why a message ended.
pub(super) fn stop_reason(
    finish: Option<&str>,
    called: bool,
    refused: bool,
    stopped: bool,
) -> MessagesStopReason {
    match finish {
        Some("length") => MessagesStopReason::MaxTokens,
        Some("content_filter") => MessagesStopReason::Refusal,
        // OpenAI's own API says `stop` after a call of a tool that was demanded by name.
        _ if called => MessagesStopReason::ToolUse,
        _ if refused => MessagesStopReason::Refusal,
        _ if stopped => MessagesStopReason::StopSequence,
        _ => MessagesStopReason::EndTurn,
    }
}

fn tool_use(call: FunctionToolCall) -> Result<ToolUseBlock> {
    if !call.function.is_named() {
        return Err(nameless());
    }
    let input = call.function.by_name();
    let name = call.function.name.unwrap_or_default();
    let Some(input) = input else {
        return Err(broken(format!(
            "the arguments of the model's call of `{name}` are not a JSON object"
        )));
    };
    let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(call_id);
    Ok(ToolUseBlock { id, name, input })
}

pub(super) fn nameless() -> Error {
    broken("the upstream sent a tool call without a name")
}

pub(super) fn broken(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, message)
}
