//! The wire types of every face, the declarations of the endpoints, and the error type.
//!
//! This crate knows no runtime, no HTTP library and no storage: it is data and how data is read.

pub mod agents;
pub mod anthropic;
pub mod datasets;
pub mod endpoint;
pub mod endpoints;
pub mod error;
pub mod inference;
pub mod inspect;
pub mod models;
pub mod openai;
pub mod retrieval;
pub mod routing;
pub mod safety;
pub mod telemetry;
pub mod tools;
pub mod wire;

mod apis;

pub use apis::Api;
pub use endpoint::{Described, Endpoint, EndpointSpec, Face, Media, Method};
pub use error::{Error, ErrorKind, Issue, Result, Segment};
pub use wire::{Reader, Schemas, Secret, Wire};
