//! The HTTP server: routes from the table of endpoints, parsing, errors, streams, authentication
//! and limits.
//!
//! It knows no concrete provider and no database; everything it serves comes from the stack.

mod app;
#[expect(dead_code, reason = "mounted by the routes of pages")]
mod docs_page;
mod faces;
mod input;
#[expect(dead_code, reason = "mounted by the routes of pages")]
mod openapi;
mod options;
mod routes;

pub use options::{AuthOptions, ForwardHeaders, Limits, ServerOptions, TlsFiles};
