//! Everything outbound: the HTTP client, the guard for addresses that callers give, the framing of
//! streams, and OpenAI's API as upstreams speak it.
//!
//! This crate knows no provider and no configuration file.

mod client;
pub mod framing;
mod guard;
pub mod openai;

pub use client::{ByteStream, HostPort, Http, HttpOptions, Request, Response, Tls};
pub use guard::Fetched;
pub use url::Url;
