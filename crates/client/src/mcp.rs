//! Messages of MCP, some of which have no answer.

use crate::{Client, Result, client::fields};
use chaski_api::{
    Endpoint,
    endpoints::mcp::{Mcp, McpMessage, McpReply},
};

impl Client {
    /// Sends a message of MCP. One without an `id` is a notification, which has no answer.
    ///
    /// # Errors
    /// See [`crate::Error`].
    pub async fn mcp(&self, message: McpMessage) -> Result<Option<McpReply>> {
        let mut fields = fields(serde_json::to_value(&message))?;
        if message.id.is_none() {
            // Even `null` would be an id.
            fields.remove("id");
        }
        let response = self.send_fields(&Mcp::SPEC, fields, false).await?;
        if message.id.is_none() {
            return Ok(None);
        }
        self.answer(response).await.map(Some)
    }
}
