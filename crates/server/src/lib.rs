//! The HTTP server: routes from the table of endpoints, parsing, errors, streams, authentication
//! and limits.
//!
//! It knows no concrete provider and no database; everything it serves comes from the stack.

mod app;
mod faces;
mod input;
mod options;
mod routes;

pub use options::{AuthOptions, ForwardHeaders, Limits, ServerOptions, TlsFiles};
