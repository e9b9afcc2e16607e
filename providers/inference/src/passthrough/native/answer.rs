//! From Llama Stack's answers to OpenAI's.

use crate::head::Head;
use chaski_api::{
    inference::{
        ChatCompletionResponse, CompletionResponse, ContentItem, InterleavedContent,
        MetricInResponse, StopReason, TokenLogProbs, ToolCall,
    },
    openai::{
        ChatChoice, ChatCompletion, ChatMessage, ChoiceLogprobs, FunctionCall, FunctionToolCall,
        TextChoice, TextCompletion, TextLogprobs, TokenLogprob, TopLogprob, Usage,
    },
};

pub(super) fn chat(head: Head, answer: ChatCompletionResponse) -> ChatCompletion {
    let message = answer.completion_message;
    let calls = message.tool_calls.unwrap_or_default();
    let reason = finish_reason(message.stop_reason, !calls.is_empty());
    let calls: Vec<FunctionToolCall> =
        calls.into_iter().map(|call| function_call(None, call)).collect();
    let mut said = ChatMessage::text(text(message.content));
    said.role = Some("assistant".to_owned());
    said.tool_calls = (!calls.is_empty()).then_some(calls);
    let choice = ChatChoice {
        index: 0,
        message: said,
        logprobs: answer.logprobs.map(chat_logprobs),
        finish_reason: Some(reason.to_owned()),
    };
    head.chat(vec![choice], usage(answer.metrics.as_deref()))
}

pub(super) fn completion(head: &Head, answer: CompletionResponse) -> TextCompletion {
    let choice = TextChoice {
        index: 0,
        text: answer.content,
        logprobs: answer.logprobs.map(text_logprobs),
        finish_reason: Some(finish_reason(answer.stop_reason, false).to_owned()),
    };
    head.text(vec![choice], usage(answer.metrics.as_deref()))
}

/// OpenAI's word for why an answer ended.
pub(super) fn finish_reason(reason: StopReason, called: bool) -> &'static str {
    match reason {
        StopReason::OutOfTokens => "length",
        StopReason::EndOfTurn | StopReason::EndOfMessage if called => "tool_calls",
        StopReason::EndOfTurn | StopReason::EndOfMessage => "stop",
    }
}

/// A call in OpenAI's form; `index` says which call of a stream it is.
pub(super) fn function_call(index: Option<i64>, call: ToolCall) -> FunctionToolCall {
    let arguments = serde_json::Value::Object(call.arguments).to_string();
    FunctionToolCall {
        index,
        id: Some(call.call_id),
        kind: Some("function".to_owned()),
        function: FunctionCall { name: Some(call.tool_name), arguments: Some(arguments) },
    }
}

fn text(content: InterleavedContent) -> String {
    let items = match content {
        InterleavedContent::Text(text) => return text,
        InterleavedContent::Item(item) => vec![item],
        InterleavedContent::Items(items) => items,
    };
    let texts = items.into_iter().filter_map(|item| match item {
        ContentItem::Text(item) => Some(item.text),
        ContentItem::Image(_) => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// The tokens, where the server counts them.
pub(super) fn usage(metrics: Option<&[MetricInResponse]>) -> Option<Usage> {
    let metrics = metrics.unwrap_or_default();
    let value = |name: &str| {
        let row = metrics.iter().find(|row| row.metric == name)?;
        // The reference writes counts with a decimal point.
        #[expect(clippy::cast_possible_truncation, reason = "counts of tokens are small")]
        row.value.as_i64().or_else(|| row.value.as_f64().map(|count| count as i64))
    };
    let (prompt, answer) = (value("prompt_tokens")?, value("completion_tokens")?);
    let total = value("total_tokens").unwrap_or(prompt + answer);
    Some(Usage { prompt_tokens: prompt, completion_tokens: answer, total_tokens: total })
}

/// The likely tokens by position, the best first. Which of them was taken is not said; it is the
/// best one where the server samples greedily, and is given as such.
fn ranked(position: TokenLogProbs) -> Vec<(String, f64)> {
    let mut ranked: Vec<(String, f64)> = position.logprobs_by_token.into_iter().collect();
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
    ranked
}

pub(super) fn chat_logprobs(positions: Vec<TokenLogProbs>) -> ChoiceLogprobs {
    let content = positions.into_iter().filter_map(|position| {
        let ranked = ranked(position);
        let (token, logprob) = ranked.first().cloned()?;
        let top_logprobs = ranked
            .into_iter()
            .map(|(token, logprob)| TopLogprob { token, logprob, bytes: None })
            .collect();
        Some(TokenLogprob { token, logprob, bytes: None, top_logprobs })
    });
    ChoiceLogprobs { content: Some(content.collect()) }
}

pub(super) fn text_logprobs(positions: Vec<TokenLogProbs>) -> TextLogprobs {
    let top = positions.iter().map(|position| Some(position.logprobs_by_token.clone())).collect();
    let best: Vec<(String, f64)> =
        positions.into_iter().filter_map(|position| ranked(position).into_iter().next()).collect();
    TextLogprobs {
        text_offset: None,
        token_logprobs: Some(best.iter().map(|(_, logprob)| Some(*logprob)).collect()),
        tokens: Some(best.into_iter().map(|(token, _)| token).collect()),
        top_logprobs: Some(top),
    }
}
