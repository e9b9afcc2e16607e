//! Every endpoint, by group. To add one: its type in a group's file, and its line in that table.

pub mod agents;
pub mod anthropic;
pub mod files;
pub mod inference;
pub mod inspect;
pub mod models;
pub mod moderations;
pub mod openai;
pub mod providers;
pub mod rag_tool;
pub mod rerank;
mod reserved;
pub mod shields;
pub mod telemetry;
pub mod tool_groups;
pub mod tool_runtime;
pub mod vector_dbs;
pub mod vector_io;
pub mod vector_stores;

use crate::Described;

/// All groups: the name of the reference page, and the endpoints.
pub const GROUPS: &[(&str, &[Described])] = &[
    ("inspect", inspect::ALL),
    ("providers", providers::ALL),
    ("models", models::ALL),
    ("inference", inference::ALL),
    ("openai", openai::ALL),
    ("rerank", rerank::ALL),
    ("anthropic", anthropic::ALL),
    ("files", files::ALL),
    ("vector_stores", vector_stores::ALL),
    ("vector_dbs", vector_dbs::ALL),
    ("vector_io", vector_io::ALL),
    ("tool_groups", tool_groups::ALL),
    ("tool_runtime", tool_runtime::ALL),
    ("rag_tool", rag_tool::ALL),
    ("shields", shields::ALL),
    ("moderations", moderations::ALL),
    ("agents", agents::ALL),
    ("telemetry", telemetry::ALL),
    ("reserved", reserved::ALL),
];

/// All endpoints.
pub fn all() -> impl Iterator<Item = &'static Described> {
    GROUPS.iter().flat_map(|(_, endpoints)| endpoints.iter())
}
