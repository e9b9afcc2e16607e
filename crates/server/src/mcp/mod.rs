//! The server as an MCP server: its tools, its vector stores and its models for any MCP client, by
//! streamable HTTP at `/mcp`.
//!
//! Each message is answered by itself, without a session: who asks is told by the credentials of
//! each request, as on every other route, and nothing has to be kept between two of them.

mod content;
mod message;
mod tools;

use crate::{
    app::App,
    body::{RequestBody, ResponseBody},
    failures::json_response,
    input,
    pipeline::Unread,
    routes::Routes,
    streamed::Asked,
};
use bytes::Bytes;
use chaski_api::{Error, Result, endpoints::mcp::Mcp};
use chaski_provider::Context;
use futures_util::StreamExt;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use message::{Code, Failure, Message};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

/// The versions of the protocol that are spoken, the newest first.
const VERSIONS: &[&str] = &["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// Those in which several messages may come at once.
const BATCHED: &[&str] = &["2025-03-26", "2024-11-05"];
/// The most messages that may come at once, and that are answered at one time.
const BATCH: usize = 64;
const AT_ONCE: usize = 8;
const VERSION_HEADER: &str = "mcp-protocol-version";
const INSTRUCTIONS: &str = "The tools of this server; `search_vector_store` searches its documents \
                            and `chat_completion` asks its models.";

pub(crate) fn register(routes: &mut Routes) {
    routes.raw::<Mcp, _, _>(answer);
}

async fn answer(app: App, cx: Context, asked: Asked) -> Result<Response<ResponseBody>, Unread> {
    known_version(&asked.headers)?;
    let takes_batches = takes_batches(&asked.headers);
    let body = read(&app, asked).await?;
    let reply = match message::parse(&body, app.options.limits.json_depth) {
        Err(failure) => Some(failure.reply()),
        Ok(Value::Array(messages)) if takes_batches => replies(&app, &cx, messages).await,
        Ok(Value::Array(_)) => {
            let message = "a message is one JSON object; this version of MCP has no batches";
            Some(Failure::new(Code::Request, message).reply())
        }
        Ok(message) => reply(&app, &cx, message).await,
    };
    // What a client reports or answers needs no answer.
    let Some(reply) = reply else {
        let mut response = Response::new(ResponseBody::text(""));
        *response.status_mut() = StatusCode::ACCEPTED;
        return Ok(response);
    };
    Ok(json_response(StatusCode::OK, reply.to_string()))
}

/// The answer to a message; nothing if it needs none.
async fn reply(app: &App, cx: &Context, message: Value) -> Option<Value> {
    let Message { id, method, params } = match Message::read(message) {
        Ok(message) => message,
        Err(failure) => return Some(failure.reply()),
    };
    let id = id?;
    Some(match result(app, cx, &method, params).await {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(failure) => failure.of(id).reply(),
    })
}

/// The answers to the messages of a batch, in their order.
async fn replies(app: &App, cx: &Context, messages: Vec<Value>) -> Option<Value> {
    if messages.is_empty() || messages.len() > BATCH {
        let message = format!("a batch has 1 to {BATCH} messages, not {}", messages.len());
        return Some(Failure::new(Code::Request, message).reply());
    }
    let replies: Vec<Option<Value>> = futures_util::stream::iter(messages)
        .map(|message| reply(app, cx, message))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let replies: Vec<Value> = replies.into_iter().flatten().collect();
    (!replies.is_empty()).then(|| replies.into())
}

/// Whether the version that a request names has batches; one that names none is of such a version.
fn takes_batches(headers: &HeaderMap) -> bool {
    let Some(version) = headers.get(VERSION_HEADER) else { return true };
    BATCHED.iter().any(|known| version.as_bytes() == known.as_bytes())
}

/// Refuses requests in a version of the protocol that is not spoken.
fn known_version(headers: &HeaderMap) -> Result<()> {
    let Some(version) = headers.get(VERSION_HEADER) else { return Ok(()) };
    if VERSIONS.iter().any(|known| version.as_bytes() == known.as_bytes()) {
        return Ok(());
    }
    let known = VERSIONS.join("`, `");
    Err(Error::invalid(format!(
        "this version of MCP is not spoken here; send `{VERSION_HEADER}` with one of `{known}`"
    )))
}

/// The body, within the limits of all bodies.
async fn read(app: &App, asked: Asked) -> Result<Bytes, Unread> {
    let limits = &app.options.limits;
    input::uncompressed(&asked.headers)?;
    let body: RequestBody = asked.body;
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(input::too_large(limits.body_bytes).into());
    }
    let whole = Limited::new(body, limits.body_bytes).collect();
    let whole = timeout(limits.first_byte_timeout, whole).await.map_err(|_| Unread::Late)?;
    let whole = whole.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            input::too_large(limits.body_bytes)
        } else {
            Error::invalid("the body could not be read").caused_by(error)
        }
    })?;
    Ok(whole.to_bytes())
}

/// What a request is answered.
async fn result(
    app: &App,
    cx: &Context,
    method: &str,
    params: Map<String, Value>,
) -> Result<Value, Failure> {
    match method {
        "initialize" => Ok(introduction(&params)),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({ "tools": tools::list(app, cx).await })),
        "tools/call" => {
            let name = params.get("name").and_then(Value::as_str).ok_or_else(|| {
                Failure::new(Code::Params, "`name` is missing: say which tool to call")
            })?;
            let arguments = match params.get("arguments") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(arguments)) => arguments.clone(),
                Some(_) => {
                    return Err(Failure::new(Code::Params, "`arguments` is not an object"));
                }
            };
            tools::call(app, cx, name, arguments).await
        }
        _ => {
            let method: String = method.chars().take(100).collect();
            let message = format!("the method `{}` is not served", method.escape_debug());
            Err(Failure::new(Code::Method, message))
        }
    }
}

fn introduction(params: &Map<String, Value>) -> Value {
    let wanted = params.get("protocolVersion").and_then(Value::as_str);
    let spoken = wanted.and_then(|wanted| VERSIONS.iter().find(|known| **known == wanted));
    json!({
        "protocolVersion": spoken.unwrap_or(&VERSIONS[0]),
        "capabilities": { "tools": {} },
        "serverInfo": { "name": "chaski", "version": env!("CARGO_PKG_VERSION") },
        "instructions": INSTRUCTIONS,
    })
}
