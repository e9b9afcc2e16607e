//! What a provider must implement, how it is described and built, and what it is given.
//!
//! This crate knows no concrete provider, no configuration file and no HTTP server.

mod context;
mod deps;
mod entry;
mod inference;
mod resource;
mod stream;
mod tokens;
mod trail;

pub use context::{ApiHeaders, CacheControl, Context, Principal, ProviderData};
pub use deps::{Deps, Environment, Tasks};
pub use entry::{Build, Entry, Provider, ProviderConfig, Spec};
pub use inference::{
    ChatReply, EmbeddingReply, Inference, InferenceProvider, MessagesReply, RerankReply, TextReply,
};
pub use resource::{Hosts, Lifecycle, Resource};
pub use stream::{EventStream, Payload, Reply, until_error};
pub use tokens::{Counted, Tokens, tokens_in};
pub use trail::{Remembered, Served, Trail};
