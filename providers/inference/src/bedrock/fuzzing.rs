//! The translations of this folder, for the fuzz targets.

use super::{read_chat, request, stream};
use chaski_api::{Result, openai::ChatRequest};
use chaski_provider::ChatReply;
use chaski_upstream::Response;

pub(crate) const MEDIA_TYPE: &str = stream::MEDIA_TYPE;

/// The answer of a chat to which Bedrock gives this response.
pub(crate) async fn chat(request: ChatRequest, response: Response) -> Result<ChatReply> {
    let _sent = request::translate(&request)?.to_string();
    read_chat(response, &request).await
}
