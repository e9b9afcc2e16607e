//! From a completed prompt to the answer of a chat.

use super::request::Reading;
use chaski_api::openai::{
    ChatChoice, ChatCompletion, ChatMessage, ChoiceLogprobs, FunctionCall, FunctionToolCall,
    TextChoice, TextCompletion, TextLogprobs, TokenLogprob, TopLogprob,
};
use serde_json::Value;
use uuid::Uuid;

/// The answer of a chat.
pub(super) fn whole(completion: TextCompletion, reading: &Reading) -> ChatCompletion {
    ChatCompletion {
        id: completion.id,
        object: "chat.completion".to_owned(),
        created: completion.created,
        model: completion.model,
        choices: completion.choices.into_iter().map(|each| choice(each, reading)).collect(),
        usage: completion.usage,
    }
}

fn choice(choice: TextChoice, reading: &Reading) -> ChatChoice {
    let mut answer = chaski_llama::parse(&choice.text, &reading.offered);
    if !reading.several {
        answer.calls.truncate(1);
    }
    let calls: Vec<FunctionToolCall> = answer
        .calls
        .into_iter()
        .map(|call| FunctionToolCall {
            function: FunctionCall {
                name: Some(call.name),
                arguments: Some(Value::from(call.arguments).to_string()),
            },
            ..begun(None)
        })
        .collect();
    let finish_reason = finish(choice.finish_reason.as_deref(), !calls.is_empty());
    let content = Some(answer.text).filter(|text| calls.is_empty() || !text.is_empty());
    let message = ChatMessage {
        role: Some("assistant".to_owned()),
        content,
        tool_calls: Some(calls).filter(|calls| !calls.is_empty()),
        ..ChatMessage::empty()
    };
    let logprobs = choice.logprobs.and_then(logprobs);
    ChatChoice { index: choice.index, message, logprobs, finish_reason }
}

/// A call with an id and nothing else.
pub(super) fn begun(index: Option<i64>) -> FunctionToolCall {
    FunctionToolCall {
        index,
        id: Some(format!("call_{}", Uuid::new_v4().simple())),
        kind: Some("function".to_owned()),
        function: FunctionCall { name: None, arguments: None },
    }
}

/// Why the answer ended, in the words of a chat. Upstreams have several words for a stop.
pub(super) fn finish(reason: Option<&str>, calls: bool) -> Option<String> {
    let reason = match reason? {
        "length" | "max_tokens" => "length",
        "content_filter" => "content_filter",
        _ if calls => "tool_calls",
        _ => "stop",
    };
    Some(reason.to_owned())
}

/// The log probabilities in the form of a chat.
pub(super) fn logprobs(logprobs: TextLogprobs) -> Option<ChoiceLogprobs> {
    let tokens = logprobs.tokens?;
    let chosen = logprobs.token_logprobs.unwrap_or_default();
    let mut likely = logprobs.top_logprobs.unwrap_or_default().into_iter();
    let content = tokens.into_iter().zip(chosen).filter_map(|(token, logprob)| {
        let mut top_logprobs: Vec<TopLogprob> = likely
            .next()
            .flatten()
            .unwrap_or_default()
            .into_iter()
            .map(|(token, logprob)| TopLogprob { bytes: Some(bytes(&token)), token, logprob })
            .collect();
        top_logprobs.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
        Some(TokenLogprob { bytes: Some(bytes(&token)), token, logprob: logprob?, top_logprobs })
    });
    Some(ChoiceLogprobs { content: Some(content.collect()) })
}

fn bytes(token: &str) -> Vec<i64> {
    token.bytes().map(i64::from).collect()
}
