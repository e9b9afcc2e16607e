//! The built binary, run as users run it: exit codes, messages, and a server that comes and goes.

mod chat;
mod configuration;
mod ingestion;
mod lists;
mod models;
mod serving;
mod support;
mod upstreams;
mod usage;
