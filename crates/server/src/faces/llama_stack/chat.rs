//! Chat completion.

use super::{
    answer, check_generates_text, content,
    events::ChatEvents,
    sampling,
    stream::{self, translated},
    tools::ToolUse,
};
use crate::faces::{
    account::{Account, wants_count},
    tokens,
};
use chaski_api::{
    Error, Result,
    inference::{
        ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk, InterleavedContent,
        ToolPromptFormat,
    },
    models::Model,
    openai::ChatRequest,
};
use chaski_provider::{Context, Counted, Inference, Payload, Reply};
use std::sync::Arc;

/// Generates the next message of a chat with `model`, the one that the request names.
///
/// # Errors
/// Those of the request, and those of the provider.
pub(crate) async fn chat_completion(
    inference: &dyn Inference,
    model: &Model,
    cx: &Context,
    request: ChatCompletionRequest,
) -> Result<Reply<ChatCompletionResponse, ChatStreamChunk>> {
    check_generates_text(model)?;
    if request.messages.is_empty() {
        return Err(Error::invalid("`messages` must hold at least one message"));
    }
    let tools = ToolUse::of(&request)?;
    let body = body(&request, &tools, wants_count(model))?;
    let format = tools.format;
    let offered = tools.offered.iter().map(|tool| tool.tool_name.clone()).collect();
    let offered: Vec<String> = offered;
    let messages = request.messages;
    let account = Account::open(model, cx, move || tokens::of_chat(&messages, format));
    match inference.chat(cx, body).await? {
        Reply::Stream(events) => {
            let events_of_chat = ChatEvents::new(offered, Arc::clone(&cx.trail));
            Ok(Reply::Stream(translated(events, events_of_chat, account)))
        }
        Reply::Full(payload) => {
            let completion = payload.into_value()?;
            let spent = completion.tokens();
            let (message, logprobs) = answer::message(completion, &offered)?;
            let (bytes, count) = count(&message, format);
            Ok(Reply::Full(Payload::Value(ChatCompletionResponse {
                metrics: Some(account.close(spent, bytes, count).await),
                completion_message: message,
                logprobs,
            })))
        }
    }
}

/// The length of the text of an answer, and what counts its tokens.
fn count(
    message: &chaski_api::inference::AnswerMessage,
    format: Option<ToolPromptFormat>,
) -> (usize, impl FnOnce() -> usize + Send + 'static + use<>) {
    let text = match &message.content {
        InterleavedContent::Text(text) => Some(text.clone()),
        InterleavedContent::Item(_) | InterleavedContent::Items(_) => None,
    };
    let bytes = text.as_ref().map_or(0, String::len);
    let calls = message.tool_calls.clone().unwrap_or_default();
    let count = move || text.map_or(0, |text| tokens::of_answer_message(&text, &calls, format));
    (bytes, count)
}

/// The request in OpenAI's form.
fn body(
    request: &ChatCompletionRequest,
    tools: &ToolUse<'_>,
    counted: bool,
) -> Result<ChatRequest> {
    let messages = content::messages(&request.messages)?;
    let mut chat = ChatRequest::new(&request.model_id, messages);
    let body = &mut chat.body;
    stream::write_stream(request.stream == Some(true), counted, body);
    sampling::write_sampling(request.sampling_params.as_ref(), body);
    sampling::write_format(request.response_format.as_ref(), body)?;
    if let Some(most) = sampling::wanted_logprobs(request.logprobs.as_ref()) {
        body.insert("logprobs".to_owned(), true.into());
        body.insert("top_logprobs".to_owned(), most.into());
    }
    tools.write(body);
    Ok(chat)
}
