//! Everything outbound: the HTTP client, the guard for addresses that callers give, the framing of
//! streams, OpenAI's API as upstreams speak it, calls of gRPC, and signed calls to services of AWS.
//!
//! This crate knows no provider and no configuration file.

pub mod aws;
mod client;
pub mod framing;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod grpc;
mod guard;
pub mod openai;
mod trace;

pub use client::{
    ByteStream, CircuitBreaker, CountRepeats, HostPort, Http, HttpOptions, Proxies, Repeats,
    Request, Response, Tls,
};
pub use guard::Fetched;
pub use trace::TraceParent;
pub use url::Url;
