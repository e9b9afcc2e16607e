//! The routers: each implements the trait of its API by handing requests to the right provider.

mod call;
mod choose;
mod inference;
mod metered;
mod models;
mod rerank;
mod retry;

pub(crate) use call::Call;
pub(crate) use choose::Dice;
pub(crate) use inference::InferenceRouter;
pub(crate) use models::{NO_DIMENSION, declared};

#[cfg(test)]
mod tests;
