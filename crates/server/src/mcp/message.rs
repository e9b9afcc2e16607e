//! Messages of JSON-RPC 2.0.

use crate::json;
use chaski_api::{Error, ErrorKind};
use serde_json::{Map, Value, json};

/// What a client sent: a request, or where it has no id, something that needs no answer.
pub(super) struct Message {
    pub(super) id: Option<Value>,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

/// The codes of JSON-RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Json = -32700,
    Request = -32600,
    Method = -32601,
    Params = -32602,
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) struct Failure {
    id: Value,
    code: Code,
    message: String,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { id: Value::Null, code, message: message.into() }
    }

    /// The same, as the answer to the request `id`.
    pub(super) fn of(self, id: Value) -> Self {
        Self { id, ..self }
    }

    pub(super) fn reply(&self) -> Value {
        let error = json!({ "code": self.code as i64, "message": self.message });
        json!({ "jsonrpc": "2.0", "id": self.id, "error": error })
    }
}

/// What of an error a client is shown. A fault of the server says nothing about itself.
pub(super) fn shown(error: &Error) -> String {
    if error.kind == ErrorKind::Internal {
        tracing::error!(target: "server", "{}", error.chain());
        "the server failed".to_owned()
    } else {
        error.message.clone()
    }
}

/// Reads a body: a message, or a list of them.
pub(super) fn parse(body: &[u8], depth: usize) -> Result<Value, Failure> {
    json::parse(body, depth)
        .map_err(|error| Failure::new(Code::Json, format!("no JSON: {}", error.message)))
}

impl Message {
    /// Reads a message.
    pub(super) fn read(value: Value) -> Result<Self, Failure> {
        let Value::Object(mut object) = value else {
            return Err(Failure::new(Code::Request, "a message is a JSON object"));
        };
        let id = match object.remove("id") {
            None => None,
            Some(id @ (Value::String(_) | Value::Number(_))) => Some(id),
            Some(_) => return Err(Failure::new(Code::Request, "`id` is no text and no number")),
        };
        let refused =
            |message: &str| Failure::new(Code::Request, message).of(id.clone().unwrap_or_default());
        if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(refused("`jsonrpc` is not \"2.0\""));
        }
        let is_answer = object.contains_key("result") || object.contains_key("error");
        let method = match object.remove("method") {
            Some(Value::String(method)) => method,
            // This server asks nothing, so that no answer means anything.
            None if is_answer => {
                return Ok(Self { id: None, method: String::new(), params: Map::new() });
            }
            None => return Err(refused("`method` is missing")),
            Some(_) => return Err(refused("`method` is not a text")),
        };
        let params = match object.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(refused("`params` is not an object")),
        };
        Ok(Self { id, method, params })
    }
}
