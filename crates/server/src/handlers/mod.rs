//! The handlers of everything but inference: what is there, how it is doing, and what it holds.

mod agents;
mod datasets;
mod files;
mod inspect;
mod models;
mod providers;
mod retrieval;
mod safety;
mod telemetry;
mod tools;
mod vector_stores;

pub(crate) use retrieval::listed_vector_dbs;

use crate::routes::Routes;
use chaski_api::{Api, EndpointSpec, Method};

/// Attaches the handlers.
pub(crate) fn register(routes: &mut Routes) {
    agents::register(routes);
    datasets::register(routes);
    files::register(routes);
    inspect::register(routes);
    models::register(routes);
    providers::register(routes);
    retrieval::register(routes);
    safety::register(routes);
    telemetry::register(routes);
    tools::register(routes);
    vector_stores::register(routes);
}

/// Whether an endpoint of Llama Stack's answers OpenAI's clients too.
pub(crate) fn shared_with_openai(spec: &EndpointSpec) -> bool {
    spec.api == Api::Models && spec.method == Method::Get
}
