//! OpenAI's API as upstreams speak it: what differs between them is data, the rest is here once.

mod address;
mod connection;
mod dialect;
mod listing;
mod relay;
mod request;
mod rerank;
#[cfg(test)]
mod tests;
mod vectors;

pub use connection::{Answer, Call, Connection, Settings};
pub use dialect::{Dialect, JsonSchema, Logprobs, Translated};
pub use listing::Listed;
pub use relay::Relay;
pub use rerank::Rerank;
