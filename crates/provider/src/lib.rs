//! What a provider must implement, how it is described and built, and what it is given.
//!
//! This crate knows no concrete provider, no configuration file and no HTTP server.

mod agents;
mod aws;
mod context;
mod cpu;
mod data_url;
mod dataset_io;
mod deps;
mod documents;
mod entry;
mod inference;
mod media_types;
mod resource;
mod routers;
mod safety;
mod spans;
mod stream;
mod telemetry;
mod token_counter;
mod tokens;
mod tool_runtime;
mod trail;
mod vector_io;

pub use agents::{Agents, AgentsProvider, Chat, TurnReply};
pub use aws::{AwsApi, AwsConfig};
pub use context::{ApiHeaders, CacheControl, Context, Principal, ProviderData};
pub use cpu::Cpu;
pub use data_url::{data_url, data_url_of};
pub use dataset_io::{DatasetIo, DatasetIoProvider, Datasets, Declarer, RowRange};
pub use deps::{Deps, Environment, Tasks};
pub use documents::{DocumentFile, Documents};
pub use entry::{Build, Entry, Provider, ProviderConfig, Spec};
pub use inference::{
    ChatReply, EmbeddingReply, Inference, InferenceProvider, MessagesReply, RerankReply, TextReply,
};
pub use media_types::{file_ending, media_type};
pub use resource::{Hosts, Lifecycle, Resource};
pub use routers::Routers;
pub use safety::{Judges, Safety, SafetyProvider, Shields};
pub use spans::{Attribute, EndedSpan, OpenSpan, SpanContext, SpanSink};
pub use stream::{EventStream, Payload, Reply, until_error};
pub use telemetry::{Telemetry, TelemetryProvider};
pub use token_counter::TokenCounter;
pub use tokens::{Counted, Tokens, tokens_in};
pub use tool_runtime::{ToolGroupRecord, ToolRuntime, ToolRuntimeProvider, Tools};
pub use trail::{Remembered, Served, Trail};
pub use vector_io::{
    ChunkPage, ChunkToInsert, DOCUMENT_ID, EmbeddedChunk, Retrieval, SESSION_VECTOR_DB,
    ScoredChunk, Search, Selection, StoredChunk, Timestamp, VectorIo, VectorIoProvider,
    VectorQuery, no_mode,
};
