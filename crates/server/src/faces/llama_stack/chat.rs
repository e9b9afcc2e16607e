//! Chat completion.

use super::{
    answer, check_generates_text, content, events::ChatEvents, sampling, stream::translated,
    tools::ToolUse,
};
use crate::faces::tokens::{self, Count};
use chaski_api::{
    Error, Result,
    inference::{
        ChatCompletionRequest, ChatCompletionResponse, ChatStreamChunk, InterleavedContent,
        ToolPromptFormat,
    },
    models::Model,
    openai::ChatRequest,
};
use chaski_provider::{Context, Inference, Payload, Reply};

/// Generates the next message of a chat with `model`, the one that the request names.
///
/// # Errors
/// Those of the request, and those of the provider.
pub(super) async fn chat_completion(
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
    let body = body(&request, &tools)?;
    let format = tools.format;
    let offered = tools.offered.iter().map(|tool| tool.tool_name.clone()).collect();
    let offered: Vec<String> = offered;
    let messages = request.messages;
    let prompt = Count::start(move || tokens::of_chat(&messages, format));
    match inference.chat(cx, body).await? {
        Reply::Stream(events) => {
            Ok(Reply::Stream(translated(events, ChatEvents::new(offered), prompt)))
        }
        Reply::Full(payload) => {
            let (message, logprobs) = answer::message(payload.into_value()?, &offered)?;
            let prompt = prompt.finish().await;
            let completion_tokens = count(&message, format).await;
            Ok(Reply::Full(Payload::Value(ChatCompletionResponse {
                metrics: Some(tokens::metrics(prompt, completion_tokens)),
                completion_message: message,
                logprobs,
            })))
        }
    }
}

async fn count(
    message: &chaski_api::inference::AnswerMessage,
    format: Option<ToolPromptFormat>,
) -> usize {
    let InterleavedContent::Text(text) = message.content.clone() else { return 0 };
    let calls = message.tool_calls.clone().unwrap_or_default();
    tokens::of_answer(text.len(), move || tokens::of_answer_message(&text, &calls, format)).await
}

/// The request in OpenAI's form.
fn body(request: &ChatCompletionRequest, tools: &ToolUse<'_>) -> Result<ChatRequest> {
    let messages = content::messages(&request.messages)?;
    let mut chat = ChatRequest::new(&request.model_id, messages);
    let body = &mut chat.body;
    body.insert("stream".to_owned(), (request.stream == Some(true)).into());
    sampling::write_sampling(request.sampling_params.as_ref(), body);
    sampling::write_format(request.response_format.as_ref(), body)?;
    if let Some(most) = sampling::wanted_logprobs(request.logprobs.as_ref()) {
        body.insert("logprobs".to_owned(), true.into());
        body.insert("top_logprobs".to_owned(), most.into());
    }
    tools.write(body);
    Ok(chat)
}
