//! In-process tests of the whole server, over real sockets.

mod access;
mod anthropic;
mod chunk_times;
mod datasets;
mod faults;
mod files;
mod guards;
mod harness;
mod hostile;
mod life;
mod mcp;
mod provider;
mod requests;
mod retrieval;
mod shields;
mod splicing;
mod store;
mod streams;
mod tools;
mod traces;
mod trail;
mod upstreams;
mod vector_store_access;
mod vector_stores;
