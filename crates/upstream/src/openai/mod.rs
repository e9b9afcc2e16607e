//! OpenAI's API as upstreams speak it: what differs between them is data, the rest is here once.

mod connection;
mod dialect;
mod relay;
mod request;
#[cfg(test)]
mod tests;
mod vectors;

pub use connection::{Answer, Call, Connection, Listed, Settings};
pub use dialect::Dialect;
pub use relay::Relay;
