//! The HTTP server: routes from the table of endpoints, parsing, errors, streams, authentication
//! and limits.
//!
//! It knows no concrete provider and no database; everything it serves comes from the stack.

mod app;
mod auth;
mod body;
mod cors;
mod docs_page;
mod faces;
mod failures;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handlers;
mod hosts;
mod input;
mod json;
mod log;
mod mcp;
mod multipart;
mod openapi;
mod options;
mod pipeline;
mod request_id;
mod router;
mod routes;
mod serve;
mod spans;
mod sse;
mod streamed;
mod trail;
mod version;

#[cfg(test)]
mod tests;

pub use options::{AuthOptions, ForwardHeaders, Limits, ServerOptions, TlsFiles};
pub use serve::Server;
