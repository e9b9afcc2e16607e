//! The stack: configuration, resolver, registry, routing tables and routers.
//!
//! It knows no concrete provider and no HTTP server: providers come as a [`Catalog`], requests
//! through [`Stack::inference`] and the routing tables.

mod cache;
mod catalog;
pub mod config;
mod data;
mod export;
pub mod files;
mod fleet;
mod guarding;
mod instance;
mod jobs;
pub mod reference;
mod registry;
mod resolver;
mod routers;
mod stack;
mod table;
pub mod templates;
#[cfg(test)]
mod testing;
pub mod vector_stores;

pub use catalog::{Catalog, Described};
pub use config::{Environment, Loaded, RunConfig};
pub use data::Data;
pub use stack::{Served, Stack, StackOptions, open_store};
pub use table::{Routed, RoutingTable};
