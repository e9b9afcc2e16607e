//! The translations of this folder, for the fuzz targets.

use super::{answer, events, relay, request};
use bytes::Bytes;
use chaski_api::{Result, openai::ChatRequest};
use chaski_provider::{ChatReply, Payload, Reply};
use chaski_upstream::Response;
use futures_util::StreamExt;
use serde_json::Value;

/// Inputs are not longer.
const MOST: usize = 1 << 16;

/// The answer of a chat to which Anthropic gives this response.
pub(crate) async fn chat(request: ChatRequest, response: Response) -> Result<ChatReply> {
    let is_stream = request.stream();
    let request::Asked { body, form } = request::translate(request, 64)?;
    let _sent = Bytes::from(Value::Object(body).to_string());
    if !is_stream {
        let text = response.bytes(MOST).await?;
        relay::check(&text, None)?;
        return Ok(Reply::Full(Payload::Raw(answer::completion(&text, form)?)));
    }
    let chunks = events::translated(relay::events(response.stream(), None), form);
    Ok(Reply::Stream(chunks.map(|chunk| chunk.map(Payload::Raw)).boxed()))
}
