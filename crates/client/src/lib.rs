//! A typed client of the server, made from the declarations of the endpoints.
//!
//! [`Client::call`] and [`Client::stream`] work for every [`Endpoint`](chaski_api::Endpoint); the
//! methods named after the operations are shorter to write.

mod address;
mod client;
mod error;
mod events;
mod files;
mod mcp;
mod methods;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientOptions};
pub use error::{Error, Result};
pub use events::Events;
