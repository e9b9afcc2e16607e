//! The server as an MCP server.

use crate::{Api, EndpointSpec};
use serde_json::{Map, Value};

crate::wire! {
    /// A message of JSON-RPC 2.0.
    pub struct McpMessage {
        /// Always `2.0`.
        pub jsonrpc: String,
        /// A text or a number that the answer repeats. A message without it has no answer.
        pub id: Option<Value>,
        /// `initialize`, `ping`, `tools/list` or `tools/call`, or the name of a notification.
        pub method: String,
        /// What the method takes; for `tools/call` the `name` of a tool and its `arguments`.
        pub params: Option<Map<String, Value>>,
    }

    /// Why a message has no result.
    pub struct McpError {
        /// A code of JSON-RPC.
        pub code: i64,
        /// What is wrong.
        pub message: String,
    }

    /// The answer to a message: `result` or `error`.
    pub struct McpReply {
        /// Always `2.0`.
        pub jsonrpc: String,
        /// The id of the message.
        pub id: Option<Value>,
        /// What the method answers. A tool that failed is a result with `isError`.
        pub result: Option<Value>,
        /// Why there is no result.
        pub error: Option<McpError>,
    }
}

endpoints! {
    like EndpointSpec::of(Api::Models);

    /// A handler of its own answers it in the terms of JSON-RPC, whatever comes.
    Mcp(McpMessage) -> McpReply =
        Post "/mcp", "mcp",
        "MCP by streamable HTTP, without sessions: the registered tools, and those that ask models and search vector stores.";
}
