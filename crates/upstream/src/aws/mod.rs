//! Services of Amazon Web Services: signed requests, and the credentials to sign them with.
//!
//! Nothing here reads the environment of the process: its variables come as values.

mod chain;
mod credentials;
mod profiles;
mod service;
mod signature;
mod sts;
#[cfg(test)]
mod tests;

pub use chain::{Sources, VARIABLES};
pub use credentials::Credentials;
pub use service::{Service, ServiceOptions};
