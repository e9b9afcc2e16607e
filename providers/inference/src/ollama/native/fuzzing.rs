//! The translations of this folder, for the fuzz targets.

use super::{read, request};
use chaski_api::{Result, openai::ChatRequest};
use chaski_provider::ChatReply;
use chaski_upstream::Response;

/// The answer of a chat to which Ollama gives this response.
pub(crate) async fn chat(request: ChatRequest, response: Response) -> Result<ChatReply> {
    let _sent = request::translate(&request)?.to_string();
    read(response, &request).await
}
