//! The answer of a chat in Llama Stack's form.

use super::{calls::Assembly, no_choice, python_tag, sampling};
use chaski_api::{
    Result,
    inference::{AnswerMessage, AssistantTag, StopReason, TokenLogProbs, ToolCall},
    openai::ChatCompletion,
};

/// Why generation ended. OpenAI's own API says `stop` after a call of a tool that was demanded by
/// name, while clients run the tools only after `end_of_message`.
pub(super) fn stop_reason(finish: Option<&str>, calls: bool) -> StopReason {
    match finish {
        Some("length") => StopReason::OutOfTokens,
        Some("tool_calls") => StopReason::EndOfMessage,
        // What was cut off is nothing to carry out.
        Some("content_filter") => StopReason::EndOfTurn,
        _ if calls => StopReason::EndOfMessage,
        _ => StopReason::EndOfTurn,
    }
}

/// The message and the log probabilities of the first choice.
///
/// # Errors
/// `Upstream` if there is no choice, `InvalidRequest` if the arguments of a call are not JSON.
pub(super) fn message(
    completion: ChatCompletion,
    offered: &[String],
) -> Result<(AnswerMessage, Option<Vec<TokenLogProbs>>)> {
    let choice = completion.choices.into_iter().next().ok_or_else(no_choice)?;
    let mut text = choice.message.content.or(choice.message.refusal).unwrap_or_default();
    let mut assembly = Assembly::default();
    for mut call in choice.message.tool_calls.unwrap_or_default() {
        // Every entry of a whole answer is a call of its own, whatever its index says.
        call.index = i64::try_from(assembly.len()).ok();
        assembly.add(call);
    }
    let calls: Result<Vec<ToolCall>> =
        assembly.into_calls().iter().map(super::calls::RawCall::parse).collect();
    let mut calls = calls?;
    if calls.is_empty() {
        calls = python_tag::calls(&text, offered);
        if !calls.is_empty() {
            text.clear();
        }
    }
    let message = AnswerMessage {
        role: AssistantTag::Assistant,
        content: text.into(),
        stop_reason: stop_reason(choice.finish_reason.as_deref(), !calls.is_empty()),
        tool_calls: Some(calls),
    };
    Ok((message, sampling::chat_logprobs(choice.logprobs)))
}
