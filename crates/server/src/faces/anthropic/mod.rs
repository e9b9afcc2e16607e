//! The Anthropic face of inference. An upstream that speaks the same API is sent the request as it
//! came, and its answer is relayed; for the others both are translated.

mod answer;
mod count;
mod documents;
mod events;
mod nesting;
mod request;
mod segments;
#[cfg(test)]
mod tests;
mod turns;
mod upstream;

use crate::faces::tokens::{self, Count};
use chaski_api::{
    Result,
    anthropic::{CountTokensRequest, MessagesRequest, TokenCount},
};
use chaski_provider::{Context, Inference, MessagesReply, Payload, Reply};
use chaski_stack::Stack;
use request::Translated;

/// `POST /v1/messages`.
///
/// # Errors
/// Those of the request, the registry and the provider.
pub(crate) async fn messages(
    stack: &Stack,
    cx: &Context,
    request: MessagesRequest,
) -> Result<MessagesReply> {
    messages_over(stack.inference.as_ref(), cx, request).await
}

/// A message over `inference`, whatever form it speaks.
pub(crate) async fn messages_over(
    inference: &dyn Inference,
    cx: &Context,
    request: MessagesRequest,
) -> Result<MessagesReply> {
    if let Some(reply) = inference.messages(cx, request.model(), &request).await? {
        return Ok(reply);
    }
    let Translated { chat, wanted } = request::translate(request)?;
    let text = count::text(&chat);
    let prompt = Count::start(move || tokens::of_text(&text));
    match inference.chat(cx, chat).await? {
        Reply::Full(payload) => {
            let answer = answer::message(payload, &wanted)?;
            Ok(Reply::Full(Payload::Value(answer.counted(prompt).await)))
        }
        Reply::Stream(chunks) => Ok(Reply::Stream(events::translated(chunks, wanted, prompt))),
    }
}

/// `POST /v1/messages/count_tokens`. Where neither the upstream nor the provider counts, the
/// tokens are estimated.
///
/// # Errors
/// Those of the request, the registry and the provider.
pub(crate) async fn count_tokens(
    stack: &Stack,
    cx: &Context,
    request: CountTokensRequest,
) -> Result<TokenCount> {
    let inference = stack.inference.as_ref();
    if let Some(input_tokens) = inference.message_tokens(cx, request.model(), &request).await? {
        return Ok(TokenCount { input_tokens });
    }
    let Translated { chat, .. } = request::translate(request.into_messages())?;
    if let Some(input_tokens) = inference.chat_tokens(cx, &chat).await? {
        return Ok(TokenCount { input_tokens });
    }
    let text = count::text(&chat);
    let tokens = tokens::of_answer(text.len(), move || tokens::of_text(&text)).await;
    Ok(TokenCount { input_tokens: i64::try_from(tokens).unwrap_or(i64::MAX) })
}
