//! The routers: each implements the trait of its API by handing requests to the right provider.

mod inference;
mod models;

pub(crate) use inference::InferenceRouter;
pub(crate) use models::{NO_DIMENSION, declared};
