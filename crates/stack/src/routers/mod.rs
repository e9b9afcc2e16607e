//! The routers: each implements the trait of its API by handing requests to the right provider.

mod arguments;
mod call;
mod choose;
mod datasets;
mod declared;
mod inference;
mod metered;
mod models;
mod rerank;
mod retry;
mod schema_cost;
mod shields;
mod tool_groups;
mod tool_runtime;
mod vector_dbs;
mod vector_io;

pub(crate) use call::Call;
pub(crate) use choose::Dice;
pub(crate) use datasets::{DatasetRouter, host};
pub(crate) use declared::Declared;
pub(crate) use inference::InferenceRouter;
pub(crate) use models::NO_DIMENSION;
pub(crate) use rerank::ranking_model;
pub(crate) use shields::ShieldRouter;
pub(crate) use tool_runtime::ToolRuntimeRouter;
pub(crate) use vector_io::VectorIoRouter;

#[cfg(test)]
mod tests;
